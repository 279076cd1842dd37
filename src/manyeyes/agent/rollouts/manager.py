"""`RolloutManager`: attempts at tasks, very many at once, in groups; each of them ends exactly once, whatever happens.

    async with RolloutManager({"live": sampler}, config=…, pool=…, store=…, folder=run) as manager:
        manager.submit(GroupRequest("0", task, environment, size=8))
        async for group in manager.results():
            …

Each attempt is one coroutine (`Episode`) with a `RolloutCtx`. An attempt whose trajectory lies in the store is not run
again, so a run goes on after `kill -9` when the same groups are submitted again. `suspend` parks all attempts where
they stand, in the middle of a completion, too; after `go_on` they sample with the weights of then. `checkpoint` and
`restore` carry them over the end of the process.

With very many attempts Python's garbage collector takes seconds to look at what never becomes garbage: call
`gc.freeze()` and raise `gc.set_threshold` before.

Report: App. D (rollout manager).
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from typing import Any, Self

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.gate import Gate
from manyeyes.agent.rollouts import checkpoint
from manyeyes.agent.rollouts.admission import Admission
from manyeyes.agent.rollouts.attempt import Attempt
from manyeyes.agent.rollouts.attempt_runner import AttemptRunner
from manyeyes.agent.rollouts.concurrency import EngineSample
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.deadline_wheel import DeadlineWheel
from manyeyes.agent.rollouts.delivery import Delivery, Store
from manyeyes.agent.rollouts.episode import episode_of
from manyeyes.agent.rollouts.failures import Cause, kind_of
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.hang_report import Hang, awaiting
from manyeyes.agent.rollouts.host import Host, Pool
from manyeyes.agent.rollouts.line import Timekeeping
from manyeyes.agent.rollouts.open_group import OpenGroup
from manyeyes.agent.rollouts.past import Suspended
from manyeyes.agent.rollouts.run_log import RunLog
from manyeyes.agent.rollouts.snapshot import RolloutSnapshot
from manyeyes.agent.rollouts.stats import RolloutStats
from manyeyes.agent.rollouts.ticker import Ticker
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.sampler import Sampler
from manyeyes.core.trajectory import Policy, Trajectory

CLOSED = "the manager was closed"
STOPPED = "nothing starts any more: too many attempts in a row failed"
DEFAULTS = RolloutConfig()


class QueueFull(ManyeyesError):
    """As many attempts are open as may be: take results, or `await submit_when_room`."""


class RolloutManager:
    """See the module. Belongs to one event loop; an async context manager.

    Args:
        models: by policy: a `Sampler` for token episodes, a `ChatModel` for text episodes; a `TokenChat` is both.
        pool: of environments, for `ctx.lease`.
        store: of finished trajectories; those that it holds are not run again.
        folder: of the run, for `rollouts.jsonl` and `groups.jsonl`; None writes nothing.
    """

    def __init__(
        self,
        models: Mapping[Policy, ChatModel | Sampler],
        *,
        config: RolloutConfig = DEFAULTS,
        pool: Pool | None = None,
        store: Store | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.models, self.config, self.pool, self.store = dict(models), config, pool, store
        self.stats, self.gate = RolloutStats(), Gate()
        self._admission = Admission(config)
        self._ids: set[str] = set()
        self._open, self._pumping, self._closing = 0, False, False
        self._changed: asyncio.Event = asyncio.Event()
        self._pasts: dict[str, Suspended] = {}
        self._log = RunLog(folder, self.stats) if folder is not None else None
        self._snapshot_at = self._refused = 0.0

    async def __aenter__(self) -> Self:
        wheel = DeadlineWheel()
        self._ticker = Ticker(wheel, on_tick=self._tick)
        self._clock = self._ticker.clock
        self._began = self._clock()
        times = Timekeeping(wheel, self._clock, self.stats)
        self.host = Host(
            self.config, self.models, self._clock, times, self.stats, self.gate, self.pool, self._hung, episode_of
        )
        self._runner = AttemptRunner(self.host, ended=self._ended, breaking=self._breaking)
        self._delivery = Delivery(
            self._admission, self.stats, wheel, self._clock, store=self.store, log=self._log,
            straggler_seconds=self.config.straggler_seconds, cancel=self._runner.call_off, changed=self._tell,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel what is left; it is not kept as ended, so that a resumed run does it."""
        self._closing = True
        self._tell()
        self._clock.go_on()
        for group in list(self._delivery.groups.values()):
            self._delivery.call_off(group, CLOSED)
        try:
            while self._delivery.groups:
                await self._change()
            self._note_snapshot()
        finally:
            self._ticker.close()
            if self._log is not None:
                self._log.close()

    # --- work in, results out ---

    def submit(self, request: GroupRequest) -> None:
        """Ask for a group.

        Raises:
            QueueFull: too many attempts are open.
            ConfigError: there was a group of that id, or nothing that could be run.
        """
        if self._closing:
            raise ConfigError("the manager is closed")
        if request.id in self._ids:
            raise ConfigError(f"there was a group {request.id!r} before; ids of groups must be unique in a run")
        if not self.has_room(request):
            raise QueueFull(f"{self._open:,} attempts are open, and at most {self.config.most_open:,} may be")
        group = OpenGroup(request, episode_of(request.episode), self._clock())
        self._ids.add(request.id)
        self._open += request.size
        self._delivery.open(group)
        self._pump_soon()

    async def submit_when_room(self, request: GroupRequest) -> None:
        """Ask for a group once there is room for it."""
        while not self.has_room(request) and not self._closing:
            await self._change()
        self.submit(request)

    def has_room(self, request: GroupRequest) -> bool:
        """Whether a group may be submitted now; one alone always may."""
        return self._open == 0 or self._open + request.size <= self.config.most_open

    async def results(self) -> AsyncIterator[Group]:
        """Groups as they are over, until every group that was submitted has been delivered."""
        while (group := await self.next_group()) is not None:
            yield group

    async def next_group(self) -> Group | None:
        """The next group that is over; None when none is left to wait for."""
        while not self._delivery.ready:
            if not self._delivery.groups:
                return None
            await self._change()
        group = self._delivery.take()
        self._open -= group.request.size
        self._tell()
        return group

    def cancel(self, group: str, why: str = "it was cancelled") -> None:
        """End a group: each of its attempts that is not over ends as cancelled."""
        if (found := self._delivery.groups.get(group)) is not None:
            self._delivery.call_off(found, why)

    # --- weights ---

    async def suspend(self, why: str = "new weights") -> None:
        """Park all attempts where they stand: nothing samples until `go_on`, nothing starts, time stands still.

        Requests that are under way are handed back with what they have, where the samplers can do that.
        """
        self.gate.shut(why)
        self._clock.stop()
        for sampler in self._pausable():
            await sampler.pause(hand_back=True)

    async def go_on(self) -> None:
        """Let all attempts go on."""
        for sampler in self._pausable():
            await sampler.resume()
        self._clock.go_on()
        self.gate.open()
        self._pump_soon()

    def set_version(self, version: int) -> None:
        """The policy has new weights. Groups that would be too old by the time they are over end now."""
        self.host.version = self._delivery.version = version
        if self._admission.staleness is not None:
            self._admission.staleness.publish(version)
            self._delivery.sweep()
        self._pump_soon()

    def take_engine_sample(self, sample: EngineSample) -> None:
        """What the engines say about their load, for an adaptive cap."""
        self._admission.take(sample)

    # --- over the end of the process ---

    async def checkpoint(self, folder: str | Path) -> int:
        """Write down all attempts that are under way; returns how many. The run must be suspended.

        Attempts that were restored and have not gone on yet are among them.

        Raises:
            ConfigError: it is not suspended, or a sampler is not listened to.
            RolloutCheckpointError: a sampler does not hand back in time; the disk is full or gone.
            WireError: a trajectory that cannot be written.
        """
        checkpoint.check_captured(self.models)
        if self.gate.is_open:
            raise ConfigError("a run must be suspended before its attempts can be written down")
        await asyncio.sleep(0)  # whoever was about to begin has begun
        await checkpoint.handed_back(self.host)
        begun = [
            one
            for one in self._runner.live.values()
            if one.main is not None and not one.main.is_over and not one.called_off
        ]
        return checkpoint.write(folder, self.host.version, begun, self._pasts)

    def restore(self, folder: str | Path, *, version: int | None = None, only: Collection[str] | None = None) -> int:
        """Let attempts of a checkpoint go on where they stood, once their groups are submitted; returns how many.

        Args:
            version: of the policy by now; that of the checkpoint when left out.
            only: names of attempts that will be asked for; later checkpoints hold whatever is restored and never asked
                for, too.

        Raises:
            RolloutCheckpointError: there is none, or it was damaged.
        """
        checkpoint.check_captured(self.models)
        found = checkpoint.read(folder)
        wanted = {name: past for name, past in found.attempts.items() if only is None or name in only}
        self._pasts |= wanted
        self.resume_at(found.version if version is None else version)
        return len(wanted)

    def resume_at(self, version: int) -> None:
        """Begin where an interrupted run stopped: what was trained on until then counts as accepted."""
        self.host.version = self._delivery.version = version
        if self._admission.staleness is not None:
            self._admission.staleness.resume(version)

    # --- what it is doing ---

    def snapshot(self) -> RolloutSnapshot:
        """Everything at this moment."""
        return self.stats.snapshot(
            seconds=self._clock() - self._began,
            version=self.host.version,
            queued=self._admission.queued,
            running=self._admission.running,
            suspended=0 if self.gate.is_open else self.stats.waiting["gate"],
            cap=self._admission.cap,
            lag=self._ticker.lag,
            pool=self.pool.stats() if self.pool is not None else {},
        )

    def hangs(self, *, longer_than: float = 60.0) -> list[Hang]:
        """Every wait that takes longer, with the frame that awaits, the longest first."""
        found = [
            Hang(attempt.name, agent.agent, line.kind, line.seconds, awaiting(line.task))
            for attempt in self._runner.live.values()
            if attempt.main is not None
            for agent in attempt.main.family
            for line in agent.lines
            if line.seconds > longer_than and line.task is not None
        ]
        return sorted(found, key=lambda hang: -hang.seconds)

    def alive(self, attempt: str) -> bool:
        """Whether an attempt is under way; a pool asks, to take back what the dead have left."""
        return attempt in self._runner.live

    @property
    def given_up(self) -> bool:
        """Whether nothing starts any more because too many attempts in a row failed."""
        return self._admission.breaker.given_up

    # --- machinery ---

    def _tick(self) -> None:
        self._admission.tick()
        self._pump()
        now = self._ticker.loop_time()
        if now >= self._snapshot_at:
            self._snapshot_at = now + self.config.snapshot_seconds
            self._note_snapshot()

    def _note_snapshot(self) -> None:
        sample = EngineSample(self.host.sampling, refused=int(self.host.refused - self._refused))
        self._refused = self.host.refused
        if self.config.adaptive:
            self._admission.take(sample)
        if self._log is not None:
            self._log.snapshot(self.snapshot())

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Start what may start."""
        self._pumping = False
        if self._closing or not self.gate.is_open:
            return
        for group, number in self._admission.starting(self._clock()):
            self._start(group, number)
        if self._admission.breaker.given_up:
            for group in self._admission.waiting():
                self._delivery.drop(group, "model", STOPPED)

    def _start(self, group: OpenGroup, number: int) -> None:
        request = group.request
        name = request.name_of(number)
        attempt = Attempt(group, number, name=name, seed=request.seed, priority=request.priority)
        group.running[number] = attempt
        past = self._pasts.pop(name, None)
        if self._delivery.known(attempt):
            self._breaking("cancelled")
        else:
            self._runner.start(attempt, past)

    def _ended(self, attempt: Attempt, trajectory: Trajectory, cause: Cause | None) -> None:
        """An attempt that was run is over."""
        if self.pool is not None:
            self.pool.take_back(attempt.name)
        self._delivery.put(attempt, trajectory, cause or "", keep=not (self._closing and cause == "cancelled"))
        self._pump_soon()

    def _hung(self, agent: Any, line: Any) -> None:
        self._runner.hung(agent, line)

    def _breaking(self, cause: Cause | None) -> None:
        """A try is over: what the breaker makes of it."""
        breaker = self._admission.breaker
        if cause is None:
            breaker.succeeded()
        elif kind_of(cause) == "infra":
            breaker.failed(self._clock())
        else:
            breaker.said_nothing()

    def _pausable(self) -> list[Any]:
        """Samplers whose pace can be set, each once."""
        samplers = {id(one): one for one in (getattr(m, "sampler", m) for m in self.models.values())}
        return [one for one in samplers.values() if hasattr(one, "pause") and hasattr(one, "resume")]

    async def _change(self) -> None:
        """Wait until something has been delivered or taken."""
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
