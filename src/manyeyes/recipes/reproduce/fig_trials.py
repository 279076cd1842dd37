"""Trials of figures 6, 7 and 8: sessions on the synthetic world, several at once, begun or gone on with.

A trial that is over is passed over, one that was stopped goes on where it was: what was done stands in its journal and
nowhere else. No torch, no key, no network.

Report: §5.2.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.task import Outcome
from manyeyes.agent.tools.local_web import LocalWeb
from manyeyes.agent.tools.web import web_tools
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.journal import Event
from manyeyes.core.runlog import write_atomic
from manyeyes.swarm.session import SessionConfig, ended
from manyeyes.swarm.trial import Trial, trial

IDENTITY = "experiment.txt"
"""File of an experiment's folder that says which experiment it is, at which size."""


@dataclass(frozen=True)
class Planned:
    """A trial to be run.

    Attributes:
        name: for people, and of its folder.
        config: what is asked, in which mode.
        model: made from the events of the past, so that a trial that is gone on with goes on alike.
        answers: that the model will give, about.
        weight: share in the time of the whole, in any unit.
        steps: of an agent alone; see `Trial`.
    """

    name: str
    config: SessionConfig
    model: Callable[[Sequence[Event]], ChatModel]
    answers: float
    weight: float
    steps: float | None = None

    def in_folder(self, folder: Path) -> Trial:
        """The trial below an experiment's folder."""
        return trial(folder / self.name, self.config, steps=self.steps)


class Lane(NamedTuple):
    """Trials on one web, `at_once` at a time."""

    web: LocalWeb
    trials: Sequence[Planned]
    at_once: int = 1


class Standing(NamedTuple):
    """How far all trials are.

    Attributes:
        finished, all: trials.
        share: of the whole work that is done, from 0 to 1.
        running: names of those under way.
    """

    finished: int
    all: int
    share: float
    running: tuple[str, ...]


Report = Callable[[Standing], None]


def claim(folder: Path, experiment: str, identity: str) -> None:
    """Make a folder an experiment's own, so that trials of another size never get into its figures.

    Raises:
        ConfigError: it is another's.
    """
    path, mine = folder / IDENTITY, f"{experiment} {identity}\n"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, mine)
    elif (found := path.read_text(encoding="utf-8")) != mine:
        raise ConfigError(
            f"{folder} holds {found.strip()} and not {mine.strip()}; name another --folder or delete this one"
        )


def silent(standing: Standing) -> None:
    """Reports nothing."""


@dataclass
class _Tally:
    """Counts answers of the model as they come, and reports."""

    trials: Sequence[Planned]
    report: Report
    seen: dict[str, int] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    def take(self, name: str, event: Event) -> None:
        self.seen[name] = self.seen.get(name, 0) + (event.kind == "llm.finished")
        self.report(self.standing)

    def end(self, name: str) -> None:
        self.over.add(name)
        self.report(self.standing)

    @property
    def standing(self) -> Standing:
        whole = sum(one.weight for one in self.trials)
        done = sum(one.weight * self._share(one) for one in self.trials)
        running = tuple(name for name in self.seen if name not in self.over)
        return Standing(len(self.over), len(self.trials), done / whole if whole else 1.0, running)

    def _share(self, one: Planned) -> float:
        return 1.0 if one.name in self.over else min(0.99, self.seen.get(one.name, 0) / one.answers)


async def run_lanes(folder: Path, lanes: Sequence[Lane], *, report: Report = silent) -> None:
    """Run all trials to their ends, lane after lane.

    Args:
        folder: of the experiment; every trial gets one below it.
        report: called with every event.
    """
    tally = _Tally([one for lane in lanes for one in lane.trials], report)
    for lane in lanes:
        await _run_lane(folder, lane, tally)


async def _run_lane(folder: Path, lane: Lane, tally: _Tally) -> None:
    """One failure ends the others, and is the failure of all."""
    free = asyncio.Semaphore(lane.at_once)
    try:
        async with asyncio.TaskGroup() as group:
            for planned in lane.trials:
                group.create_task(_run(folder, planned, lane.web, free, tally))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _run(folder: Path, planned: Planned, web: LocalWeb, free: asyncio.Semaphore, tally: _Tally) -> None:
    async with free:
        session = planned.in_folder(folder)
        past = session.events
        for event in past:
            tally.seen[planned.name] = tally.seen.get(planned.name, 0) + (event.kind == "llm.finished")
        await session.run(
            planned.model(past),
            lambda ctx: web_tools(web, web, ctx),
            listen=lambda event: tally.take(planned.name, event),
        )
        tally.end(planned.name)


def finished(session: Trial) -> tuple[list[Event], Outcome]:
    """The events and the outcome of a trial that is over.

    Raises:
        DataError: it is not, or a failure of the program ended it, which says nothing about agents.
    """
    events = session.events
    if (outcome := ended(events)) is None:
        raise DataError(f"{session.folder}: this trial has not come to its end; run the experiment again to go on")
    if outcome.stop in ("error", "cancelled"):
        raise DataError(
            f"{session.folder}: this trial failed ({outcome.reason}); delete its folder and run the experiment again"
        )
    return events, outcome
