"""Checks of trajectories: what must hold of recorded data before anything learns from it, and which one breaks it.

    check_trajectory(one, rules)     each check is a function of one trajectory: words, and the node that they are about
    check_group(names, ...)          attempts at one task
    check_batch(trajectories, rules) all of it, and that nothing is there twice
    core.sample_checks               the same for what the trainer gets

An *error* must not be trained on; a *warning* is for people. No check changes anything.

Report: App. D (token in, token out; Eq. 1 of §2.3 needs the log-probability of every sampled token).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.data_rules import Finding, Rules, Said, Severity, impossible, outside, unmatched
from manyeyes.core.trajectory import NOBODY, Node, Trajectory

__all__ = ["CHECKS", "Finding", "Rules", "check_batch", "check_group", "check_trajectory"]


def check_trajectory(trajectory: Trajectory, rules: Rules) -> list[Finding]:
    """What does not hold of one trajectory; where its forest is broken, nothing else is looked at."""
    name = trajectory.name
    if broken := [Finding(severity, "forest", name, node, words) for severity, node, words in forest(trajectory)]:
        return broken
    return [Finding(s, check.__name__, name, n, words) for check in CHECKS for s, n, words in check(trajectory, rules)]


def check_group(trajectories: Sequence[Trajectory], rules: Rules, *, name: str = "") -> list[Finding]:
    """What does not hold of the attempts at one task."""
    name = name or (trajectories[0].task if trajectories else "a group")
    return [Finding(severity, "group", name, NOBODY, words) for severity, words in _group(trajectories, rules)]


def check_batch(trajectories: Iterable[Trajectory], rules: Rules) -> list[Finding]:
    """What does not hold of each, and what is there twice."""
    names: set[str] = set()
    contents: dict[bytes, list[str]] = {}
    findings: list[Finding] = []
    for one in trajectories:
        findings += check_trajectory(one, rules)
        if one.name in names:
            findings.append(Finding("error", "duplicates", one.name, NOBODY, "another trajectory has the same name"))
        elif one.sampled_tokens:
            contents.setdefault(_content(one), []).append(one.name)
        names.add(one.name)
    return [*findings, *_alike(contents.values())]


def forest(trajectory: Trajectory) -> Iterator[Said]:
    """Nodes continue earlier ones, and agents, nodes and arrays are there and of the right kind."""
    if not trajectory.agents:
        yield "error", NOBODY, "there is no agent"
    for number, agent in enumerate(trajectory.agents):
        if not NOBODY <= agent.parent < number:
            yield "error", NOBODY, f"agent {agent.name} names parent {agent.parent}, which was not there before it"
        if not NOBODY <= agent.node < len(trajectory.nodes):
            yield "error", NOBODY, f"agent {agent.name} was started by node {agent.node}, which is not there"
    for number, node in enumerate(trajectory.nodes):
        for words in _node(node, number, len(trajectory.agents)):
            yield "error", number, words
    for event in trajectory.events:
        if not NOBODY <= event.agent < len(trajectory.agents) or not NOBODY <= event.node < len(trajectory.nodes):
            yield "error", NOBODY, f"event {event.kind} names agent {event.agent} and node {event.node}: not there"


def vocabulary(trajectory: Trajectory, rules: Rules) -> Iterator[Said]:
    """Ids are those of the vocabulary."""
    for number, node in enumerate(trajectory.nodes):
        if rules.vocab_size is not None and (words := outside(node.ids, rules.vocab_size)):
            yield "error", number, words


def log_probabilities(trajectory: Trajectory, rules: Rules) -> Iterator[Said]:
    """Each sampled token has a log-probability of at most 0; one without is not trained on."""
    for number, node in enumerate(trajectory.nodes):
        unknown = int(np.isnan(node.logprobs).sum())
        if unknown:
            yield "warning", number, f"{unknown} of {len(node.logprobs)} sampled tokens have no log-probability"
        if words := impossible(node.logprobs[~np.isnan(node.logprobs)], rules.tolerance):
            yield "error", number, words


def versions(trajectory: Trajectory, rules: Rules) -> Iterator[Said]:
    """Weights only get newer while a turn is sampled, and nobody samples from weights that are not there yet."""
    for number, node in enumerate(trajectory.nodes):
        if not len(node.versions):
            continue
        if (np.diff(node.versions) < 0).any():
            yield "error", number, f"versions go back within a turn: {_few(node.versions)}"
        if node.versions.min() < 0:
            yield "warning", number, "no version is known of some sampled tokens"
        if rules.version is not None and node.versions.max() > rules.version:
            yield "error", number, f"version {node.versions.max()} is newer than the newest, {rules.version}"


def media(trajectory: Trajectory, rules: Rules) -> Iterator[Said]:
    """Every run of `<|media_pad|>` has its picture, of as many tokens; and nobody sampled one."""
    if rules.media_pad is None:
        return
    for number, node in enumerate(trajectory.nodes):
        if words := unmatched(node.ids, node.media, rules.media_pad):
            yield "error", number, words
        if (node.sampled == rules.media_pad).any():
            yield "error", number, "the policy sampled <|media_pad|>, which stands for pixels that are not there"


def verdict(trajectory: Trajectory, rules: Rules) -> Iterator[Said]:
    """The reward is finite, with the parts that were asked for; a rollout that may be trained on has one."""
    values = {"reward": trajectory.reward, **trajectory.rewards}
    for part, value in values.items():
        if value is not None and not math.isfinite(value):
            yield "error", NOBODY, f"the reward {part!r} is {value}, expected a finite number"
    if trajectory.reward is None:
        if not trajectory.masked and trajectory.stop != "failed":
            yield "error", NOBODY, "it has no reward and is not masked"
    elif missing := sorted(rules.parts - set(trajectory.rewards)):
        has = ", ".join(sorted(trajectory.rewards)) or "none"
        yield "error", NOBODY, f"the verdict has no part {', '.join(missing)}; it has {has}"


def ending(trajectory: Trajectory, rules: Rules) -> Iterator[Said]:
    """It ended, with all its agents."""
    if not trajectory.finished:
        yield "error", NOBODY, "its main agent has not ended"
    elif running := [agent.name for agent in trajectory.agents[1:] if not math.isfinite(agent.ended)]:
        yield "warning", NOBODY, f"{len(running)} agents have no end, the first of them {running[0]}"
    if trajectory.stop == "failed" and not trajectory.masked:
        yield "error", NOBODY, "infrastructure ended it, and it is not masked"


def token_budget(trajectory: Trajectory, rules: Rules) -> Iterator[Said]:
    """No branch is longer than the trainer takes."""
    if rules.most_tokens is None:
        return
    lengths = np.zeros(len(trajectory.nodes), np.int64)
    for number, node in enumerate(trajectory.nodes):
        lengths[number] = len(node.ids) + (lengths[node.parent] if node.parent != NOBODY else 0)
    for leaf in trajectory.leaves:
        if lengths[leaf] > rules.most_tokens:
            yield "error", leaf, f"the branch has {lengths[leaf]:,} tokens, at most {rules.most_tokens:,} fit"


CHECKS: tuple[Callable[[Trajectory, Rules], Iterator[Said]], ...] = (
    vocabulary, log_probabilities, versions, media, verdict, ending, token_budget,
)  # fmt: skip
"""Each yields what does not hold."""


def _node(node: Node, number: int, agents: int) -> Iterator[str]:
    sampled = len(node.ids) - node.given
    if not NOBODY <= node.parent < number:
        yield f"it names parent {node.parent}, which was not there before it"
    if not 0 <= node.agent < agents:
        yield f"it names agent {node.agent}, which is not there"
    if not 0 <= node.given <= len(node.ids) or len(node.logprobs) != sampled or len(node.versions) != sampled:
        yield (
            f"{len(node.ids)} ids, {node.given} given, {len(node.logprobs)} log-probabilities and {len(node.versions)} "
            "versions do not fit together"
        )
    for label, array, kind in (
        ("ids", node.ids, "i"),
        ("logprobs", node.logprobs, "f"),
        ("versions", node.versions, "i"),
    ):
        if array.dtype.kind != kind or array.dtype.itemsize != 4:
            yield f"{label} are {array.dtype}, expected {'float32' if kind == 'f' else 'int32'}"


def _group(trajectories: Sequence[Trajectory], rules: Rules) -> Iterator[tuple[Severity, str]]:
    tasks = sorted({one.task for one in trajectories})
    if len(tasks) > 1:
        yield "error", f"attempts at {len(tasks)} tasks: {', '.join(tasks[:3])}"
    for name, times in Counter(one.name for one in trajectories).items():
        if times > 1:
            yield "error", f"{name} is in it {times} times"
    if rules.group_size is not None and len(trajectories) != rules.group_size:
        yield "error", f"{len(trajectories)} attempts, expected {rules.group_size}"
    rewards = [one.reward for one in trajectories if one.reward is not None and not one.masked]
    if rules.quorum is not None and len(rewards) < rules.quorum:
        yield "error", f"{len(rewards)} attempts have a verdict and may be trained on, the quorum is {rules.quorum}"
    if len(rewards) > 1 and len(set(rewards)) == 1:
        yield "warning", f"all {len(rewards)} rewards are {rewards[0]:g}: nothing is learned from them"


def _alike(contents: Iterable[list[str]]) -> Iterator[Finding]:
    """Who has the same tokens as another one."""
    for first, *others in contents:
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            words = f"its ids and log-probabilities are those of {others[0]}{more}; has each attempt a seed of its own?"
            yield Finding("warning", "duplicates", first, NOBODY, words)


def _content(trajectory: Trajectory) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for node in trajectory.nodes:
        digest.update(b"%d %d %d " % (len(node.ids), node.given, node.parent))
        for array in (node.ids, node.logprobs, node.versions):
            digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _few(array: NDArray[np.int32]) -> str:
    shown = ", ".join(map(str, array[:8].tolist()))
    return shown if len(array) <= 8 else f"{shown}, ..."
