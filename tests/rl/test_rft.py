"""What is kept is right, brief, different, and plain; and it is the same whatever the order."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import AgentSpan, Node, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl.rft import RftRules, kept_of_store, kept_samples


def answer(name: str, said: list[int], reward: float | None, *, masked: str = "", frozen: bool = False) -> Trajectory:
    one = Trajectory(name, name.rsplit("/", 2)[0], reward=reward, masked=masked, stop="done")
    n = len(said)
    one.add(Node(np.array([1, 2, *said], np.int32), 2, np.full(n, -0.5, np.float32), np.full(n, 3, np.int32)))
    if frozen:
        one.agents.append(AgentSpan("main/0", parent=0, policy="frozen"))
        one.add(Node(np.array([9, 9], np.int32), 1, np.zeros(1, np.float32), np.zeros(1, np.int32), agent=1))
    return one


FOUND = [
    answer("a/0/0", [5, 6, 7], 1.0),
    answer("a/0/1", [5, 6], 1.0, frozen=True),
    answer("a/0/2", [5, 6], 0.0),
    answer("a/1/0", [5, 6], 1.0),
    answer("a/1/1", [8], math.nan),
    answer("a/1/2", [8], None),
    answer("a/1/3", [8], 1.0, masked="model: gone"),
    answer("b/0/0", [4, 4, 4, 4], 1.0),
]


def test_the_briefest_right_answer_of_each_task_is_kept() -> None:
    kept = kept_samples(FOUND)
    assert kept.names == ["a/0/1", "b/0/0"]
    assert kept.tally == {"kept": 2, "wrong": 1, "unjudged": 2, "masked": 1, "more": 2}
    assert kept_samples(FOUND[::-1]).names == kept.names


def test_more_of_a_task_are_different_ones() -> None:
    without = [one for one in FOUND if one.name != "a/0/1"] + [answer("a/2/0", [5, 6], 1.0)]
    kept = kept_samples(without, RftRules(per_task=3))
    assert kept.names == ["a/1/0", "a/0/0", "b/0/0"] and kept.tally["same"] == 1


def test_a_higher_reward_goes_before_brevity() -> None:
    ones = [answer("a/0/0", [5], 1.0), answer("a/0/1", [5, 6, 7], 2.0)]
    assert kept_samples(ones).names == ["a/0/1"]


@pytest.mark.parametrize(("change", "why"), [({"stop": "length"}, "cut"), ({"malformed": "no end"}, "malformed")])
def test_an_answer_that_is_right_and_no_turn_is_no_example(change: dict, why: str) -> None:
    one = answer("a/0/0", [5, 6], 1.0, frozen=True)
    one.nodes[1] = dataclasses.replace(one.nodes[1], **change)  # of a frozen agent: not learned
    assert kept_samples([one]).names == ["a/0/0"]
    one.nodes[0] = dataclasses.replace(one.nodes[0], **change)
    assert kept_samples([one]).tally == {why: 1, "kept": 0}
    assert kept_samples([one], RftRules(whole=False)).names == ["a/0/0"]


@pytest.mark.parametrize("rules", [RftRules(longest=3), RftRules(row_length=5)])
def test_what_is_too_long_is_left_out(rules: RftRules) -> None:
    kept = kept_samples(FOUND, rules)
    assert kept.names == ["a/0/1"] and kept.tally["long"] == 1


def test_samples_weigh_what_live_agents_sampled_and_know_nothing_of_rl() -> None:
    kept = kept_samples(FOUND)
    assert [sample.ids.tolist() for sample in kept.samples] == [[1, 2, 5, 6], [1, 2, 4, 4, 4, 4]]
    assert [sample.weights.tolist() for sample in kept.samples] == [[0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]
    assert all(s.logprobs is s.advantages is s.versions is s.routing is None for s in kept.samples)


def test_a_store_gives_the_right_ones_and_counts_all(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path) as store:
        for one in FOUND:
            store.append(one)
        kept = kept_of_store(store)
    assert kept.names == ["a/0/1", "b/0/0"] and kept.tally == kept_samples(FOUND).tally
    assert (kept.attempts, kept.right, kept.tokens) == (8, 4, 10)


def test_a_right_answer_need_not_earn_the_whole_reward(tmp_path: Path) -> None:
    """A gauge read as near as measuring comes earns 0.95; a word of which a letter is wrong earns nearly as much."""
    near = dataclasses.replace(answer("a/0/0", [5], 0.95), rewards={"near": 0.9, "right": 1.0})
    wrong = dataclasses.replace(answer("a/0/1", [6], 0.97), rewards={"near": 0.97, "right": 0.0})
    with TrajectoryStore(tmp_path) as store:
        store.append(near)
        store.append(wrong)
        kept = kept_of_store(store, RftRules())
    assert kept.names == ["a/0/0"] and kept.tally["wrong"] == 1 and kept.right == 1


@pytest.mark.parametrize("settings", [{"per_task": 0}, {"least_reward": math.nan}, {"longest": 0}])
def test_rules_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match="RFT"):
        RftRules(**settings)
