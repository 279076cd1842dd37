"""Tasks that a blind policy solves go, and no others."""

import asyncio
import math

import pytest

from manyeyes.agent.environments.sight_filter import blind_rewards, need_eyes, solved
from manyeyes.agent.environments.sights import environment, sights
from manyeyes.agent.fakes import Scripted
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import assistant
from manyeyes.data.synthesis.zero_vision_sights import sight


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


def test_a_policy_that_always_says_the_same_solves_those_tasks_whose_answer_that_is() -> None:
    tasks = list(sights(kinds=("count",), size=30, epochs=1))
    guess = Scripted(lambda messages: assistant("2"))
    rewards = asyncio.run(blind_rewards({"live": guess}, tasks, environment(tools=False, blind=True), attempts=2))
    kept = need_eyes(rewards)
    assert {len(given) for given in rewards.values()} == {2} and rewards.keys() == {task.id for task in tasks}
    answers = {task.id: sight("count", task.truth["number"]).answer for task in tasks}
    assert kept == {task for task, answer in answers.items() if answer != "2"} != rewards.keys()
    left = {task.id for task in sights(kinds=("count",), size=30, epochs=1, dropped=rewards.keys() - kept)}
    assert left == kept
