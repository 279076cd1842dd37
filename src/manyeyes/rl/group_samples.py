"""From groups of rollouts to a packed batch: check, gate, compare, cut into samples, pack; and count what was left out.

    groups → members (judged, not masked, nothing wrong with them) → Toggle → advantages → samples → rows

What a check refuses is left out and named; the rest goes on. Tokens of attempts that are left out count in N all the
same (`token_count`). A group that is stale, incomplete, below its quorum or without any verdict is no part of the
batch. Groups of equal rewards stay: their advantages are 0, and the square of Eq. 1 acts on every generated token.

The batch does not depend on the order in which groups were delivered.

Report: §4.4.2, Eq. 1; App. D.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from manyeyes.agent.rollouts.group import Group
from manyeyes.core.data_rules import Finding, Rules
from manyeyes.core.sample import Sample
from manyeyes.core.sample_checks import check_sample, check_samples_of
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_checks import check_batch, check_group
from manyeyes.data.packing import Batch, pack_all, stack
from manyeyes.rl.advantage import AdvantageRule, advantages_of, to_all
from manyeyes.rl.toggle import Toggle
from manyeyes.rl.token_count import Per, TokenCount, generated, token_weight

Credit = Callable[[Trajectory, float], Sequence[float]]
"""The advantage of each agent by number, from that of the rollout (`advantage.to_all`, `advantage.to_main`)."""


@dataclass(frozen=True, slots=True)
class SampleRules:
    """How groups become a batch.

    Attributes:
        row_length: tokens of a packed row.
        pad_id: behind the last sample of a row.
        advantage: baseline, scale and quorum.
        per: what N is; see `token_count`.
        drop_equal: whether groups of equal rewards are left out (their tokens stay in N); saves time, and costs the
            square of Eq. 1 on them.
        checks: what is expected of the data; `advantage.quorum` counts, not theirs.

    Example:
        >>> SampleRules(row_length=512, pad_id=0).expected.most_tokens
        512
    """

    row_length: int
    pad_id: int
    advantage: AdvantageRule = field(default_factory=AdvantageRule)
    per: Per = "tokens"
    drop_equal: bool = False
    checks: Rules = field(default_factory=Rules)

    @property
    def expected(self) -> Rules:
        """The checks, and that a branch fits a row."""
        most = self.checks.most_tokens
        return replace(self.checks, most_tokens=self.row_length if most is None else min(most, self.row_length))


class GroupSamples(NamedTuple):
    """What a step learns from.

    Attributes:
        batch: None where nothing is left to learn from.
        count: what the objective divides by.
        tally: counts; "groups" and "attempts" are all that came, "groups/..." and "attempts/..." what became of them.
        figures: means for the log.
        findings: what checks said, errors and warnings.
    """

    batch: Batch | None
    count: TokenCount
    tally: Counter[str]
    figures: dict[str, float]
    findings: tuple[Finding, ...] = ()


def group_samples(
    groups: Sequence[Group], rules: SampleRules, *, step: int, toggle: Toggle | None = None, credit: Credit = to_all
) -> GroupSamples:
    """The batch of an update.

    Args:
        step: finished optimiser steps, for Toggle's phase.
        toggle: None leaves rewards as they are. Its budgets are estimated on the way.
        credit: which agents the advantage is given to.

    Raises:
        ConfigError: Toggle, and a reward is negative.
    """
    making = _Making(rules, step, toggle, credit)
    taken = sorted(making.complete(groups), key=lambda group: group.request.id)
    making.check(taken)
    making.estimate(taken)
    samples = [sample for group in taken for sample in making.samples(group)]
    batch = stack(pack_all(samples, rules.row_length, pad_id=rules.pad_id)) if samples else None
    making.count = replace(making.count, positions=0 if batch is None else batch.tokens)
    making.tally["tokens/generated"] = making.count.tokens
    making.tally["tokens/learned"] = 0 if batch is None else int(np.count_nonzero(batch.weights_BT))
    return GroupSamples(batch, making.count, making.tally, making.figures, tuple(making.findings))


class _Making:
    """What is gathered on the way."""

    def __init__(self, rules: SampleRules, step: int, toggle: Toggle | None, credit: Credit) -> None:
        self._rules, self._step, self._toggle, self._credit = rules, step, toggle, credit
        self.count = TokenCount(per=rules.per)
        self.tally: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self._refused: set[int] = set()
        self._seen: defaultdict[str, list[float]] = defaultdict(list)

    def complete(self, groups: Sequence[Group]) -> Iterator[Group]:
        """Those that came to their end in time."""
        self.tally["groups"] = len(groups)
        for group in groups:
            if group.complete:
                yield group
            else:
                self.tally["groups/stale" if group.stale else "groups/incomplete"] += 1

    def check(self, groups: Sequence[Group]) -> None:
        """Refuse groups and attempts in which something does not hold; of those with one name all but the first."""
        rules, names = self._rules.expected, set[str]()
        attempts = [one for group in groups for one in group.trajectories]
        self.tally["attempts"] = len(attempts)
        self.findings += check_batch(attempts, rules)
        for group in groups:
            # The quorum is that of advantages, which comes after all refusals.
            found = check_group(group.trajectories, replace(rules, quorum=None), name=group.request.id)
            self.findings += found
            if _errors(found):
                self._refused.update(map(id, group.trajectories))
        wrong = {f.name for f in self.findings if f.severity == "error" and f.check not in ("duplicates", "group")}
        for one in attempts:
            if one.name in names or (one.name in wrong and not one.masked):
                self._refused.add(id(one))
            names.add(one.name)

    def estimate(self, groups: Sequence[Group]) -> None:
        """Toggle's budgets, from all attempts of the step at a task together."""
        attempts: defaultdict[str, list[Trajectory]] = defaultdict(list)
        for group in groups:
            attempts[group.request.task.id] += group.trajectories
        if self._toggle is not None:
            for task, ones in attempts.items():
                self._toggle.observe(task, [self._verdict(one) for one in ones], [generated(one) for one in ones])

    def samples(self, group: Group) -> list[Sample]:
        """Of one group; nothing where it teaches nothing."""
        attempts = group.trajectories
        verdicts, lengths = [self._verdict(one) for one in attempts], [generated(one) for one in attempts]
        found = advantages_of(self._gated(group, verdicts, lengths), self._rules.advantage)
        self.tally[f"groups/{found.kind}"] += 1
        for one, verdict in zip(attempts, verdicts, strict=True):
            self.tally["attempts/" + self._fate(one, verdict)] += 1
        if found.kind in ("quorum", "empty"):
            return []
        self._note(verdicts, lengths)
        made = [self._of(one, value) for one, value in zip(attempts, found.values, strict=True)]
        left_out = sum(not samples and length > 0 for samples, length in zip(made, lengths, strict=True))
        self.count += TokenCount(sum(lengths), sum(map(len, made)) + left_out, 1, per=self._rules.per)
        if found.kind == "equal" and self._rules.drop_equal:
            return []
        weight = np.float32(token_weight(self._rules.per, sum(lengths)))
        return [replace(one, weights=one.weights * weight) for samples in made for one in samples]

    def _verdict(self, one: Trajectory) -> float | None:
        """What its group is compared by: None where it is no member, NaN or infinite where a judge said so."""
        if one.masked or one.reward is None:
            return None
        return None if math.isfinite(one.reward) and id(one) in self._refused else one.reward

    def _fate(self, one: Trajectory, verdict: float | None) -> str:
        if one.masked:
            return "masked"
        if verdict is None:
            return "unjudged" if one.reward is None else "refused"
        return "judged" if math.isfinite(verdict) else "not_finite"

    def _gated(self, group: Group, verdicts: list[float | None], lengths: list[int]) -> Sequence[float | None]:
        if self._toggle is None:
            return verdicts
        gated = self._toggle.gate(group.request.task.id, verdicts, lengths, step=self._step)
        self.tally["toggle/enforced"] += gated.enforced
        self.tally["toggle/gated"] += gated.gated
        self._seen["toggle/phase"].append(gated.phase)
        return gated.rewards

    def _of(self, one: Trajectory, advantage: float | None) -> list[Sample]:
        """Samples that pass their checks, or none."""
        if advantage is None:
            return []
        samples = one.to_samples(self._credit(one, advantage))
        wrong = check_samples_of(one, samples)
        checked = {sample.name: check_sample(sample, self._rules.expected) for sample in samples}
        self.findings += wrong + [finding for found in checked.values() for finding in found]
        if _errors(wrong):
            self.tally["samples/refused"] += len(samples)
            return []
        kept = [sample for sample in samples if not _errors(checked[sample.name])]
        self.tally["samples"] += len(kept)
        self.tally["samples/refused"] += len(samples) - len(kept)
        return kept

    def _note(self, verdicts: Sequence[float | None], lengths: Sequence[int]) -> None:
        for verdict, length in zip(verdicts, lengths, strict=True):
            if verdict is not None and math.isfinite(verdict):
                self._seen["reward"].append(verdict)
                self._seen["length"].append(float(length))

    @property
    def figures(self) -> dict[str, float]:
        """Means over members, before Toggle."""
        return {name: math.fsum(values) / len(values) for name, values in self._seen.items()}


def _errors(findings: Sequence[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)
