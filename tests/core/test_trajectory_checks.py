"""Checks: a sound trajectory passes them all, and each broken one is named with what is wrong."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from manyeyes.core.media import Grid, Media
from manyeyes.core.trajectory import AgentSpan, Event, Node, Trajectory
from manyeyes.core.trajectory_checks import Rules, check_batch, check_group, check_trajectory

PAD = 50
RULES = Rules(
    vocab_size=100, media_pad=PAD, version=7, most_tokens=20, parts=frozenset({"right"}), group_size=2, quorum=2
)
PICTURE = Media(np.zeros((8, 3, 2, 2), np.uint8), Grid(1, 2, 4))  # two tokens
SMALL = Media(np.zeros((4, 3, 2, 2), np.uint8), Grid(1, 2, 2))


def node(told: list[int], sampled: list[int], **more: object) -> Node:
    lp = np.full(len(sampled), -0.5, np.float32)
    return Node(np.array(told + sampled, np.int32), len(told), lp, np.full(len(sampled), 5, np.int32), **more)  # type: ignore[arg-type]


def sound(name: str = "t/0/0") -> Trajectory:
    agents = [AgentSpan(ended=3.0), AgentSpan("main/0", parent=0, node=0, policy="frozen", ended=2.0)]
    whole = Trajectory(name, "t/0", "maze", agents, stop="done", reward=1.0, rewards={"right": 1.0})
    root = whole.add(node([1, PAD, PAD, 2], [3, 4, int(name[-1])], media=(PICTURE,)))
    whole.add(node([5], [6, 7], parent=root))
    whole.add(node([8], [9], agent=1))
    whole.events.append(Event("tool", agent=0, node=root, data={"name": "shell"}))
    return whole


def change(number: int, **fields: object) -> Callable[[Trajectory], None]:
    def act(whole: Trajectory) -> None:
        old = whole.nodes[number]
        for key in ("logprobs", "versions"):
            if key in fields:
                fields[key] = np.array(fields[key], np.float32 if key == "logprobs" else np.int32)
        whole.nodes[number] = replace(old, **fields)  # type: ignore[arg-type]

    return act


def put(**fields: object) -> Callable[[Trajectory], None]:
    def act(whole: Trajectory) -> None:
        for key, value in fields.items():
            setattr(whole, key, value)

    return act


def test_a_sound_trajectory_has_no_findings() -> None:
    assert check_batch([sound("t/0/0"), sound("t/0/1")], RULES) == []
    assert check_trajectory(sound(), Rules()) == []


@pytest.mark.parametrize(
    ("harm", "severity", "check", "number", "words"),
    [
        (change(1, ids=np.array([5, 6, 100], np.int32)), "error", "vocabulary", 1, "id 100 lies outside 0..99"),
        (change(1, ids=np.array([-1, 6, 7], np.int32)), "error", "vocabulary", 1, "id -1"),
        (change(1, logprobs=[-0.5, 0.1]), "error", "log_probabilities", 1, "1 log-probabilities are not finite"),
        (change(1, logprobs=[-np.inf, -1]), "error", "log_probabilities", 1, "-inf"),
        (change(1, logprobs=[np.nan, -1]), "warning", "log_probabilities", 1, "1 of 2 sampled tokens have no"),
        (change(1, versions=[5, 4]), "error", "versions", 1, "go back within a turn: 5, 4"),
        (change(1, versions=[5, 8]), "error", "versions", 1, "version 8 is newer than the newest, 7"),
        (change(1, versions=[-1, -1]), "warning", "versions", 1, "no version is known"),
        (change(0, media=()), "error", "media", 0, "1 runs of <|media_pad|> and 0 items"),
        (
            change(0, media=(Media(np.zeros((4, 3, 2, 2), np.uint8), Grid(1, 2, 2)),)),
            "error",
            "media",
            0,
            "fills 1 tok",
        ),
        (change(2, ids=np.array([8, PAD], np.int32), media=(PICTURE,)), "error", "media", 2, "fills 2 tokens"),
        (change(2, ids=np.array([8, PAD], np.int32), media=(PICTURE,)), "error", "media", 2, "the policy sampled"),
        (put(reward=float("nan")), "error", "verdict", -1, "'reward' is nan"),
        (put(rewards={"right": float("inf")}), "error", "verdict", -1, "'right' is inf"),
        (put(rewards={"style": 1.0}), "error", "verdict", -1, "no part right; it has style"),
        (put(reward=None), "error", "verdict", -1, "no reward"),
        (put(stop=""), "error", "ending", -1, "has not ended"),
        (put(stop="failed"), "error", "ending", -1, "not masked"),
        (lambda whole: setattr(whole.agents[1], "ended", float("nan")), "warning", "ending", -1, "main/0"),
        (change(1, ids=np.arange(20, dtype=np.int32), given=18), "error", "token_budget", 1, "27 tokens, at most 20"),
        (change(1, parent=1), "error", "forest", 1, "parent 1"),
        (change(1, agent=2), "error", "forest", 1, "agent 2"),
        (change(1, ids=np.array([5, 6, 7], np.int64)), "error", "forest", 1, "ids are int64, expected int32"),
        (put(events=[Event("tool", agent=4)]), "error", "forest", -1, "agent 4"),
        (put(agents=[]), "error", "forest", -1, "no agent"),
        (lambda whole: setattr(whole.agents[1], "parent", 1), "error", "forest", -1, "main/0 names parent 1"),
        (lambda whole: setattr(whole.agents[1], "node", 9), "error", "forest", -1, "node 9"),
    ],
)
def test_each_check_names_what_it_finds(
    harm: Callable[[Trajectory], None], severity: str, check: str, number: int, words: str
) -> None:
    whole = sound()
    harm(whole)
    found = check_trajectory(whole, RULES)
    assert [f for f in found if (f.severity, f.check, f.node) == (severity, check, number) and words in f.words], found
    assert {f.check for f in found} == {check} and all(f.name == "t/0/0" for f in found)


def test_a_broken_node_is_found_although_no_node_can_be_made_so() -> None:
    whole = sound()
    object.__setattr__(whole.nodes[1], "logprobs", np.zeros(1, np.float32))
    assert "do not fit together" in str(check_trajectory(whole, RULES)[0])


def test_a_masked_failure_is_no_finding() -> None:
    whole = sound()
    whole.stop, whole.masked, whole.reward, whole.rewards = "failed", "the sandbox died", None, {}
    assert check_trajectory(whole, RULES) == []


def test_the_same_twice_is_found_by_name_and_by_content() -> None:
    named, copied = sound("t/0/0"), sound("t/0/0")
    assert [f.check for f in check_batch([named, copied], RULES)] == ["duplicates"]
    copied.name = "t/0/1"
    (found,) = check_batch([named, copied], RULES)
    assert found.severity == "warning" and found.name == "t/0/0" and "those of t/0/1;" in found.words
    third = sound("t/0/0")
    third.name = "t/0/2"
    assert "t/0/1 and 1 more" in check_batch([named, copied, third], RULES)[0].words


def test_a_group_has_its_size_its_quorum_and_one_task() -> None:
    pair = [sound("t/0/0"), sound("t/0/1")]
    pair[1].reward = 0.0
    assert check_group(pair, RULES) == []
    pair[1].reward = 1.0
    assert ["nothing is learned" in f.words for f in check_group(pair, RULES)] == [True]
    pair[1].masked = "a hole"
    assert ["quorum is 2" in f.words for f in check_group(pair, RULES)] == [True]
    assert {"expected 2"} <= {f.words[-10:] for f in check_group(pair[:1], RULES)}
    other = sound("u/0/0")
    other.task = "u/0"
    assert any("2 tasks" in f.words for f in check_group([pair[0], other], RULES))
    assert any("2 times" in f.words for f in check_group([pair[0], pair[0]], RULES))
