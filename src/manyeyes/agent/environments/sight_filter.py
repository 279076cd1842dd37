"""`need_eyes`: tasks that have to be looked at: those that a policy with blank pictures does not solve.

    rewards = await blind_rewards({"live": chat}, tasks, environment(blind=True), attempts=4)
    kept = need_eyes(rewards)            drop the others: sights(size=..., dropped=rewards.keys() - kept)

A task that is guessed as often as `share` of its attempts teaches guessing. One without a single verdict stays: nothing
is known about it. Recipes drop tasks by `recipes.rl_blind`, with the policy that a run starts from.

Report: §2.3 (tasks "that necessarily require visual comprehension"); how they are found is an open choice.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.environment import Environment
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.host import Pool
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Sampler
from manyeyes.core.seeds import key
from manyeyes.core.trajectory import Policy

DEFAULTS = RolloutConfig()
Rewards = Mapping[str, Sequence[float | None]]
"""Of blind attempts, by id of their task; None where there is no verdict."""


async def blind_rewards(
    models: Mapping[Policy, ChatModel | Sampler],
    tasks: Iterable[Task],
    environment: Environment,
    *,
    attempts: int = 4,
    seed: int = 0,
    config: RolloutConfig = DEFAULTS,
    pool: Pool | None = None,
) -> dict[str, list[float | None]]:
    """Attempt every task without its picture.

    Args:
        models: by policy, as rollouts have them.
        tasks: each once.
        environment: whose pictures are blank.
        attempts: at each task.
        seed: of everything that is drawn.
        config, pool: as rollouts have them.
    """
    rewards: dict[str, list[float | None]] = {}
    async with RolloutManager(models, config=config, pool=pool) as manager:
        for number, task in enumerate(tasks):
            drawn = key(seed, "sights/blind", number) >> 66
            manager.submit(GroupRequest(f"blind/{number}", task, environment, attempts, seed=drawn))
        async for group in manager.results():
            rewards[group.request.task.id] = [None if one.masked else one.reward for one in group.trajectories]
    return rewards


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
