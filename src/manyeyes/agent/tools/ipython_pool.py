"""`KernelPool`: the Python kernels of a run, at most so many alive at once; a kernel takes about 50 MB.

An agent gets its kernel with its first call. One that nobody used for a while is ended, and so is the one that was not
used for longest when another agent needs room; its agent is told that its variables are lost. While all of them work,
who needs a new one waits.

Report: App. D (tools), sized for §3's hundreds of agents.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from manyeyes.agent.sandbox import Sandbox
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.tools.ipython_kernel import Kernel, require_packages
from manyeyes.agent.tools.ipython_shown import Executed
from manyeyes.agent.workspace import Workspace

KERNEL_CPU_SECONDS = 3_600
"""A kernel lives longer than a command."""
ROOM_NEEDED = "it was ended to make room for other agents' kernels"
IDLE = "it was ended because it was not used for {seconds:g} s"
STARTED_ANEW = "the run was interrupted"


class _Slot:
    """What the pool keeps of one agent."""

    def __init__(self) -> None:
        self.kernel: Kernel | None = None
        self.lost = ""
        self.used = 0.0
        self.users = 0
        self.lock = asyncio.Lock()
        self.expiry: asyncio.TimerHandle | None = None


class KernelPool:
    """The kernels of a run; close it at the end.

    Args:
        sandbox: that they run in.
        most: alive at once.
        idle_seconds: after which a kernel that is not used is ended.
        limits: of each; the sandbox's, with more processor time, when None.

    Raises:
        ConfigError: ipykernel or jupyter_client is not installed.
    """

    def __init__(
        self, sandbox: Sandbox, *, most: int = 32, idle_seconds: float = 900.0, limits: SandboxLimits | None = None
    ) -> None:
        require_packages()
        self.sandbox, self.most, self.idle_seconds = sandbox, most, idle_seconds
        self.limits = limits or replace(sandbox.limits, cpu_seconds=KERNEL_CPU_SECONDS)
        self._slots: dict[str, _Slot] = {}
        self._alive = 0
        self._room = asyncio.Condition()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> int:
        """Kernels now, those that are being started or ended included."""
        return self._alive

    async def execute(
        self, agent: str, workspace: Workspace, code: str, *, seconds: float, most: int
    ) -> tuple[Executed, str]:
        """Run code in the agent's kernel; and why the kernel that it had is lost, "" when it is not.

        Raises:
            SandboxUnavailable: no kernel could be started.
        """
        async with self._used(agent) as slot:
            lost, slot.lost = slot.lost, ""
            if slot.kernel is not None and not slot.kernel.alive:
                lost = slot.kernel.why
                await self._end(slot)
            if slot.kernel is None:
                await self._start(slot, workspace)
            assert slot.kernel is not None, "it was just started"
            done = await self._executed(slot, slot.kernel, code, seconds=seconds, most=most)
        return done, lost

    async def release(self, agent: str) -> None:
        """The agent is over: end its kernel."""
        if (slot := self._slots.pop(agent, None)) is not None:
            await self._retire(slot, "")

    async def close(self) -> None:
        """End all kernels."""
        slots, self._slots = list(self._slots.values()), {}
        await asyncio.gather(*(self._retire(slot, "") for slot in slots), *self._ending, return_exceptions=True)

    async def _executed(self, slot: _Slot, kernel: Kernel, code: str, *, seconds: float, most: int) -> Executed:
        """Whoever is cancelled meanwhile leaves no kernel behind that still works on his code."""
        try:
            done = await kernel.execute(code, seconds=seconds, most=most)
        except BaseException:
            slot.lost = "its call was stopped"
            await asyncio.shield(asyncio.ensure_future(self._end(slot)))
            raise
        if done.status == "died":
            await self._end(slot)
        return done

    @asynccontextmanager
    async def _used(self, agent: str) -> AsyncIterator[_Slot]:
        """The agent's slot, for one call at a time."""
        slot = self._slots.setdefault(agent, _Slot())
        slot.users += 1
        if slot.expiry is not None:
            slot.expiry.cancel()
        try:
            async with slot.lock:
                yield slot
        finally:
            loop = asyncio.get_running_loop()
            slot.users, slot.used = slot.users - 1, loop.time()
            if not slot.users:
                slot.expiry = loop.call_later(self.idle_seconds, self._expire, slot)
            async with self._room:
                self._room.notify_all()

    async def _start(self, slot: _Slot, workspace: Workspace) -> None:
        async with self._room:
            while self._alive >= self.most:
                self._make_room()
                await self._room.wait()
            self._alive += 1
        try:
            slot.kernel = await Kernel.start(self.sandbox, workspace, limits=self.limits)
        except BaseException:
            await self._gone()
            raise

    def _make_room(self) -> None:
        """Begin to end the kernel that was not used for longest, unless all of them work, or one is being ended."""
        resting = [slot for slot in self._slots.values() if slot.kernel is not None and not slot.users]
        if resting and not self._ending:
            self._retire_soon(min(resting, key=lambda slot: slot.used), ROOM_NEEDED)

    def _expire(self, slot: _Slot) -> None:
        if slot.kernel is not None and not slot.users:
            self._retire_soon(slot, IDLE.format(seconds=self.idle_seconds))

    def _retire_soon(self, slot: _Slot, why: str) -> None:
        self._ending.add(asyncio.ensure_future(self._retire_and_tell(slot, why)))

    async def _retire_and_tell(self, slot: _Slot, why: str) -> None:
        try:
            await self._retire(slot, why)
        finally:
            self._ending -= {task for task in self._ending if task is asyncio.current_task()}
            async with self._room:
                self._room.notify_all()

    async def _retire(self, slot: _Slot, why: str) -> None:
        """End a slot's kernel when its call, if there is one, is over."""
        if slot.expiry is not None:
            slot.expiry.cancel()
        async with slot.lock:
            if slot.kernel is not None:
                slot.lost = why
                await self._end(slot)

    async def _end(self, slot: _Slot) -> None:
        kernel, slot.kernel = slot.kernel, None
        if kernel is None:
            return
        try:
            await kernel.kill()
        finally:
            await self._gone()

    async def _gone(self) -> None:
        async with self._room:
            self._alive -= 1
            self._room.notify_all()
