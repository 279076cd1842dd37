from hypothesis import given
from hypothesis import strategies as st

from manyeyes.view.stage_plan import StagePlan, planned
from manyeyes.view.time_left import PAUSE, TimeLeft


def fed(steps: int, *, seconds: float = 2.0, gap: float = 0.0, plan=(), tokens: int = 100) -> TimeLeft:
    left = TimeLeft(plan)
    for step in range(1, steps + 1):
        left.add("one", seconds=seconds, tokens=tokens, at=step * (seconds + gap))
    return left


def test_nothing_is_known_before_the_first_step() -> None:
    assert TimeLeft().seconds("one", stage_left=3, run_left=3) is None


@given(st.integers(2, 60), st.floats(0.01, 100), st.integers(0, 1000))
def test_an_even_run_is_foretold_exactly(done, seconds, rest) -> None:
    left = fed(done, seconds=seconds).seconds("one", stage_left=rest, run_left=rest)
    assert left is not None and abs(left - rest * seconds) <= 1e-6 * max(1.0, rest * seconds)


def test_one_slow_step_changes_little() -> None:
    left = fed(30)
    left.add("one", seconds=500.0, tokens=100, at=560.0)
    estimate = left.seconds("one", stage_left=10, run_left=10)
    assert estimate is not None and abs(estimate - 20) < 1


def test_evaluations_count_and_pauses_do_not() -> None:
    with_evaluations = fed(10, gap=1.0).seconds("one", stage_left=10, run_left=10)
    assert with_evaluations is not None and 28 < with_evaluations < 30.1  # 9 of 10 gaps are seen
    paused = fed(10)
    paused.add("one", seconds=2.0, tokens=100, at=20 + 2 + PAUSE)
    assert paused.seconds("one", stage_left=10, run_left=10) == 20
    assert paused.spent == 22


def test_later_stages_count_by_their_tokens() -> None:
    plan = [StagePlan("one", 10, 100), StagePlan("two", 5, 400)]
    assert fed(10, plan=plan).seconds("one", stage_left=0, run_left=5) == 5 * 8


def test_a_plan_is_read_from_whatever_a_config_holds() -> None:
    assert planned({}) == planned({"stages": "none"}) == planned({"stages": [3]}) == ()
    odd = {"name": 3, "steps": "ten", "rows": None, "schedule": [], "mixture": {"segments": [1]}, "trainable": "x"}
    assert planned({"stages": [odd]}) == (StagePlan("3", 0),)
