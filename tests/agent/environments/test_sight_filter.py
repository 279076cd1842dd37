"""Tasks that a blind policy solves go, and no others."""

import math

import pytest

from manyeyes.agent.environments.sight_filter import need_eyes, solved
from manyeyes.core.errors import ConfigError


def test_a_task_goes_when_its_blind_attempts_reach_the_share() -> None:
    rewards = {"a": [1.0, 1.0, 0.0, 0.0], "b": [1.0, 0.0, 0.0, 0.0], "c": [0.0] * 4}
    assert need_eyes(rewards) == {"b", "c"}
    assert need_eyes(rewards, share=0.25) == {"c"}
    assert need_eyes(rewards, share=1.0) == {"a", "b", "c"}


def test_what_counts_as_a_solution_is_said() -> None:
    assert need_eyes({"a": [0.6, 0.6]}) == {"a"} and need_eyes({"a": [0.6, 0.6]}, right=0.5) == frozenset()


def test_attempts_without_a_verdict_say_nothing() -> None:
    assert need_eyes({"a": [None, None], "b": [], "c": [None, 1.0], "d": [math.nan, 1.0]}) == {"a", "b"}
    assert solved([None, 1.0, 0.0]) == 0.5


def test_a_share_that_drops_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="share"):
        need_eyes({"a": [0.0]}, share=0.0)
