import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.data.mixture import Mixture, Segment, constant, early, fusion, late, mid, one_pass


def test_the_three_strategies_of_table_1() -> None:
    assert early(1000).segments == (Segment(0, 0.1),)
    assert mid(1000).segments == (Segment(0, 0.0), Segment(500, 0.2))
    assert late(1000).segments == (Segment(0, 0.0), Segment(800, 0.5))


@given(begin=st.floats(0, 0.85), tokens=st.integers(10**4, 10**13))
def test_the_vision_budget_is_the_same_whenever_fusion_begins(begin: float, tokens: int) -> None:
    segments = fusion(tokens, begin=begin, vision=0.1).segments
    ends = [segment.start for segment in segments[1:]] + [tokens]
    budget = sum(s.vision * (end - s.start) for s, end in zip(segments, ends, strict=True))
    assert budget == pytest.approx(0.1 * tokens, rel=1e-3)


def test_fusion_that_begins_too_late_is_refused() -> None:
    with pytest.raises(ConfigError, match="begin earlier"):
        fusion(1000, begin=0.95, vision=0.1)


def test_segments_are_found_by_tokens() -> None:
    mixture = Mixture((Segment(0, 0.0), Segment(10, 0.2), Segment(30, 0.4)))
    assert [mixture.segment_at(tokens) for tokens in (0, 9, 10, 29, 30, 1000)] == [0, 0, 1, 1, 2, 2]


def test_caps_count_samples() -> None:
    mixture = constant(0.0, epochs={"a": 1.5, "b": 0.0001})
    assert (mixture.cap("a", 10), mixture.cap("b", 10), mixture.cap("c", 10)) == (15, 1, float("inf"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Segment(0, 1.2), "0 to 1"),
        (lambda: Segment(0, 0.1, {"a": -1.0}), "weight of source 'a'"),
        (lambda: Segment(0, 0.1, {"a": float("inf")}), "finite"),
        (lambda: Mixture(()), "start at 0"),
        (lambda: Mixture((Segment(5, 0.1),)), "start at 0"),
        (lambda: Mixture((Segment(0, 0.1), Segment(0, 0.2))), "ascend"),
        (lambda: constant(0.1, epochs={"a": 0.0}), "weight 0 switches it off"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_one_pass_caps_every_source_at_one_epoch() -> None:
    mixture = one_pass(["a", "b"])
    assert mixture.finite and mixture.epochs == {"a": 1.0, "b": 1.0}
