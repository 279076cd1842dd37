"""`need_eyes`: tasks that have to be looked at: those that a policy with blank pictures does not solve.

    kept = need_eyes(rewards)            drop the others: sights(size=..., dropped=rewards.keys() - kept)

A task that is guessed as often as `share` of its attempts teaches guessing. One without a single verdict stays: nothing
is known about it. Recipes ask and drop by `recipes.rl_blind`, with the policy that a run starts from.

Report: §2.3 (tasks "that necessarily require visual comprehension"); how they are found is an open choice.
"""

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence

from manyeyes.core.errors import ConfigError

Rewards = Mapping[str, Sequence[float | None]]
"""Of blind attempts, by id of their task; None where there is no verdict."""


def need_eyes(rewards: Rewards, *, right: float = 0.9, share: float = 0.5) -> frozenset[str]:
    """Ids of tasks that stay.

    Args:
        right: the least reward of a solution.
        share: of a task's verdicts; one that is solved so often, or more, goes.

    Raises:
        ConfigError: a share of 0 or less, which would drop everything.

    Example:
        >>> sorted(need_eyes({"guessed": [1.0, 1.0, 0.0], "hard": [0.0, 0.2], "silent": [None]}))
        ['hard', 'silent']
    """
    if not 0 < share <= 1:
        raise ConfigError(f"expected a share above 0 up to 1, got {share}")
    return frozenset(task for task, given in rewards.items() if solved(given, right=right) < share)


def solved(rewards: Sequence[float | None], *, right: float = 0.9) -> float:
    """Share of a task's verdicts that are solutions; 0 without any."""
    verdicts = [reward for reward in rewards if reward is not None and math.isfinite(reward)]
    return sum(reward >= right for reward in verdicts) / len(verdicts) if verdicts else 0.0


def without(name: str, dropped: Collection[str]) -> str:
    """Name of a source whose tasks are those of `name` without some: its state tells which they are.

    Example:
        >>> without("sights", ()), without("sights", {"a"}) == without("sights", {"b"})
        ('sights', False)
    """
    if not dropped:
        return name
    told = "\n".join(sorted(dropped)).encode()
    return f"{name}/without-{hashlib.blake2b(told, digest_size=6).hexdigest()}"
