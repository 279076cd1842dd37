import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core import seeds
from manyeyes.data import phrasing
from manyeyes.data.augment import Augmentation, augment
from manyeyes.data.record import Record, Shown, Turn


def rng(seed: int = 0) -> np.random.Generator:
    return seeds.stream(seed, "test/phrasing")


def bare(text: str) -> str:
    return text.strip(" ?.").lower()


@given(st.sampled_from(sorted(member for family in phrasing.FAMILIES for member in family)), st.integers(0, 10**6))
def test_a_prompt_becomes_a_member_of_its_family(template, seed):
    prompt = template.replace("{}", "red boat")
    phrase = phrasing.recognise(prompt)
    assert phrase is not None and template in phrase.family
    others = {bare(member.replace("{}", "red boat")) for member in phrase.family}
    assert bare(phrasing.rephrase(prompt, rng(seed))) in others


def test_every_wording_of_a_family_occurs():
    said = {bare(phrasing.rephrase(phrasing.DESCRIBE[0], rng(seed))) for seed in range(100)}
    assert said == {bare(member) for member in phrasing.DESCRIBE}


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "Zs", "P"]), max_size=40), st.integers(0, 10**6))
def test_unknown_prompts_keep_their_letters(text, seed):
    if phrasing.recognise(text.strip()) is None:
        assert bare(phrasing.rephrase(text, rng(seed))) == bare(text)


def test_code_and_paragraphs_are_left_alone():
    for text in ("Run `ls -l`.", "Two\nlines.", "", "   "):
        assert all(phrasing.rephrase(text, rng(seed)) == text for seed in range(50))


def a_conversation(count: int) -> tuple[Turn, ...]:
    turns = [turn for i in range(count) for turn in (Turn("user", (f"q{i}",)), Turn("assistant", (f"a{i}",)))]
    return (Turn("user", (Shown(0), "q0")), *turns[1:])


@given(st.integers(1, 6), st.integers(0, 10**6), st.booleans())
def test_reordering_keeps_pairs_together_and_the_picture_in_front(count, seed, instructed):
    system = (Turn("system", ("Be brief.",)),) if instructed else ()
    turns = phrasing.reorder(system + a_conversation(count), rng(seed))
    assert turns[: len(system)] == system
    talk = turns[len(system) :]
    assert talk[0].pieces[0] == Shown(0)
    assert not any(isinstance(piece, Shown) for turn in talk[1:] for piece in turn.pieces)
    pairs = [(q.pieces[-1], a.pieces[0]) for q, a in zip(talk[::2], talk[1::2], strict=True)]
    assert sorted(pairs) == [(f"q{i}", f"a{i}") for i in range(count)]


def test_all_orders_occur():
    seen = {tuple(t.pieces[-1] for t in phrasing.reorder(a_conversation(3), rng(seed))[::2]) for seed in range(100)}
    assert len(seen) == 6


def test_what_is_not_made_of_pairs_keeps_its_order():
    turns = (*a_conversation(2), Turn("user", ("open",)))
    assert phrasing.reorder(turns, rng()) is turns


def test_only_the_user_speaks_otherwise():
    turns = (
        Turn("system", ("Read the text.",)),
        Turn("user", ("Read the text.",)),
        Turn("assistant", ("Read the text.",)),
    )
    record = Record("toy/0", turns, allowed=frozenset({"text"}))
    changed = [augment(record, rng(seed), rules=Augmentation(text=1)).turns for seed in range(30)]
    assert {(t[0], t[2]) for t in changed} == {(turns[0], turns[2])}
    assert len({t[1] for t in changed}) > 3
