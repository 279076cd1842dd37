"""`Blind filter`: before its first step, a run asks its starting policy every task without the picture, and does not
learn from those that it solves.

Which tasks there are is known beforehand (a place's `size`), so the filter costs a fixed number of short attempts, all
at once, and not some in each step. Attempts lie in `blind/` of the run folder and are not made again; what was found
stays there too (`dropped.json`): every task's rate, the ids that are dropped, and of which tasks and rule that was
said. A run that goes on reads it back. Held-out tasks are not filtered (`Places.looked_at`).

Report: §2.3 (tasks "that necessarily require visual comprehension"); how they are found is an open choice.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.environments.sight_filter import need_eyes, solved
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.host import Pool
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.core.sampler import Sampler
from manyeyes.core.seeds import key
from manyeyes.core.trajectory import Policy, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes.asked_groups import EndedAttempts, asked
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.rl_parts import BlindRule, PlaceSpec
from manyeyes.recipes.rl_places import Places

DROPPED = "dropped.json"
BLIND = "blind"
"""Folder of the attempts, in the run folder."""
Rewards = dict[str, list[float | None]]
"""Of blind attempts, by id of their task; None where there is no verdict."""


class Dropped(msgspec.Struct, forbid_unknown_fields=True):
    """What was found of a place's tasks.

    Attributes:
        of: fingerprint of the tasks and the rule.
        rates: share of a task's blind attempts that solved it, by its id.
        ids: of the tasks that are dropped.
        failed: attempts without a verdict.
    """

    of: str
    rates: dict[str, float]
    ids: list[str]
    failed: int = 0

    @property
    def line(self) -> str:
        """For people."""
        failed = f" ({self.failed} attempts failed)" if self.failed else ""
        return f"{len(self.ids)} of {len(self.rates)} tasks are solved without their picture and dropped{failed}"


class BlindFilter:
    """See the module.

    Args:
        models: by policy; that of the start, as long as anything is asked.
        stop: asked between attempts; True ends the filter, and a later one goes on.
    """

    def __init__(
        self,
        places: Places,
        models: Mapping[Policy, ChatModel | Sampler],
        folder: RunFolder,
        *,
        pool: Pool | None = None,
        announce: Callable[[str], None] = lambda line: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.places, self.models, self.folder = places, models, folder
        self.pool, self.announce, self.stop = pool, announce, stop

    @property
    def missing(self) -> list[PlaceSpec]:
        """Places that nothing is known of yet. Raises ConfigError where the file cannot be read."""
        known = read_dropped(self.folder)
        return [one for one in self.places.looked_at() if getattr(known.get(one.name), "of", "") != self._of(one)]

    async def __call__(self) -> dict[str, Dropped] | None:
        """Ask what was not asked yet, write it down, and drop; what is known of every place, None where it was stopped.

        Raises:
            ConfigError: every task of a place is solved, or the file cannot be read. ManyeyesError: too many attempts
                in a row failed; those that had ended are found again.
        """
        if (missing := self.missing) and not await self._ask(missing):
            return None
        known = read_dropped(self.folder)
        found = {one.name: known[one.name] for one in self.places.looked_at()}
        for one in missing:
            self.announce(f"{one.name}: {found[one.name].line}")
        for name, told in found.items():
            if len(told.ids) == len(told.rates):
                raise ConfigError(
                    f"{name}: every one of {len(told.rates)} tasks is solved without its picture; leave the place out, "
                    "give it more tasks, or set blind=null"
                )
            self.places.dropped[name] = frozenset(told.ids)
        return found

    async def _ask(self, places: Sequence[PlaceSpec]) -> bool:
        """All tasks of these places at once; False where it was stopped before all had answered."""
        config = RolloutConfig(most_running=self.places.run.running)
        requests = [request for one in places for request in self._requests(one)]
        self.announce(
            f"looking for tasks that are solved without their picture: {sum(one.size for one in requests):,} attempts"
        )
        rewards: defaultdict[str, Rewards] = defaultdict(dict)
        with TrajectoryStore(self.folder.path / BLIND, mode="append") as kept:
            async with RolloutManager(self.models, config=config, pool=self.pool, store=EndedAttempts(kept)) as manager:
                async for group in asked(manager, requests, stop=self.stop):
                    place = group.request.id.split("/")[1]
                    rewards[place][group.request.task.id] = [_reward(one) for one in group.trajectories]
        if sum(map(len, rewards.values())) < len(requests):
            return False
        _write(
            self.folder, read_dropped(self.folder) | {one.name: self._found(one, rewards[one.name]) for one in places}
        )
        return True

    def _requests(self, one: PlaceSpec) -> Iterator[GroupRequest]:
        run, of = self.places.run, self._of(one)
        episode = self.places.blind_episode(one, temperature=run.temperature.at(0))
        for number, task in enumerate(self._tasks(one)):
            seed = key(run.seed, f"blind/{one.name}", number) >> 66
            yield GroupRequest(f"blind/{one.name}/{number}.{of[:8]}", task, episode, self._rule.attempts, seed=seed)

    def _found(self, one: PlaceSpec, rewards: Rewards) -> Dropped:
        rule = self._rule
        rates = {task: solved(given, right=rule.right) for task, given in rewards.items()}
        kept = need_eyes(rewards, right=rule.right, share=rule.share)
        failed = sum(reward is None for given in rewards.values() for reward in given)
        return Dropped(self._of(one), rates, sorted(rates.keys() - kept), failed)

    def _tasks(self, one: PlaceSpec) -> Sequence[Task]:
        """All of them, each once."""
        source = self.places.source(one, "train")
        drawn = (source.next() for _ in range(int(one.tasks["size"])))
        return list({task.id: task for task in drawn if task is not None}.values())

    def _of(self, one: PlaceSpec) -> str:
        """Of which tasks, rule and policy something is said."""
        run = self.places.run
        said = [run.name, run.start_model, run.seed, run.temperature.at(0)]
        return fingerprint_of([*said, msgspec.to_builtins(one), msgspec.to_builtins(run.blind)])

    @property
    def _rule(self) -> BlindRule:
        assert self.places.run.blind is not None, "only then are there places to ask"
        return self.places.run.blind


def _reward(one: Trajectory) -> float | None:
    return None if one.masked else one.reward


def read_dropped(folder: RunFolder) -> dict[str, Dropped]:
    """What was found, by place; empty where nothing was asked yet.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder.path / DROPPED
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Dropped])
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{path} is damaged ({error}); which tasks the run leaves out is not known without it: begin the run anew"
        ) from None


def dropped_figures(found: Mapping[str, Dropped]) -> dict[str, Any]:
    """For the log."""
    return {
        f"{name}/{what}": value
        for name, one in found.items()
        for what, value in (("tasks", len(one.rates)), ("dropped", len(one.ids)), ("failed", one.failed))
    }


def _write(folder: RunFolder, found: Mapping[str, Dropped]) -> None:
    write_atomic(folder.path / DROPPED, msgspec.json.format(msgspec.json.encode(dict(found)), indent=1))
