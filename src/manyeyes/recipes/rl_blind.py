"""`Blind filter`: before its first step, a run asks its starting policy every task without the picture, and drops what
it solves, from the tasks that are learned from and from those that are held out.

Which tasks there are is known beforehand (a place's `size`, a measurement's `count`), so the filter costs a fixed
number of short attempts, all at once, and not some in each step. What it found stays in the run folder
(`dropped.json`): every task's rate, the ids that are dropped, and of which tasks and rule that was said. A run that
goes on reads it back; only sets of tasks that it does not hold, such as a measurement that was added, are asked, always
of the policy that the run began with.

Report: §2.3 (tasks "that necessarily require visual comprehension"); how they are found is an open choice.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.environments.sight_filter import blind_rewards, need_eyes, solved
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.host import Pool
from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.core.sampler import Sampler
from manyeyes.core.seeds import key
from manyeyes.core.trajectory import Policy
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.rl_parts import BlindRule
from manyeyes.recipes.rl_places import Places, TaskSet

DROPPED = "dropped.json"


class Dropped(msgspec.Struct, forbid_unknown_fields=True):
    """What was found of one set of tasks.

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
    """

    def __init__(
        self,
        places: Places,
        models: Mapping[Policy, ChatModel | Sampler],
        folder: RunFolder,
        *,
        pool: Pool | None = None,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.places, self.models, self.folder = places, models, folder
        self.pool, self.announce = pool, announce

    @property
    def missing(self) -> list[TaskSet]:
        """Sets that nothing is known of yet. Raises ConfigError where the file cannot be read."""
        known = read_dropped(self.folder)
        return [one for one in self.places.looked_at() if getattr(known.get(one.name), "of", "") != self._of(one)]

    async def __call__(self) -> dict[str, Dropped]:
        """Ask what was not asked yet, write it down, and drop; what was found, by set.

        Raises:
            ConfigError: every task of a set is solved, or the file cannot be read.
        """
        sets, missing, found = list(self.places.looked_at()), self.missing, read_dropped(self.folder)
        if missing:
            attempts = max(1, self.places.run.running // len(missing))
            new = await asyncio.gather(*(self._asked(one, attempts) for one in missing))
            found |= {one.name: told for one, told in zip(missing, new, strict=True)}
            _write(self.folder, found)
        for one in missing:
            self.announce(f"{one.name}: {found[one.name].line}")
        for one in sets:
            if len(found[one.name].ids) == len(found[one.name].rates):
                raise ConfigError(
                    f"{one.name}: every one of {len(found[one.name].rates)} tasks is solved without its picture; leave "
                    "the place out, give it more tasks, or set blind=null"
                )
            self.places.dropped[one.name] = frozenset(found[one.name].ids)
        return {one.name: found[one.name] for one in missing}

    async def _asked(self, one: TaskSet, running: int) -> Dropped:
        run, rule = self.places.run, self._rule
        episode = self.places.blind_episode(one.spec, temperature=run.temperature.at(0))
        rewards = await blind_rewards(
            self.models, self._tasks(one), episode, attempts=rule.attempts, seed=key(run.seed, f"blind/{one.name}"),
            config=RolloutConfig(most_running=running), pool=self.pool,
        )  # fmt: skip
        rates = {task: solved(given, right=rule.right) for task, given in rewards.items()}
        kept = need_eyes(rewards, right=rule.right, share=rule.share)
        failed = sum(reward is None for given in rewards.values() for reward in given)
        return Dropped(self._of(one), rates, sorted(rates.keys() - kept), failed)

    def _tasks(self, one: TaskSet) -> Sequence[Task]:
        """All of them, each once."""
        source = self.places.source(one.spec, one.split)
        drawn = (source.next() for _ in range(int(one.spec.tasks["size"])))
        return list({task.id: task for task in drawn if task is not None}.values())

    def _of(self, one: TaskSet) -> str:
        run = self.places.run
        return fingerprint_of(
            [
                run.start_model,
                run.seed,
                run.temperature.at(0),
                one.split,
                *map(msgspec.to_builtins, (one.spec, run.blind)),
            ]
        )

    @property
    def _rule(self) -> BlindRule:
        assert self.places.run.blind is not None, "only then are there sets to ask"
        return self.places.run.blind


def read_dropped(folder: RunFolder) -> dict[str, Dropped]:
    """What was found, by set; empty where nothing was asked yet.

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
