"""Figures are means over what can be learned from, by domain and part; shares of time add up."""

import dataclasses
import math

import numpy as np
import pytest

from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.task import Task
from manyeyes.core.trajectory import AgentSpan, Event, Node, Trajectory
from manyeyes.rl.loop_figures import StepTime, progress_line, rollout_figures


def group(name: str, rewards: list[float | None], *, version: int = 3, complete: bool = True) -> Group:
    made = Group(GroupRequest(name, Task("t", ""), None, max(len(rewards), 1)), complete=complete)
    for number, reward in enumerate(rewards):
        parts = {} if reward is None else {"right": reward}
        one = Trajectory(f"t/{name}/{number}", "t", reward=reward, rewards=parts, stop="done")
        one.add(Node(np.array([1, 5], np.int32), 1, np.zeros(1, np.float32), np.full(1, version, np.int32)))
        made.trajectories.append(one)
    return made


def test_means_by_domain_place_and_part() -> None:
    groups = [
        group("0", [1.0, 0.0]), group("1", [1.0, None, math.nan], version=5), group("2", [0.0], complete=False),
        group("3", [0.0]),
    ]  # fmt: skip
    places = {"0": "coding/text", "1": "agentic/tools", "2": "agentic/tools", "3": "coding/pictures"}
    found = rollout_figures(groups, places, right=1.0, version=5)
    assert found["reward/coding"] == pytest.approx(1 / 3) and found["reward/agentic"] == 1.0 and found["success"] == 0.5
    assert (found["reward/coding/text"], found["success/coding/pictures"], found["length/coding/text"]) == (0.5, 0, 1)
    assert found["part/right"] == 0.5 and found["length"] == 1.0
    assert (found["staleness/mean"], found["staleness/most"]) == (pytest.approx(4 / 3), 2.0)


def test_lengths_of_right_and_wrong_answers_and_what_their_turns_are_like() -> None:
    groups = [group("0", [1.0, 0.0, 0.0])]
    right, wrong, _ = groups[0].trajectories
    more = Node(np.array([2, 5, 6], np.int32), 1, np.zeros(2, np.float32), np.zeros(2, np.int32), parent=0)
    right.add(more)
    right.events += [Event("tool"), Event("tool"), Event("judge")]
    wrong.add(dataclasses.replace(more, stop="length", malformed="no end"))
    wrong.agents.append(AgentSpan("main/0", parent=0, policy="frozen"))
    wrong.add(dataclasses.replace(more, agent=1))
    found = rollout_figures(groups, {"0": "coding/text"}, right=1.0, version=3)
    assert (found["length_right"], found["length_wrong"], found["length"]) == (3.0, 2.0, pytest.approx(7 / 3))
    assert (found["turns"], found["calls"]) == (pytest.approx(5 / 3), pytest.approx(2 / 3))
    assert (found["cut"], found["malformed"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_lengths_of_right_answers_are_those_that_the_judge_calls_right() -> None:
    groups = [group("0", [0.95, 0.9])]
    near, wrong = groups[0].trajectories
    near.rewards, wrong.rewards = {"right": 1.0}, {"right": 0.0}
    found = rollout_figures(groups, {"0": "perception/measure_gauge"}, right=1.0, version=3)
    assert (found["success"], found["length_right"], found["length_wrong"]) == (0.5, 1.0, 1.0)


@pytest.mark.parametrize("groups", [[], [group("0", [])]])
def test_nothing_has_no_figures(groups: list[Group]) -> None:
    assert rollout_figures(groups, {"0": "coding/text"}, right=1.0, version=0) == {}


def test_shares_of_time_add_up() -> None:
    found = StepTime(waited=3.0, trained=1.0, published=0.0, sampled=400, learned=50).figures
    assert (found["share/rollout"], found["share/train"], found["share/publish"]) == (0.75, 0.25, 0.0)
    assert (found["tokens_per_second/rollout"], found["tokens_per_second/train"]) == (100.0, 50.0)
    assert all(math.isfinite(value) for value in StepTime().figures.values())


def test_a_line_says_why_there_was_no_update() -> None:
    assert progress_line(2, 9, {"reward": 0.5}, why_not="", seconds=1.0) == "step 2/9: reward 0.500, 1.0 s"
    assert progress_line(2, 9, {}, why_not="no groups", seconds=1.0) == "step 2/9: no update: no groups, 1.0 s"
