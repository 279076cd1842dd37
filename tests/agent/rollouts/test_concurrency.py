"""The cap stays within its bounds, shrinks when the engines object and grows when they do not; bursts are bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.rollouts.concurrency import AdaptiveCap, Burst, EngineSample
from manyeyes.core.errors import ConfigError

SAMPLES = st.builds(
    EngineSample, st.integers(0, 500), st.integers(0, 500), st.integers(0, 3), st.integers(0, 3), st.floats(0.0, 2.0)
)


@given(st.lists(st.tuples(SAMPLES, st.integers(0, 400)), max_size=60))
@settings(max_examples=200, deadline=None)
def test_the_cap_stays_within_its_bounds_and_moves_the_right_way(samples: list[tuple[EngineSample, int]]) -> None:
    cap = AdaptiveCap(floor=8, ceiling=256, cap=64)
    for sample, running in samples:
        before = cap.cap
        cap.take(sample, running=running)
        assert 8 <= cap.cap <= 256
        if sample.preempted or sample.refused or sample.queued > max(1, sample.running):
            assert cap.cap <= before


def test_a_steady_engine_is_filled_up_and_an_overloaded_one_is_left_in_peace() -> None:
    cap = AdaptiveCap(floor=8, ceiling=256, cap=16, step=16)
    for _ in range(20):
        cap.take(EngineSample(running=cap.cap), running=cap.cap)
    assert cap.cap == 256
    for _ in range(100):
        cap.take(EngineSample(running=10, queued=100), running=cap.cap)
    assert cap.cap == 8


def test_one_objection_is_given_time_to_show() -> None:
    cap = AdaptiveCap(floor=8, ceiling=256, cap=100, shrink=0.5, patience=3)
    caps = []
    for _ in range(4):
        cap.take(EngineSample(preempted=1), running=cap.cap)
        caps.append(cap.cap)
    assert caps == [50, 50, 50, 25]


def test_a_cap_that_nobody_reaches_does_not_grow() -> None:
    cap = AdaptiveCap(floor=8, ceiling=256, cap=100)
    cap.take(EngineSample(running=10), running=10)
    assert cap.cap == 100


@given(st.lists(st.sampled_from(["tick", "take", "refund"]), max_size=200), st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_starts_never_outrun_ticks_and_refunds(steps: list[str], rate: int) -> None:
    burst, started, allowed = Burst(rate=rate), 0, 0
    for step in steps:
        if step == "tick":
            burst.tick()
            allowed += rate
        elif step == "refund":
            burst.refund()
            allowed += 1
        else:
            started += burst.take()
        assert 0 <= burst.left <= rate and started <= allowed


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="floor"):
        AdaptiveCap(floor=8, ceiling=4)
    with pytest.raises(ConfigError, match="at least one"):
        Burst(rate=0)
