"""What is kept: nothing twice, nothing nearly twice, the best few."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.synthesis.choosing import KeepRule, Scored, chosen, different
from manyeyes.agent.synthesis.likeness import Likeness, said, shingles_of, similarity
from manyeyes.agent.synthesis.tally import KEPT, MORE, Tally
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import assistant

from .teachers import calculated, candidate, sums

LONG = "first we take the sum of the two numbers and then we look at what is left over"


def scored(text: str, score: float = 1.0, *, name: str = "one", attempt: int = 0, seed: int = 0) -> Scored:
    return Scored(candidate(assistant(text), seed=sums(seed + 1)[seed], name=name, attempt=attempt), score)


def keys(found: list[Scored]) -> list[str]:
    return [one.candidate.key for one in found]


def test_spelling_and_blanks_do_not_make_a_text_another_one() -> None:
    a, b, c = (candidate(assistant(text)) for text in ("It is  One.", "it is one .", "It is 1."))
    assert said(a) == said(b) != said(c)
    used = candidate(*calculated("0 + 1", "1"), assistant("1"))
    assert said(used) != said(candidate(assistant("1"))), "another way to the same answer is another text"


def test_repetitions_of_a_seed_are_found_and_the_first_stays() -> None:
    ones = [candidate(assistant(text), name=name) for text, name in (("1", "a"), ("One", "b"), (" 1 ", "c"))]
    kept, repeated = different(ones)
    assert [one.teacher for one in kept] == ["a", "b"] and [one.teacher for one in repeated] == ["c"]


def test_the_best_comes_first_and_of_equals_the_brief_one() -> None:
    found = [scored("one or so", 0.5), scored(LONG, 1.0, name="b"), scored("1", 1.0, name="c")]
    choice = chosen([found], KeepRule(per_seed=2))
    assert keys(choice.kept) == ["sum/0/c/0", "sum/0/b/0"] and choice.left == {"sum/0/one/0": "more"}


def test_one_teacher_does_not_fill_all_places() -> None:
    found = [scored("1", attempt=0), scored(LONG, attempt=1), scored("surely it must be one", 0.2, name="b")]
    assert keys(chosen([found], KeepRule(per_seed=2)).kept) == ["sum/0/one/0", "sum/0/b/0"]
    assert keys(chosen([found], KeepRule(per_seed=2, per_teacher=2)).kept) == ["sum/0/one/0", "sum/0/one/1"]


def test_near_ones_are_left_out_over_all_seeds() -> None:
    first = [scored(LONG, name="a"), scored(LONG + " indeed", name="b")]
    choice = chosen([first, [scored("2", seed=1)]], KeepRule(per_seed=2))
    assert keys(choice.kept) == ["sum/0/a/0", "sum/1/one/0"] and choice.left == {"sum/0/b/0": "near"}


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30).map(" ".join)


@given(WORDS, WORDS)
def test_likeness_finds_equal_texts_always_and_unlike_ones_never(one: str, other: str) -> None:
    found = Likeness(0.8)
    assert found.add("one", one) is None and found.add("again", one) == "one"
    near = similarity(shingles_of(one), shingles_of(other)) >= 0.8
    assert found.add("other", other) in ((None, "one") if near else (None,))


def test_near_texts_are_found_among_many() -> None:
    """Bands miss a pair of similarity 0.9 once in ten million."""
    found = Likeness(0.8)
    words = [f"w{number}" for number in range(60)]
    texts = {f"t{n}": " ".join(words[n % 30 :] + [f"own{n}", *words[: n % 30]]) for n in range(30)}
    assert sum(found.add(name, text) is None for name, text in texts.items()) >= 1
    for name, text in itertools.islice(texts.items(), 5):
        assert found.add(name + "'", text + " end") is not None


def test_what_likeness_is_none() -> None:
    for threshold in (0.0, 1.1):
        with pytest.raises(ConfigError, match="threshold of likeness"):
            KeepRule(likeness=threshold)
    with pytest.raises(ConfigError, match="at least 1"):
        KeepRule(per_seed=0)


def test_a_tally_counts_each_candidate_once() -> None:
    tally = Tally(("form", "answer"))
    tally.note("a", "one", KEPT)
    tally.note("b", "two", "form", "too long")
    tally.note("c", "two", KEPT)
    tally.note("c", "two", MORE)
    told = tally.to_json()
    assert told["candidates"] == 3 and told["kept"] == 1 and told["reasons"] == {"form": {"too long": 1}}
    assert told["teachers"]["two"] == dict.fromkeys(tally.columns, 0) | {"form": 1, MORE: 1}
