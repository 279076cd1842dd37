"""`Running`: a command in a sandbox from its start to the moment when nothing of it is left, and the watch over it.

Report: App. D (tools run in a sandbox).
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from manyeyes.agent.sandbox_census import too_many
from manyeyes.agent.sandbox_cgroup import ControlGroup
from manyeyes.agent.sandbox_disk import DiskWatch, FolderMeter
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.workspace import WORK, Workspace

LOOK_SECONDS = 0.25
"""Between two looks at what a command uses."""
GONE_SECONDS = 2.0
"""Within which all processes of a command that was killed are gone."""


class Ran(NamedTuple):
    """What became of a command.

    Attributes:
        status: of the shell's kind: 128 + n for an end by signal n.
        output: bytes printed, errors included, up to the cap.
        stopped: why it was stopped; "" when it ended by itself.
        timed_out: it was stopped for taking too long.
    """

    status: int
    output: bytes
    stopped: str = ""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """Where a command runs.

    Attributes:
        workspace: of its agent.
        exchange: folder here that is /run/agent inside.
        cwd: inside.
        env: more variables.
    """

    workspace: Workspace
    exchange: Path
    cwd: str = WORK
    env: Mapping[str, str] = field(default_factory=dict)


class Running:
    """A command under way; made by `Sandbox.start`. Whoever starts one ends it with `Sandbox.kill`, whatever happens.

    Args:
        process: bubblewrap, or the command itself where there is no sandbox.
        group: that all of it is in, where there are groups.
        room: where it runs.
        meter: of folders, shared by all of a run.
        limits: what it may use.
        confined: in a sandbox.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        group: ControlGroup | None,
        room: Room,
        *,
        meter: FolderMeter,
        limits: SandboxLimits,
        confined: bool,
    ) -> None:
        self.process, self.group, self.stopped = process, group, ""
        self._limits, self._confined = limits, confined
        places = room.workspace
        self._disk = DiskWatch(places.work, places.artefacts, room.exchange, meter=meter, limits=limits)
        self._handle = _handle(process.pid)
        self._ended = asyncio.create_task(_end_of(process, self._handle))
        self._watching = asyncio.create_task(self._watch())

    @property
    def status(self) -> int | None:
        """Of the shell's kind; None while it runs."""
        code = self.process.returncode
        return None if code is None else 128 - code if code < 0 else code

    @property
    def why(self) -> str:
        """Why it ended, where it was not by itself."""
        if self.stopped or self.group is None:
            return self.stopped
        return f"it used more than {self._limits.memory:,} bytes of memory" if self.group.out_of_memory else ""

    async def wait(self) -> int:
        """Its status, as soon as it has one: what it started may hold its output open much longer."""
        await asyncio.shield(self._ended)
        return self.status or 0

    def end(self, why: str) -> None:
        """Kill it for a reason; `kill` still has to be awaited."""
        self.stopped = self.stopped or why
        self._signal()

    async def kill(self) -> None:
        """End it and all that it started; returns when all of it is gone."""
        self._watching.cancel()
        self.stopped = self.why  # the group knows it, and is removed
        self._signal()
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                await self.wait()
                while self.group is not None and not self.group.remove():
                    self.group.kill()
                    await asyncio.sleep(0.005)
        if self._handle is not None and self._ended.done():
            os.close(self._handle)
            self._handle = None
        # Else its pipes stay open for as long as nobody reads them to their end; there is no public way.
        self.process._transport.close()  # pyright: ignore[reportAttributeAccessIssue]

    def _signal(self) -> None:
        """Killing bubblewrap ends its first process inside, and the kernel then all others there."""
        if not self._confined:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        if not self._ended.done():
            with suppress(ProcessLookupError):
                _kill(self.process.pid, self._handle)
        if self.group is not None:
            self.group.kill()

    async def _watch(self) -> None:
        while self.process.returncode is None:
            if why := await asyncio.to_thread(self._look):
                self.end(why)
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> str:
        """Why it must stop; "" when it may go on."""
        if self.group is None and self._confined and (why := too_many(self.process.pid, self._limits)):
            return why
        try:
            return self._disk.look()
        except OSError as error:
            return f"what it uses can no longer be measured: {error}"


def _handle(process: int) -> int | None:
    """A descriptor that stands for a process, and never for another with its number; None where there is no such."""
    try:
        return os.pidfd_open(process) if hasattr(os, "pidfd_open") else None
    except OSError:
        return None


def _kill(process: int, handle: int | None) -> None:
    """Not by asyncio, which may take the status of a process that just ended from under its own loop."""
    if handle is not None:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    else:
        os.kill(process, signal.SIGKILL)


async def _end_of(process: asyncio.subprocess.Process, handle: int | None) -> None:
    """Wait for the process alone. asyncio's own wait is for its output, too, which nobody may be reading any more."""
    if handle is not None:
        await _readable(handle)
    pause = 0.001
    while process.returncode is None:  # the loop reaps it in its own time
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
