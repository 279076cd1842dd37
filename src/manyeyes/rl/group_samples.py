"""From groups of rollouts to a packed batch: check, gate, compare, cut into samples, pack; and count what was left out.

    groups → members (judged, not masked, nothing wrong with them) → reward → Toggle → advantages → samples → rows

What a check refuses is left out and named; the rest goes on. Tokens of attempts that are left out count in N all the
same (`token_count`). A group that is stale, incomplete, below its quorum or without any verdict is no part of the
batch. Groups whose advantages are all 0 stay: the square of Eq. 1 acts on every generated token.
Whether the others are enough for an update is the step's to say, which knows of all ranks (`TokenCount.told`).

The batch does not depend on the order in which groups were delivered.

Report: §4.4.2, Eq. 1; App. D.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.rollouts.group import Group
from manyeyes.core.data_rules import Finding
from manyeyes.core.sample import Sample
from manyeyes.core.sample_checks import check_sample, check_samples_of
from manyeyes.core.trajectory import NOBODY, Trajectory
from manyeyes.data.packing import Batch, pack_all, stack
from manyeyes.data.shared_beginnings import pack_shared
from manyeyes.rl.advantage import Credit, RewardOf, advantages_of, judged, to_all
from manyeyes.rl.drawn_from import laid_out, source_of, temperature_T
from manyeyes.rl.generated_tokens import generated
from manyeyes.rl.group_checks import check_groups, errors, is_reward
from manyeyes.rl.logprobs import PLAIN, SampledFrom
from manyeyes.rl.right import is_right
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.toggle import Toggle
from manyeyes.rl.token_count import TokenCount, token_weight


class GroupSamples(NamedTuple):
    """What a step learns from.

    Attributes:
        batch: None where nothing is left to learn from.
        count: what the objective divides by.
        source: what its tokens were sampled from.
        temperature_BT: that each was sampled at; None without a batch.
        tally: counts; "groups" and "attempts" are all that came, "groups/..." and "attempts/..." what became of them;
            "tokens/read" are computed, "tokens/shared" are not, as another sample begins with the same.
        figures: means for the log.
        findings: what checks said, errors and warnings.
    """

    batch: Batch | None
    count: TokenCount
    source: SampledFrom
    temperature_BT: NDArray[np.float32] | None
    tally: Counter[str]
    figures: dict[str, float]
    findings: tuple[Finding, ...] = ()


def group_samples(
    groups: Sequence[Group],
    rules: SampleRules,
    *,
    step: int,
    iteration: int | None = None,
    source: SampledFrom = PLAIN,
    toggle: Toggle | None = None,
    credit: Credit = to_all,
    reward_of: RewardOf = judged,
) -> GroupSamples:
    """The batch of an update.

    Args:
        step: finished optimiser steps, for `reward_of`.
        iteration: finished steps of the run, for Toggle's phase; `step` where each of them was an update.
        source: what rollouts are sampled from, by the run's settings; each turn's own temperature counts where it is
            known.
        toggle: None leaves rewards as they are. Its budgets are estimated on the way.
        credit: which agents the advantage is given to.
        reward_of: asked of attempts that have a verdict; before Toggle.

    Raises:
        ConfigError: nothing was drawn so that it could be learned from (`drawn_from`).
    """
    making = _Making(rules, step, step if iteration is None else iteration, source, toggle, credit, reward_of)
    taken = sorted(making.complete(groups), key=lambda group: group.request.id)
    making.check(taken)
    making.estimate(taken)
    of_group = [making.samples(group) for group in taken]
    batch = packed(of_group, rules) if any(of_group) else None
    making.count = replace(making.count, positions=0 if batch is None else batch.seen, told=making.tally["groups/told"])
    making.tally["tokens/generated"] = making.count.tokens
    making.tally["tokens/learned"] = 0 if batch is None else int(np.count_nonzero(batch.weights_BT))
    making.tally["tokens/read"] = 0 if batch is None else batch.tokens
    making.tally["tokens/shared"] = 0 if batch is None else batch.seen - batch.tokens
    temperature_BT = None if batch is None else laid_out(batch, making.temperatures)
    return GroupSamples(
        batch, making.count, making.source, temperature_BT, making.tally, making.figures, tuple(making.findings)
    )


def packed(of_group: Sequence[Sequence[Sample]], rules: SampleRules) -> Batch:
    """Rows of samples, which are never cut; attempts at one task share its prompt where the rules say so."""
    if not rules.share_prompts:
        samples = [sample for group in of_group for sample in group]
        return stack(pack_all(samples, rules.row_length, pad_id=rules.pad_id))
    media_pad = rules.checks.media_pad
    return stack(pack_shared(of_group, rules.row_length, pad_id=rules.pad_id, media_pad=media_pad))


class _Making:
    """What is gathered on the way."""

    def __init__(
        self,
        rules: SampleRules,
        step: int,
        iteration: int,
        run: SampledFrom,
        toggle: Toggle | None,
        credit: Credit,
        reward_of: RewardOf,
    ) -> None:
        self._rules, self._step, self._iteration, self._run = rules, step, iteration, run
        self._toggle, self._credit, self._reward_of = toggle, credit, reward_of
        self.source, self.temperatures = run, dict[str, NDArray[np.float32]]()
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
        """Refuse attempts in which something does not hold."""
        attempts = [one for group in groups for one in group.trajectories]
        self.tally["attempts"] = len(attempts)
        found = check_groups(groups, self._rules.expected, self._run)
        self.findings, self._refused = found.findings, found.refused
        if self._toggle is not None:
            self._refuse_negative(attempts)
        self.source = source_of((one for one in attempts if id(one) not in self._refused), self._run)

    def _refuse_negative(self, attempts: Sequence[Trajectory]) -> None:
        """One judge that says something below 0 must not end a run."""
        for one in attempts:
            if (reward := self._verdict(one)) is not None and reward < 0:
                words = f"a reward of {reward:g} is negative, and Toggle would make a prize of it"
                self.findings.append(Finding("error", "toggle", one.name, NOBODY, words))
                self._refused.add(id(one))

    def estimate(self, groups: Sequence[Group]) -> None:
        """Toggle's budgets, from all attempts of the step at a task together."""
        attempts: defaultdict[str, list[Trajectory]] = defaultdict(list)
        for group in groups:
            attempts[group.request.task.id] += group.trajectories
        if self._toggle is not None:
            for task, ones in attempts.items():
                self._toggle.observe(task, list(map(self._correct, ones)), [generated(one) for one in ones])

    def _correct(self, one: Trajectory) -> bool:
        """Whether its length may be one that a budget is made of."""
        assert self._toggle is not None, "asked where there are budgets"
        return is_reward(self._verdict(one)) and is_right(one, least=self._toggle.rule.correct)

    def samples(self, group: Group) -> list[Sample]:
        """Of one group; nothing where it teaches nothing."""
        attempts = group.trajectories
        verdicts, lengths = [self._verdict(one) for one in attempts], [generated(one) for one in attempts]
        rewards = self._gated(group, verdicts, lengths)
        found = advantages_of(rewards, self._rules.advantage)
        self.tally[f"groups/{found.kind}"] += 1
        for one, verdict in zip(attempts, verdicts, strict=True):
            self.tally["attempts/" + self._fate(one, verdict)] += 1
        if found.kind in ("quorum", "empty"):
            return []
        self._note("reward", verdicts)
        self._note("reward_learned", rewards)
        self._note("length", [n if is_reward(one) else None for n, one in zip(lengths, verdicts, strict=True)])
        made = [self._of(one, value) for one, value in zip(attempts, found.values, strict=True)]
        left_out = sum(not samples and length > 0 for samples, length in zip(made, lengths, strict=True))
        self.count += TokenCount(sum(lengths), sum(map(len, made)) + left_out, 1, per=self._rules.per)
        if found.kind == "equal" and self._rules.drop_equal:
            return []
        weight = np.float32(token_weight(self._rules.per, sum(lengths)))
        return [replace(one, weights=one.weights * weight) for samples in made for one in samples]

    def _verdict(self, one: Trajectory) -> float | None:
        """What its group is compared by: None where it is no member, NaN where what was said is no reward."""
        if one.masked or one.reward is None or (reward := self._reward_of(one, self._step)) is None:
            return None
        if not is_reward(reward):
            return math.nan
        return None if id(one) in self._refused else reward

    def _fate(self, one: Trajectory, verdict: float | None) -> str:
        if one.masked:
            return "masked"
        if verdict is None:
            return "refused" if one.reward is not None and id(one) in self._refused else "unjudged"
        return "judged" if is_reward(verdict) else "not_finite"

    def _gated(self, group: Group, verdicts: list[float | None], lengths: list[int]) -> Sequence[float | None]:
        if self._toggle is None:
            return verdicts
        gated = self._toggle.gate(group.request.task.id, verdicts, lengths, step=self._iteration)
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
        if errors(wrong):
            self.tally["samples/refused"] += len(samples)
            return []
        kept = [sample for sample in samples if not errors(checked[sample.name])]
        self.tally["samples"] += len(kept)
        self.tally["samples/refused"] += len(samples) - len(kept)
        for sample in kept:
            leaf = int(sample.name.rpartition("#")[2])
            self.temperatures[sample.name] = temperature_T(one, leaf, self._run)
        return kept

    def _note(self, name: str, values: Sequence[float | None]) -> None:
        self._seen[name] += [float(value) for value in values if is_reward(value)]

    @property
    def figures(self) -> dict[str, float]:
        """Means over members: "reward" before Toggle, "reward_learned" after it."""
        return {name: math.fsum(values) / len(values) for name, values in self._seen.items() if values}
