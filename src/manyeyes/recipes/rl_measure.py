"""Scores an RL run on its held-out tasks while it trains: mean reward and its parts, tokens, tool calls.

Figures go to the log as `evaluation` rows, like those of pre-training. A measurement that was made before a kill is
found in the store of attempts, and not made again.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.host import Pool
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import Sampler
from manyeyes.core.seeds import key
from manyeyes.core.trajectory import Policy
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes.held_out import named
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import Measured, RlRun
from manyeyes.rl.generated_tokens import generated

MEASURED = "measured"
"""Folder of the attempts, in the run folder."""


class RlMeasure:
    """The loop's `after_step` for one run.

    Args:
        models: by policy, as rollouts have them.
        store: of the attempts; None keeps none.
    """

    def __init__(
        self,
        run: RlRun,
        places: Places,
        models: Mapping[Policy, ChatModel | Sampler],
        folder: RunFolder,
        *,
        store: TrajectoryStore | None = None,
        pool: Pool | None = None,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.run, self.places, self.models, self.folder = run, places, models, folder
        self.store, self.pool, self.announce = store, pool, announce

    async def __call__(self, step: int) -> None:
        """Measure where it is due, and log it."""
        run = self.run
        final = step in (0, run.steps)
        if not run.measured or not (final or (run.evaluate_every and step % run.evaluate_every == 0)):
            return
        figures = await self.figures(step, final=final)
        self.folder.log("evaluation", step, stage=run.name, final=final, **named(figures))
        told = ", ".join(f"{name} {found['reward']:.3f}" for name, found in figures.items() if "reward" in found)
        self.announce(f"measured after step {step}: {told or 'nothing came to a verdict'}")

    async def figures(self, step: int, *, final: bool) -> dict[str, dict[str, float]]:
        """Means by place; without "reward" where nothing came to a verdict."""
        config = RolloutConfig(most_running=self.run.running)
        groups: defaultdict[str, list[Group]] = defaultdict(list)
        async with RolloutManager(self.models, config=config, pool=self.pool, store=self.store) as manager:
            for one in self.run.measured:
                for request in self._requests(one, step, final=final):
                    manager.submit(request)
            async for group in manager.results():
                groups[group.request.id.split("/")[1]].append(group)
        if why := first_failure([group for own in groups.values() for group in own]):
            self.announce(f"some attempts failed and are not in the means; the first: {why}")
        return {one.name: figures_of(groups[one.name]) for one in self.run.measured}

    def _requests(self, one: Measured, step: int, *, final: bool) -> list[GroupRequest]:
        source = self.places.source(one.place, "test")
        episode = self.places.episode(one.place, temperature=self.run.evaluate_temperature)
        seed = key(self.run.seed, f"measure/{one.name}") >> 66
        requests: list[GroupRequest] = []
        for number in range(one.count if final else one.quick):
            if (task := source.next()) is None:
                raise ConfigError(f"measured {one.name}: expected {one.count} tasks, its source has {number}")
            requests.append(GroupRequest(f"{step}/{one.name}/{number}", task, episode, one.attempts, seed=seed))
        return requests


def first_failure(groups: Sequence[Group]) -> str:
    """Why the first attempt that failed did; "" where none did."""
    failed = (one for group in groups for one in group.trajectories if one.stop == "failed")
    return next((f"{one.name}: {one.agents[0].reason or one.masked}" for one in failed), "")


def figures_of(groups: list[Group]) -> dict[str, float]:
    """Means over attempts: reward, its parts, sampled tokens, the share that called a tool; and counts."""
    seen: defaultdict[str, list[float]] = defaultdict(list)
    attempts = [one for group in groups for one in group.trajectories]
    for one in attempts:
        if one.reward is None or one.masked or not math.isfinite(one.reward):
            continue
        seen["reward"].append(one.reward)
        seen["tokens"].append(float(generated(one)))
        seen["calls"].append(float(any(event.kind == "tool" for event in one.events)))
        for part, value in one.rewards.items():
            if math.isfinite(value):
                seen[f"part_{part}"].append(value)
    means = {name: math.fsum(values) / len(values) for name, values in seen.items()}
    return means | {"questions": float(len(attempts)), "failed": float(len(attempts) - len(seen["reward"]))}
