import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.reward.choices import choice_reward, read_choice

OPTIONS = ["blue", "a red cube", "both", "none of these"]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"), ("(c)", "C"), ("Answer: D.", "D"), ("The answer is: b) a red cube", "B"), (r"\boxed{A}", "A"),
        (r"\boxed{\text{C}}", "C"), ("Option D", "D"), ("**B**", "B"), ("A cube", None), ("red cube", "B"),
        ("BLUE!", "A"), ("A: blue", "A"), ("A blue", "A"), ("I think", None),
        ("A and C", None), ("A, B, C, D", None), ("A or D", None), ("E", None), ("", None), ("Because", None),
        ("B) blue", None), ("C (both)", "C"), ("I would say A", None), ("Both A and B", None),
    ],
)  # fmt: skip
def test_choices_are_read(text, letter):
    assert read_choice(text, OPTIONS) == letter


def test_an_article_is_read_as_a_letter_only_where_it_stands_alone():
    assert read_choice("A", 4) == "A" and read_choice("A red cube", ["a red cube", "blue"]) == "A"


@given(st.text(), st.sampled_from("ABCD"))
def test_no_text_chooses_two(text, other):
    chosen = read_choice(text, 4)
    assert chosen is None or chosen in "ABCD"
    assert sum(choice_reward(text, letter, 4) for letter in "ABCD") <= 1
    assert choice_reward(f"{text}\nAnswer: {other}", other, 4) == 1


@pytest.mark.parametrize("truth", ["E", "", "AB", "?"])
def test_a_truth_that_is_no_option_is_an_error(truth):
    with pytest.raises(ConfigError, match="one of A, B, C, D"):
        choice_reward("A", truth, 4)
