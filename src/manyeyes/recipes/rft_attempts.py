"""The first half of an RFT run: a measurement of the model it starts from, and attempts at tasks.

    before.json       the measurement, made once
    attempts.json     how many attempts each place had and how many were right; it is there once all are over
    trajectories/     the attempts that have ended; they are not made again, and those that failed are

While they go on, the log has a row "attempts" now and then, for whoever watches.

Report: §2.3, §4.4.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.snapshot import TRAJECTORIES
from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.core.seeds import key
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes.asked_groups import EndedAttempts, asked, failed, why_failed
from manyeyes.recipes.rft_host import RftHost
from manyeyes.recipes.rft_run import RftRun
from manyeyes.rl.domains import Drawn
from manyeyes.rl.right import is_right

BEFORE = "before.json"
ATTEMPTS = "attempts.json"
TOLD = 32
"""Times that a run says how far its attempts are."""

Figures = Mapping[str, Mapping[str, float]]


def are_made(folder: RunFolder) -> bool:
    """Whether all attempts are over, and the measurement before them is there; what failed is still to be made."""
    return all(path.is_file() and not _told(path).get("failed") for path in _files(folder))


async def measure_before(run: RftRun, folder: RunFolder, host: RftHost, announce: Callable[[str], None]) -> Figures:
    """What the model can do that the run starts from; found again when it was measured already, and nothing failed."""
    if (found := measured_before(run, folder)) is not None and not _told(folder.path / BEFORE).get("failed"):
        return found
    if run.measured:
        announce(f"measuring the model that it starts from: {sum(one.count for one in run.measured):,} held-out tasks")
    figures = await host.measure.figures(0, final=True)
    told = {"of": _measured(run), "figures": figures, "failed": host.measure.lost}
    write_atomic(folder.path / BEFORE, json.dumps(told, indent=1))
    return figures


def measured_before(run: RftRun, folder: RunFolder) -> Figures | None:
    """The measurement that was made; None where there is none, or one of other tasks."""
    path = folder.path / BEFORE
    told = _told(path) if path.is_file() else {}
    return told["figures"] if told.get("of") == _measured(run) else None


def _files(folder: RunFolder) -> tuple[Path, Path]:
    return folder.path / ATTEMPTS, folder.path / BEFORE


def _told(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes())


def _measured(run: RftRun) -> Any:
    return json.loads(msgspec.json.encode([run.measured, run.evaluate_temperature]))


class Attempts:
    """All attempts of a run, as they come in.

    Args:
        announce: called with a line now and then.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        run: RftRun,
        folder: RunFolder,
        announce: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run, self.folder, self.announce, self.clock = run, folder, announce, clock
        self.made, self.right = Counter[str](), Counter[str]()
        self.tasks = self.sampled = 0
        self.lost: list[Trajectory] = []
        self._place_of: dict[str, str] = {}

    async def make(self, host: RftHost, stop: Callable[[], bool]) -> bool:
        """Those that are not there yet; False when it was stopped on the way.

        Raises:
            ManyeyesError: too many attempts in a row failed; what had ended is found again.
        """
        requests = list(self._requests(host))
        began = self.clock()
        config = RolloutConfig(most_running=self.run.running)
        with TrajectoryStore(self.folder.path / TRAJECTORIES, mode="append") as store:
            async with RolloutManager(
                host.models, config=config, pool=host.pool, store=EndedAttempts(store), folder=self.folder.path
            ) as manager:
                async for group in asked(manager, requests, stop=stop):
                    self._take(group)
                    if self.tasks % max(1, len(requests) // TOLD) == 0 or self.tasks == len(requests):
                        self._tell(len(requests), self.clock() - began)
        if self.tasks < len(requests):
            return False
        if self.lost:
            self.announce(f"{len(self.lost)} attempts failed; the first: {why_failed(self.lost[0])}")
        write_atomic(self.folder.path / ATTEMPTS, json.dumps(self.figures, indent=1))
        return True

    @property
    def figures(self) -> dict[str, Any]:
        """How many of how many were right, in all and by place."""
        places = {place: {"attempts": count, "right": self.right[place]} for place, count in sorted(self.made.items())}
        return {
            "tasks": self.tasks,
            "attempts": self.made.total(),
            "right": self.right.total(),
            "sampled": self.sampled,
            "failed": len(self.lost),
            "places": places,
        }

    def _requests(self, host: RftHost) -> Iterable[GroupRequest]:
        domains, run = host.places.domains(None), self.run
        while len(self._place_of) < run.tasks and (drawn := domains.draw(step=0)) is not None:
            yield self._request(drawn, domains.episode(drawn, temperature=run.temperature))
        if (found := len(self._place_of)) < run.tasks:
            self.announce(f"the places have only {found:,} of {run.tasks:,} tasks; these are attempted")

    def _request(self, drawn: Drawn, episode: Any) -> GroupRequest:
        self._place_of[str(drawn.number)] = drawn.key
        seed = key(self.run.seed, "rft/group", drawn.number) >> 66
        return GroupRequest(str(drawn.number), drawn.task, episode, self.run.attempts, seed=seed)

    def _take(self, group: Group) -> None:
        self.tasks += 1
        place = self._place_of[group.request.id]
        self.lost += failed([group])
        for one in group.trajectories:
            self.made[place] += 1
            self.sampled += one.sampled_tokens
            self.right[place] += is_right(one, least=self.run.rules.least_reward)

    def _tell(self, tasks: int, seconds: float) -> None:
        made, right = self.made.total(), self.right.total()
        self.folder.log(
            "attempts", self.tasks, tasks=tasks, attempts=made, right=right, sampled=self.sampled, seconds=seconds
        )
        self.announce(f"attempted {self.tasks:,} of {tasks:,} tasks: {right:,} of {made:,} attempts right")
