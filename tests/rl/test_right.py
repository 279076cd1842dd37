"""Right is what the judge calls so, and only where it does not say what its reward reaches."""

import dataclasses
import math

import pytest

from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_summary import summary_of
from manyeyes.rl.right import is_right


def attempt(reward: float | None, parts: dict[str, float] | None = None, masked: str = "") -> Trajectory:
    return Trajectory("t/0/0", "t", reward=reward, rewards=parts or {}, masked=masked, stop="done")


@pytest.mark.parametrize(
    ("one", "right"),
    [
        (attempt(0.95, {"near": 0.9, "right": 1.0}), True),  # measured as near as measuring comes
        (attempt(1.0, {"near": 1.0, "right": 0.0}), False),
        (attempt(0.7, {"near": 0.7, "right": 0.0}), False),
        (attempt(1.0), True),
        (attempt(0.95), False),
        (attempt(1.0, {"right": math.nan}), True),
        (attempt(None, {"right": 1.0}), False),
        (attempt(math.nan, {"right": 1.0}), False),
        (attempt(1.0, {"right": 1.0}, "model: gone"), False),
    ],
)
def test_the_judge_decides_and_where_it_does_not_the_reward(one: Trajectory, right: bool) -> None:
    assert is_right(one, least=1.0) is right
    assert is_right(summary_of(one, stored=0.0), least=1.0) is right


def test_the_threshold_is_for_verdicts_that_do_not_say() -> None:
    assert is_right(attempt(0.6), least=0.5)
    assert not is_right(dataclasses.replace(attempt(0.6), rewards={"right": 0.0}), least=0.5)
