"""Schedules: bounded, continuous, with the promised values at their corners."""

import math
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.optim.schedule import Schedule, cosine, wsd

shapes = st.sampled_from(["linear", "sqrt", "cosine"])
schedules = st.builds(
    Schedule,
    peak=st.floats(1e-6, 10.0),
    warmup=st.integers(0, 50),
    decay=st.just(0.0) | st.floats(1e-3, 1.0),
    shape=shapes,
    end=st.floats(0.0, 1.0),
)


@given(schedule=schedules, steps=st.integers(1, 500), share=st.floats(0.0, 2.0))
def test_rates_lie_between_zero_and_the_peak(schedule, steps, share):
    assert 0.0 <= schedule.at(share * steps, steps) <= schedule.peak * (1 + 1e-12)


@given(schedule=schedules, steps=st.integers(1, 500), share=st.floats(0.0, 1.0))
def test_rates_are_continuous_in_the_step(schedule, steps, share):
    """A thousandth of a step moves the rate no further than the steepest part of its shape does."""
    decay = schedule.decay * steps
    step, small = share * steps, 1e-3
    warm = small / schedule.warmup if schedule.warmup else 0.0
    t = min(1.0, small / decay) if decay else 0.0
    fall = {"linear": t, "sqrt": math.sqrt(t), "cosine": math.pi / 2 * t}[schedule.shape]
    moved = abs(schedule.at(step + small, steps) - schedule.at(step, steps))
    assert moved <= schedule.peak * (warm + fall) * (1 + 1e-6) + 1e-12


@given(schedule=schedules, steps=st.integers(1, 500))
def test_after_the_warm_up_rates_never_rise(schedule, steps):
    rates = [schedule.at(step, steps) for step in range(max(0, schedule.warmup - 1), steps + 2)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in zip(rates, rates[1:], strict=False))


@given(schedule=schedules, steps=st.integers(1, 500))
def test_corners(schedule, steps):
    assume(schedule.warmup + schedule.decay * steps <= steps)
    if schedule.warmup:
        assert schedule.at(0, steps) == pytest.approx(schedule.peak / schedule.warmup)
        assert schedule.at(schedule.warmup - 1, steps) == pytest.approx(schedule.peak)
    assert schedule.at((1 - schedule.decay) * steps, steps) == pytest.approx(schedule.peak, rel=1e-5)
    if schedule.decay > 0:
        assert schedule.at(steps, steps) == pytest.approx(schedule.end * schedule.peak)
        assert schedule.at(steps + 9, steps) == schedule.at(steps, steps)
    else:
        assert schedule.at(steps, steps) == pytest.approx(schedule.peak)


@pytest.mark.parametrize("shape, middle", [("linear", 0.5), ("sqrt", 1 - math.sqrt(0.5)), ("cosine", 0.5)])
def test_the_middle_of_the_decay(shape, middle):
    assert wsd(80, 100, peak=2.0, decay=40, shape=shape, end=0.1) == pytest.approx(2.0 * (0.1 + 0.9 * middle))


def test_cosine_is_the_textbook_formula():
    for step in range(10, 101):
        expected = 3e-5 + 0.5 * (3e-4 - 3e-5) * (1 + math.cos(math.pi * (step - 10) / 90))
        assert cosine(step, 100, peak=3e-4, warmup=10, end=0.1) == pytest.approx(expected)


@given(
    steps=st.integers(1, 500),
    warmup=st.integers(0, 60),
    end=st.floats(0, 1),
    shape=shapes,
    decay=st.floats(0, 1),
    share=st.floats(0, 2),
)
def test_the_cosine_kind_decays_over_all_that_the_warm_up_leaves(steps, warmup, end, shape, decay, share):
    schedule = Schedule(peak=3e-4, warmup=warmup, kind="cosine", end=end, shape=shape, decay=decay)
    step = share * steps
    t = min(1.0, max(0.0, (step - warmup) / (steps - warmup))) if warmup < steps else 0.0
    fall = end + (1 - end) * 0.5 * (1 + math.cos(math.pi * t))
    warm = min(1.0, (step + 1) / warmup) if warmup else 1.0
    assert schedule.at(step, steps) == pytest.approx(3e-4 * warm * fall, rel=1e-9, abs=1e-18)
    if warmup <= steps:
        for early in range(warmup):  # no decay while the rate still warms up
            assert schedule.at(early, steps) == pytest.approx(3e-4 * (early + 1) / warmup)
    if warmup < steps:
        assert schedule.at(steps, steps) == pytest.approx(3e-4 * end, abs=1e-18)


def test_a_cosine_of_torch_gives_the_same_rates():
    """`CosineAnnealingLR` behind the warm-up."""
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=3e-4)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90, eta_min=3e-5)
    schedule = Schedule(peak=3e-4, warmup=10, kind="cosine", end=0.1)
    for step in range(10, 101):
        assert schedule.at(step, 100) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        peer.step()


@given(schedule=schedules, steps=st.integers(1, 500), share=st.floats(0, 2))
def test_kind_wsd_is_the_default_and_the_function_of_that_name(schedule, steps, share):
    values = {"peak": schedule.peak, "warmup": schedule.warmup, "shape": schedule.shape, "end": schedule.end}
    assert schedule.kind == "wsd"
    assert schedule.at(share * steps, steps) == wsd(share * steps, steps, decay=schedule.decay * steps, **values)


def test_the_schedule_of_kimi_k2():
    """Constant 2e-4 for 10T of 15.5T tokens, then a cosine to 2e-5; batches of 67M tokens."""
    steps = round(15.5e12 / 67e6)
    schedule = Schedule(peak=2e-4, warmup=500, decay=5.5 / 15.5, shape="cosine", end=0.1)
    assert schedule.at(499, steps) == pytest.approx(2e-4)
    assert schedule.at(10e12 / 67e6, steps) == pytest.approx(2e-4, rel=1e-6)
    assert schedule.at(12.75e12 / 67e6, steps) == pytest.approx(1.1e-4, rel=1e-4)
    assert schedule.at(steps, steps) == pytest.approx(2e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"peak": -1.0},
        {"peak": math.nan},
        {"warmup": -1},
        {"decay": 1.5},
        {"end": -0.1},
        {"shape": "stairs"},
        {"kind": "step"},
    ],
)
def test_contradictions_are_refused(wrong):
    with pytest.raises(ConfigError, match="Schedule"):
        Schedule(**{"peak": 1.0, **wrong})


def test_schedules_and_settings_need_no_torch():
    code = "import sys, manyeyes.optim.schedule, manyeyes.optim.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
