import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import TextPart
from manyeyes.reward.grm import quotation
from manyeyes.reward.grm.on_verified import on_verified
from manyeyes.reward.grm.pairing import mean_wins, pairs_of
from manyeyes.reward.grm.quotation import mark_for
from manyeyes.reward.grm.rubric import Criterion, Rubric
from manyeyes.reward.grm.rubrics import RUBRICS, drawn

shares = st.floats(0, 1)


@pytest.mark.parametrize("kind", list(RUBRICS))
def test_every_kind_has_alternatives_that_ask_in_other_words(kind):
    rubrics = RUBRICS[kind]
    assert len(rubrics) >= 3 and len({rubric.name for rubric in rubrics}) == len({r.stance for r in rubrics}) == len(
        rubrics
    )
    assert len({one.question for rubric in rubrics for one in rubric.criteria}) >= 5
    for rubric in rubrics:
        best = {one.name: one.value(len(one.levels) - 1) for one in rubric.criteria}
        worst = {one.name: one.value(0) for one in rubric.criteria}
        assert (rubric.score(best), rubric.score(worst)) == (1, 0)


def test_the_values_of_the_report_are_all_asked_about():
    asked = {kind: {one.name for rubric in RUBRICS[kind] for one in rubric.criteria} for kind in RUBRICS}
    assert set().union(*asked.values()) == {
        "helpfulness", "readiness", "relevance", "detail", "instructions", "aesthetics"
    }  # fmt: skip
    assert "aesthetics" in asked["artefact"]


def test_draws_belong_to_a_group_and_reach_every_rubric():
    names = [[rubric.name for rubric in drawn(RUBRICS["chat"], 2, seed=1, name=f"t/{n}")] for n in range(60)]
    assert names == [[rubric.name for rubric in drawn(RUBRICS["chat"], 2, seed=1, name=f"t/{n}")] for n in range(60)]
    assert {tuple(sorted(pair)) for pair in names} == {("editor", "expert"), ("editor", "user"), ("expert", "user")}
    for count in (0, 4):
        with pytest.raises(ConfigError, match="1 to 3"):
            drawn(RUBRICS["chat"], count, seed=1, name="t")


def test_rubrics_that_contradict_themselves_are_refused():
    one = Criterion("good", "?", ("no", "yes"))
    for criteria, weights in (((), {}), ((one, one), {}), ((one,), {"other": 1}), ((one,), {"good": 0})):
        with pytest.raises(ConfigError):
            Rubric("r", "", criteria, weights)
    for name, levels in (("two words", ("no", "yes")), ("good", ("only",))):
        with pytest.raises(ConfigError):
            Criterion(name, "?", levels)


@given(st.integers(2, 9), st.sampled_from(["circular", "all"]))
def test_every_work_is_compared_and_no_pair_twice(count, pairing):
    pairs = pairs_of(count, pairing)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    met = [sum(at in pair for pair in pairs) for at in range(count)]
    assert set(met) == ({count - 1} if pairing == "all" or count < 3 else {2})
    wins = mean_wins(count, {pair: float(pair[0] > pair[1]) for pair in pairs})
    assert wins[count - 1] == 1 and wins[0] == 0
    assert mean_wins(count, {}) == [None] * count


def test_an_unknown_pairing_is_refused():
    with pytest.raises(ConfigError, match="circular"):
        pairs_of(3, "some")  # pyright: ignore[reportArgumentType]


@given(shares, shares, shares, shares)
def test_more_is_never_worth_less_and_nothing_is_negative(v, w, g, h):
    (v, w), (g, h) = sorted((v, w)), sorted((g, h))
    assert 0 <= on_verified(v, g) <= on_verified(w, h) + 1e-12 <= 1 + 1e-9
    assert on_verified(0.0, h) < on_verified(1.0, g)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(wrong):
    for given_two in ((wrong, 0.5), (0.5, wrong)):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            on_verified(*given_two)


@pytest.mark.parametrize("digit", "0123456789abcdef")
def test_a_mark_that_stands_in_a_text_is_drawn_again(digit, monkeypatch):
    monkeypatch.setattr(quotation, "MARK_DIGITS", 1)
    others = "0123456789abcdef".replace(digit, "")
    assert mark_for([TextPart(others[:7]), TextPart(others[7:])], seed=1, name="t") == digit
    with pytest.raises(ValueError, match="another seed"):
        mark_for([TextPart("0123456789abcdef")], seed=1, name="t")


@given(st.text(), st.text())
def test_marks_stand_in_no_text_and_differ_with_it(text, more):
    mark = mark_for([TextPart(text)], seed=1, name="t")
    assert mark not in text and mark == mark_for([TextPart(text)], seed=1, name="t")
    assert mark != mark_for([TextPart(text)], seed=2, name="t")
    assert (text == more) == (mark == mark_for([TextPart(more)], seed=1, name="t"))
