"""What each token was drawn from, as it was recorded: the trainer computes under the same distribution, or not at all.

    sampled    log softmax(logits / T), the ids left out that were never allowed       T of the turn
    raw        log softmax(logits)                                                     T was 1, nothing left out

Turns of one batch may have been sampled at several temperatures (a schedule, places of their own); the ids that were
never allowed are one set for all. What a nucleus or a constraint kept away cannot be known again, and a greedy choice
has no distribution: such attempts are not learned from. A turn that does not say was drawn as the run's settings have
it.

Report: §4.4.2, Eq. 1 (pi_old). Shapes: T tokens of a sample, B rows.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.environment import Environment
from manyeyes.core.data_rules import Finding
from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Draw, SamplingParams, never_mark
from manyeyes.core.trajectory import Node, Trajectory
from manyeyes.data.packing import Batch
from manyeyes.rl.logprobs import SampledFrom

CHECK = "draw"
"""Name of the check, in findings."""


def unlearnable(one: Trajectory, source: SampledFrom) -> Iterator[Finding]:
    """Turns whose distribution the trainer cannot have.

    Args:
        source: the run's settings.
    """
    never = never_mark(source.never)
    for number, node in _learned(one):
        if words := _why_not(node, never):
            yield Finding("error", CHECK, one.name, number, words)


def source_of(trajectories: Iterable[Trajectory], source: SampledFrom) -> SampledFrom:
    """The run's settings, with the ids that were never allowed in this batch: none where log-probabilities are raw.

    Raises:
        ConfigError: some are raw and others are not.
    """
    kinds = {node.logprob_kind for one in trajectories for _, node in _learned(one)}
    if len(kinds) > 1 and source.never:
        raise ConfigError(
            "some log-probabilities of this batch are of the plain softmax and others of what was sampled from; the "
            "policy must be sampled by one kind of engine, or of all with `logprob_kind='sampled'`"
        )
    return SampledFrom(source.temperature) if kinds == {"raw"} else source


def temperature_T(one: Trajectory, leaf: int, source: SampledFrom) -> NDArray[np.float32]:
    """Of each token of a branch; the run's where nobody says."""
    nodes = [one.nodes[number] for number in one.branch(leaf)]
    told = np.array([_temperature(node, source) for node in nodes], np.float32)
    return np.repeat(told, [len(node.ids) for node in nodes])


def laid_out(batch: Batch, samples: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """[B, T] as a batch's samples lie in it; 1 behind the last of a row.

    Args:
        samples: of each token of a sample, by its name.
    """
    whole_BT = np.ones(batch.ids_BT.shape, np.float32)
    for row_T, segments_T, names in zip(whole_BT, batch.segments_BT, batch.names, strict=True):
        for number, name in enumerate(names):
            at_T = segments_T == number
            if name in samples:  # else it is what several begin with, and nobody learns from it
                row_T[at_T] = samples[name][-np.count_nonzero(at_T) :]
    return whole_BT


def require_learnable(episode: Any, *, place: str) -> None:
    """Ask before anything is sampled; episodes of other kinds show it in what they leave behind.

    Raises:
        ConfigError: an environment asks for tokens that cannot be learned from.
    """
    draw: Draw | None = None
    if isinstance(episode, Environment):
        sampling = episode.sampling
        cuts = [f"top_p {sampling.top_p:g}"] if sampling.top_p < 1.0 else []
        cuts += [f"{name} {sampling.extra[name]}" for name in ("top_k", "min_p") if sampling.extra.get(name)]
        draw = Draw(sampling.temperature, ", ".join(cuts))
    elif isinstance(params := getattr(episode, "params", None), SamplingParams):
        draw = params.draw
    if draw is not None and (words := _no_distribution(draw)):
        raise ConfigError(f"{place}: {words}")


def none_left(attempts: Sequence[Trajectory], findings: Iterable[Finding]) -> str:
    """Why nothing of a batch can be learned from; "" where that is not for how it was drawn."""
    found = {finding.name: finding.words for finding in findings if finding.check == CHECK}
    learned = [one.name for one in attempts if any(True for _ in _learned(one))]
    return found[learned[0]] if learned and all(name in found for name in learned) else ""


def _learned(one: Trajectory) -> Iterator[tuple[int, Node]]:
    return ((number, node) for number, node in enumerate(one.nodes) if len(node.sampled) and one.trainable(number))


def _temperature(node: Node, source: SampledFrom) -> float:
    if node.logprob_kind == "raw":
        return 1.0
    return source.temperature if node.draw is None or not node.draw.temperature > 0 else node.draw.temperature


def _why_not(node: Node, never: int) -> str:
    draw = node.draw
    if draw is None:
        return ""
    raw = node.logprob_kind == "raw"
    if raw and draw.temperature != 1.0:
        return (
            f"drawn at a temperature of {draw.temperature:g}, and its log-probabilities are of the plain softmax; "
            "sample at 1, or have the engine tell those that were sampled from"
        )
    if raw and draw.never:
        return (
            "drawn with ids forbidden, and its log-probabilities are of the plain softmax over all of them; have the "
            "engine tell those that were sampled from (`logprob_kind='sampled'`)"
        )
    if not raw and draw.never != never:
        return (
            "drawn with other ids forbidden than `RlConfig.never` says; give it those of the chat (`TokenChat.never`)"
        )
    return _no_distribution(draw)


def _no_distribution(draw: Draw) -> str:
    if draw.cut:
        return (
            f"drawn with {draw.cut}, and which other tokens could have come instead cannot be told again; sample for "
            "training with temperature alone (top_p=1.0)"
        )
    if not 0.0 < draw.temperature < math.inf:
        return f"drawn at a temperature of {draw.temperature:g}, where nothing is left to chance; take one above 0"
    return ""
