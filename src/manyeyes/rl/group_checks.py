"""`check_groups`: which attempts of a step must not be learned from, and why: what was recorded does not hold together.

    checks of trajectories and groups (`core.trajectory_checks`); how it was drawn (`drawn_from`); rewards that would
    drown all others; of one name all but the first

Report: App. D.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple, TypeGuard

from manyeyes.agent.rollouts.group import Group
from manyeyes.core.data_rules import Finding, Rules
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import NOBODY, Trajectory
from manyeyes.core.trajectory_checks import check_batch, check_group
from manyeyes.rl.drawn_from import none_left, unlearnable
from manyeyes.rl.logprobs import SampledFrom

LARGEST = 1e6
"""What a reward is at most, to either side: one of 1e30 is a judge's fault, and its gradient would end the run."""
ELSEWHERE = ("duplicates", "group")
"""Checks whose findings name not the attempt that is at fault, or not it alone."""


class Checked(NamedTuple):
    """What checks said of the groups of a step.

    Attributes:
        findings: errors and warnings.
        refused: `id` of each attempt that is left out.
    """

    findings: list[Finding]
    refused: set[int]


def check_groups(groups: Sequence[Group], rules: Rules, source: SampledFrom) -> Checked:
    """Look at all attempts.

    Args:
        source: what tokens were sampled from, by the run's settings.

    Raises:
        ConfigError: no attempt was drawn so that it could be learned from.
    """
    attempts = [one for group in groups for one in group.trajectories]
    findings = check_batch(attempts, rules)
    findings += [finding for one in attempts for finding in unlearnable(one, source)]
    if words := none_left(attempts, findings):
        raise ConfigError(f"nothing of this step can be learned from: {words}")
    findings += [finding for one in attempts for finding in _too_large(one)]
    refused: set[int] = set()
    for group in groups:
        # The quorum is that of advantages, which comes after all refusals.
        found = check_group(group.trajectories, replace(rules, quorum=None), name=group.request.id)
        findings += found
        if errors(found):
            refused.update(map(id, group.trajectories))
    return Checked(findings, refused | _at_fault(attempts, findings))


def is_reward(value: float | None) -> TypeGuard[float]:
    """Whether there is a verdict, and it is a number that can be learned from."""
    return value is not None and abs(value) <= LARGEST  # NaN is not


def errors(findings: Iterable[Finding]) -> bool:
    """Whether something among them must not be trained on."""
    return any(finding.severity == "error" for finding in findings)


def _too_large(one: Trajectory) -> Iterator[Finding]:
    if one.reward is not None and LARGEST < abs(one.reward) < inf:
        words = f"a reward of {one.reward:g} lies beyond ±{LARGEST:g}"
        yield Finding("error", "reward", one.name, NOBODY, words)


def _at_fault(attempts: Sequence[Trajectory], findings: Iterable[Finding]) -> set[int]:
    wrong = {f.name for f in findings if f.severity == "error" and f.check not in ELSEWHERE}
    refused, names = set[int](), set[str]()
    for one in attempts:
        if one.name in names or (one.name in wrong and not one.masked):
            refused.add(id(one))
        names.add(one.name)
    return refused
