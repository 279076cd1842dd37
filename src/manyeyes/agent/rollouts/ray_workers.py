"""`RayRollouts`: rollout managers on many machines: each a Ray actor that runs whole groups, behind one `submit`.

    async with RayRollouts(make_manager, workers=8) as rollouts:
        rollouts.submit(request)
        async for group in rollouts.results(): …

A group runs where it was sent; what comes back is bytes. Attempts that fail are classified by the manager beside them,
because Ray does not carry causes over the border of an actor. When a machine is lost, the groups that were under way
there run again elsewhere, on a worker that is made anew; each group still comes out once.

Report: App. D (rollouts across machines); needs `manyeyes[ray]`.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

import msgspec

from manyeyes.agent.rollouts.failures import Cause
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.parcel import packed, unpacked
from manyeyes.agent.rollouts.snapshot import RolloutSnapshot
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_wire import WireError

Make = Callable[[], AbstractAsyncContextManager[RolloutManager]]
"""Makes the manager of a worker, on its machine; a `RolloutManager` is such a thing itself."""
AT_ONCE = 1 << 14
"""Calls that an actor may have under way; what really runs is the manager's to say."""


class GroupParcel(msgspec.Struct, array_like=True):
    """A group as it comes back.

    Attributes:
        trajectories: each as `parcel.packed` writes it.
        error: why there is no group; "" where there is one.
    """

    trajectories: list[bytes] = []
    complete: bool = False
    stale: bool = False
    failures: dict[str, int] = {}
    seconds: float = 0.0
    error: str = ""


class RolloutWorker:
    """What runs in an actor: one manager, and whoever waits for its groups.

    Args:
        make: makes the manager.
    """

    def __init__(self, make: Make) -> None:
        self._make, self._waiting = make, dict[str, asyncio.Future[Group]]()
        self._called_off: dict[str, str] = {}
        self._opening = asyncio.Lock()
        self._held: AbstractAsyncContextManager[RolloutManager] | None = None
        self._manager: RolloutManager | None = None
        self._taking: asyncio.Task[None] | None = None

    async def run(self, request: GroupRequest) -> bytes:
        """Run a group to its end; what goes wrong with it is said in the parcel."""
        try:
            group = await self._group(request)
            parcel = GroupParcel(
                [packed(one) for one in group.trajectories], group.complete, group.stale, dict(group.failures),
                group.seconds,
            )  # fmt: skip
        except Exception as error:  # the border of the actor: Ray would lose the cause
            parcel = GroupParcel(error=f"{type(error).__name__}: {error}")
        return msgspec.msgpack.encode(parcel)

    async def cancel(self, group: str, why: str) -> None:
        """See `RolloutManager.cancel`."""
        manager = await self._opened()
        if group in self._waiting:
            manager.cancel(group, why)
        else:  # it still waits for room
            self._called_off[group] = why

    async def suspend(self, why: str) -> None:
        """See `RolloutManager.suspend`."""
        await (await self._opened()).suspend(why)

    async def go_on(self) -> None:
        """See `RolloutManager.go_on`."""
        await (await self._opened()).go_on()

    async def set_version(self, version: int) -> None:
        """See `RolloutManager.set_version`."""
        (await self._opened()).set_version(version)

    async def resume_at(self, version: int) -> None:
        """See `RolloutManager.resume_at`."""
        (await self._opened()).resume_at(version)

    async def snapshot(self) -> bytes:
        """See `RolloutManager.snapshot`."""
        return msgspec.msgpack.encode((await self._opened()).snapshot())

    async def close(self) -> None:
        """Close the manager; what it had under way is cancelled."""
        if self._held is not None:
            await self._held.__aexit__(None, None, None)

    async def _group(self, request: GroupRequest) -> Group:
        manager = await self._opened()
        await manager.submit_when_room(request)
        waiting = self._waiting[request.id] = asyncio.get_running_loop().create_future()
        if self._taking is None or self._taking.done():
            self._taking = asyncio.create_task(self._take(manager))
        if (why := self._called_off.pop(request.id, "")) != "":
            manager.cancel(request.id, why)
        return await waiting

    async def _take(self, manager: RolloutManager) -> None:
        async for group in manager.results():
            waiting = self._waiting.pop(group.request.id)
            if not waiting.done():
                waiting.set_result(group)

    async def _opened(self) -> RolloutManager:
        async with self._opening:
            if self._manager is None:
                self._held = self._make()
                self._manager = await self._held.__aenter__()
            return self._manager


class RayRollouts:
    """See the module. Ray must be running (`ray.init`).

    Args:
        make: makes the manager of each worker; it and the requests must be picklable.
        workers: actors, spread over the machines.
        cpus: that each of them claims.
        losses: times that a group may lose its worker before it is given up.

    Raises:
        ConfigError: Ray is not installed, or there is no worker to make.
    """

    def __init__(self, make: Make, *, workers: int, cpus: float = 1.0, losses: int = 3) -> None:
        if workers < 1:
            raise ConfigError(f"at least one worker is needed, got {workers}")
        self._ray = _ray()
        self._make, self._cpus, self._losses = make, cpus, losses
        self._version, self._suspended = 0, ""
        self._workers: list[Any] = [self._made() for _ in range(workers)]
        self._load: Counter[int] = Counter()
        self._where: dict[str, int] = {}
        self._open: dict[str, asyncio.Task[None]] = {}
        self._called_off: dict[str, str] = {}
        self._ready: deque[Group] = deque()
        self._changed = asyncio.Event()
        self.lost = 0
        """Workers that were lost so far."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._open.values():
            task.cancel()
        await asyncio.gather(*self._open.values(), return_exceptions=True)
        await self._each("close")
        for worker in self._workers:
            self._ray.kill(worker)

    def submit(self, request: GroupRequest) -> None:
        """Ask for a group.

        Raises:
            ConfigError: one of that id is open.
        """
        if request.id in self._open:
            raise ConfigError(f"group {request.id!r} is open already; ids of groups must be unique in a run")
        self._open[request.id] = asyncio.get_running_loop().create_task(self._run(request))

    async def results(self) -> AsyncIterator[Group]:
        """Groups as they are over, until every group that was submitted has been delivered."""
        while self._open or self._ready:
            while not self._ready:
                await self._changed.wait()
                self._changed.clear()
            yield self._ready.popleft()

    async def cancel(self, group: str, why: str = "it was cancelled") -> None:
        """End a group."""
        if group in self._open:
            self._called_off[group] = why
        if (at := self._where.get(group)) is not None:
            await self._asked(self._workers[at].cancel.remote(group, why))

    async def suspend(self, why: str = "new weights") -> None:
        """Park all attempts on all machines."""
        self._suspended = why
        await self._each("suspend", why)

    async def go_on(self) -> None:
        """Let them go on."""
        self._suspended = ""
        await self._each("go_on")

    async def set_version(self, version: int) -> None:
        """The policy has new weights."""
        self._version = version
        await self._each("set_version", version)

    async def snapshots(self) -> list[RolloutSnapshot]:
        """Of every worker that answers."""
        told = await self._each("snapshot")
        return [msgspec.msgpack.decode(one, type=RolloutSnapshot) for one in told if one is not None]

    async def _run(self, request: GroupRequest) -> None:
        """A group to its end, on one worker after the other where they are lost."""
        group = Group(request)
        try:
            for _ in range(self._losses + 1):
                if (why := self._called_off.get(request.id)) is not None:
                    group = _failed(request, "cancelled", why)
                    break
                at = min(range(len(self._workers)), key=lambda one: self._load[one])
                worker = self._workers[at]
                self._where[request.id] = at
                self._load[at] += 1
                try:
                    group = _unpacked(request, await worker.run.remote(request))
                    break
                except (self._ray.exceptions.RayTaskError, WireError, msgspec.DecodeError) as error:
                    group = _failed(request, "environment_bug", f"{type(error).__name__}: {error}")
                    break
                except self._ray.exceptions.RayError as error:
                    group = _failed(request, "hang", f"its worker was lost: {type(error).__name__}")
                    self._replace(at, worker)
                finally:
                    self._load[at] -= 1
        finally:
            self._where.pop(request.id, None)
            self._called_off.pop(request.id, None)
            del self._open[request.id]
            self._ready.append(group)
            self._changed.set()

    def _replace(self, at: int, worker: Any) -> None:
        """Make a worker anew, once however many groups have lost it."""
        if self._workers[at] is worker:
            self.lost += 1
            fresh = self._workers[at] = self._made()
            if self._version:
                fresh.resume_at.remote(self._version)
            if self._suspended:
                fresh.suspend.remote(self._suspended)

    def _made(self) -> Any:
        actor = self._ray.remote(RolloutWorker)
        return actor.options(
            num_cpus=self._cpus, max_concurrency=AT_ONCE, scheduling_strategy="SPREAD", max_restarts=0
        ).remote(self._make)

    async def _each(self, method: str, *arguments: Any) -> list[Any]:
        calls = [getattr(worker, method).remote(*arguments) for worker in self._workers]
        return list(await asyncio.gather(*map(self._asked, calls)))

    async def _asked(self, call: Any) -> Any:
        """What a worker says; None from one that is lost, which its groups find out. What fails there is raised."""
        try:
            return await call
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError:
            return None


def _unpacked(request: GroupRequest, data: bytes) -> Group:
    parcel = msgspec.msgpack.decode(data, type=GroupParcel)
    if parcel.error:
        return _failed(request, "environment_bug", parcel.error)
    trajectories = [unpacked(one) for one in parcel.trajectories]
    return Group(request, trajectories, parcel.complete, parcel.stale, Counter(parcel.failures), parcel.seconds)


def _failed(request: GroupRequest, cause: Cause, why: str) -> Group:
    """A group of which nothing came back."""
    masked, names = f"{cause}: {why}", [request.name_of(number) for number in range(request.size)]
    stop = "cancelled" if cause == "cancelled" else "failed"
    trajectories = [Trajectory(name, request.task.id, masked=masked, stop=stop) for name in names]
    return Group(request, trajectories, failures=Counter({cause: request.size}))


def _ray() -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports]  # of the extra
        import ray.exceptions  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError("rollouts on many machines need Ray: pip install 'manyeyes[ray]'") from error
    if not ray.is_initialized():
        raise ManyeyesError("Ray is not running: call ray.init() first, with the address of the cluster")
    return ray
