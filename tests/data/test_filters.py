import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.data.filters import CODE, PROSE, NearCopies, fault, filtered, minima, normalised

GOOD = (
    "The forest begins behind the last houses of the village, where an old road of stones leads down to the river. "
    "In spring the water is high and brown, in summer children build small dams of branches and play until evening."
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        ("Only a few words here.", "fewer than 20 words"),
        (GOOD + " \ufffd", "unreadable characters"),
        ("=== ### 123 456 || " * 10, "mostly symbols"),
        (" ".join(["Donaudampfschifffahrt"] * 30), "very long words"),
        ((GOOD + "\n") * 3, "repeated lines"),
        ("click here to subscribe now and " * 12, "repeated phrase"),
    ],
)
def test_faults(text, reason):
    assert fault(text, PROSE) == reason


def test_code_is_judged_by_its_own_rules():
    source = "\n".join(f"x_{i} = f({i}, [{i}], {{'a': {i}}})  # step" for i in range(30))
    assert fault(source, PROSE) and fault(source, CODE) is None


words = st.lists(
    st.sampled_from("alpha beta gamma delta epsilon zeta eta theta iota kappa".split()), min_size=8, max_size=60
)


@given(words, words)
def test_minima_estimate_the_jaccard_similarity(first, second):
    def shingles(parts):
        return {tuple(parts[i : i + 5]) for i in range(max(1, len(parts) - 4))}

    a, b = shingles(first), shingles(first[:30] + second)
    true = len(a & b) / len(a | b)
    told = float((minima(" ".join(first)) == minima(" ".join(first[:30] + second))).mean())
    assert abs(told - true) < 5 * np.sqrt(0.25 / 64)
    assert told == 1.0 if a == b else True


def test_copies_are_dropped_and_others_are_not():
    near = GOOD.replace("village", "town")
    far = "A recipe: take two eggs, flour and milk, stir well, add salt and fry it in butter until it is brown."
    kept, report = filtered([("a", GOOD), ("b", GOOD.upper()), ("c", near), ("d", far), ("e", "short")])
    assert [name for name, _ in kept] == ["a", "d"]
    assert report.dropped == {"b": "copy: of a", "c": "copy: of a", "e": "fewer than 20 words"}
    assert str(report) == "2 kept, 3 dropped (2 copy, 1 fewer than 20 words)"


def test_only_exact_copies_go_above_one():
    near = GOOD.replace("village", "town")
    kept, _ = filtered([("a", GOOD), ("b", near), ("c", GOOD)], similarity=1.1)
    assert [name for name, _ in kept] == ["a", "b"]


def test_near_copies_are_found_among_many():
    rng = np.random.default_rng(0)
    vocabulary = [f"word{i}" for i in range(500)]
    texts = [" ".join(rng.choice(vocabulary, 80)) for _ in range(300)]
    copies = NearCopies()
    assert all(copies.seen(str(i), text) is None for i, text in enumerate(texts))
    changed = [text.replace(text.split()[40], "other", 1) for text in texts]
    assert [copies.seen("new", text) for text in changed] == [str(i) for i in range(300)]


@given(st.text(max_size=80))
def test_a_text_is_a_copy_of_itself_however_it_is_spaced(text):
    copies = NearCopies()
    assert copies.seen("first", text) is None
    assert copies.seen("second", f"  {text.upper() if text.isascii() else text}\n\n") == "first"
    assert normalised(normalised(text)) == normalised(text)
