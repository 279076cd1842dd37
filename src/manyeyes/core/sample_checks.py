"""Checks of samples, what the trainer gets: alone, and against the trajectory that they were made of.

    check_sample(one, rules)                  ids, weights, log-probabilities, advantages, media
    check_samples_of(trajectory, samples)     each trainable sampled token carries loss once, and no other token does
    check_sample_batch(samples, rules)        each of a batch, and that none is there twice

Report: §3 (frozen sub-agents carry no loss), App. D.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from manyeyes.core.data_rules import Finding, Rules, Said, impossible, outside, unmatched
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import NOBODY, Trajectory


def check_sample(sample: Sample, rules: Rules) -> list[Finding]:
    """What does not hold of one sample."""
    return [
        Finding(severity, check.__name__.strip("_"), sample.name, node, words)
        for check in (_ids, _weights, _logprobs, _advantages, _versions, _media)
        for severity, node, words in check(sample, rules)
    ]


def check_sample_batch(samples: Iterable[Sample], rules: Rules) -> list[Finding]:
    """What does not hold of each sample of a batch, and which names are there twice."""
    findings: list[Finding] = []
    names: set[str] = set()
    for sample in samples:
        findings += check_sample(sample, rules)
        if sample.name in names:
            findings.append(Finding("error", "duplicates", sample.name, NOBODY, "the batch has another of this name"))
        names.add(sample.name)
    return findings


def check_samples_of(trajectory: Trajectory, samples: Sequence[Sample]) -> list[Finding]:
    """What does not hold of the samples that were made of a trajectory: `to_samples` or another way of making them."""
    return [
        Finding(severity, "exactly_once", trajectory.name, node, words)
        for severity, node, words in _exactly_once(trajectory, samples)
    ]


def _exactly_once(trajectory: Trajectory, samples: Sequence[Sample]) -> Iterator[Said]:
    """A sample is named after its branch, "<trajectory>#<leaf>"; its tokens are those of the branch."""
    times = [np.zeros(len(node.ids), np.int32) for node in trajectory.nodes]
    leaves = {f"{trajectory.name}#{number}": number for number in range(len(trajectory.nodes))}
    for sample in samples:
        if (leaf := leaves.get(sample.name)) is None:
            yield "error", NOBODY, f"sample {sample.name} is of no branch of it"
            continue
        path, at = trajectory.path(leaf), 0
        if not np.array_equal(path.ids, sample.ids):
            yield "error", leaf, f"the ids of {sample.name} are not those that the sampler saw"
            continue
        for number in trajectory.branch(leaf):
            times[number] += sample.weights[at : at + len(times[number])] > 0
            at += len(times[number])
    for number, count in enumerate(times):
        for words in _counted(trajectory, number, count):
            yield "error", number, words


def _counted(trajectory: Trajectory, number: int, count: np.ndarray) -> Iterator[str]:
    node, agent = trajectory.nodes[number], trajectory.agents[trajectory.nodes[number].agent]
    if count[: node.given].any():
        yield f"{int((count[: node.given] > 0).sum())} given tokens carry loss"
    sampled = count[node.given :]
    if not trajectory.trainable(number):
        why = f"agent {agent.name} is frozen" if agent.policy == "frozen" else trajectory.masked or node.masked
        if sampled.any():
            yield f"{int((sampled > 0).sum())} tokens carry loss, and may not: {why}"
        return
    wanted = np.isfinite(node.logprobs).astype(np.int32)
    if not node.given and not any(len(trajectory.nodes[before].ids) for before in trajectory.branch(number)[:-1]):
        wanted[:1] = 0  # nothing stands before it that it could be predicted from
    if (sampled > wanted).any():
        yield f"{int((sampled > wanted).sum())} sampled tokens carry loss more often than once"
    if (sampled < wanted).any():
        yield f"{int((sampled < wanted).sum())} sampled tokens carry no loss"


def _ids(sample: Sample, rules: Rules) -> Iterator[Said]:
    if rules.vocab_size is not None and (words := outside(sample.ids, rules.vocab_size)):
        yield "error", NOBODY, words
    if rules.most_tokens is not None and sample.length > rules.most_tokens:
        yield "error", NOBODY, f"{sample.length:,} tokens, at most {rules.most_tokens:,} fit"


def _weights(sample: Sample, rules: Rules) -> Iterator[Said]:
    weights = sample.weights
    if not np.isfinite(weights).all() or (weights < 0).any():
        yield "error", NOBODY, "weights must be finite and at least 0"
    elif not weights.any():
        yield "warning", NOBODY, "no token carries loss"
    if len(weights) and weights[0] != 0:
        yield "error", NOBODY, f"the first token weighs {weights[0]:g}; nothing stands before it to predict it from"
    if rules.media_pad is not None and weights[sample.ids == rules.media_pad].any():
        yield "error", NOBODY, "tokens of media carry loss"


def _logprobs(sample: Sample, rules: Rules) -> Iterator[Said]:
    if sample.logprobs is not None and (words := impossible(sample.logprobs[sample.weights > 0], rules.tolerance)):
        yield "error", NOBODY, f"of tokens that carry loss, {words}"


def _advantages(sample: Sample, rules: Rules) -> Iterator[Said]:
    if sample.advantages is not None and not np.isfinite(sample.advantages).all():
        yield "error", NOBODY, "advantages must be finite"


def _versions(sample: Sample, rules: Rules) -> Iterator[Said]:
    if sample.versions is None:
        return
    learned = sample.versions[sample.weights > 0]
    if (learned < 0).any():
        yield "error", NOBODY, f"{int((learned < 0).sum())} tokens carry loss and nobody sampled them"
    if rules.version is not None and len(learned) and learned.max() > rules.version:
        yield "error", NOBODY, f"version {learned.max()} is newer than the newest, {rules.version}"


def _media(sample: Sample, rules: Rules) -> Iterator[Said]:
    if rules.media_pad is not None and (words := unmatched(sample.ids, sample.media, rules.media_pad)):
        yield "error", NOBODY, words
