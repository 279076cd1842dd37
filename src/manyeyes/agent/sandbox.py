"""`Sandbox`: where code runs that a model wrote. Made once for a run; every command gets a room of its own.

    bubblewrap       namespaces: no network, no other process, nothing of the disk but what is shown; no capabilities
    control groups   memory and processes of a command together, where we may make groups
    process limits   memory (where there are no groups), processor time, file size, open files
    Landlock         the same paths once more, by another part of the kernel; seccomp: calls that attacks begin with
    watch            wall time, output, and how much the folders hold, while it runs

A command ends whole: with its first process all others end, with us (even killed) it ends, too. What does not work here
is refused with what to do about it; without a sandbox nothing runs unless the user said so (`unsafe`).

Report: App. D (tools run in a sandbox); the means are an open choice here.

    ManyeyesError
    └── SandboxUnavailable    no code can be run here
        └── PathTooLong       only because of where temporary files are put
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from manyeyes.agent import sandbox_entry
from manyeyes.agent.sandbox_bwrap import (
    ENTRY,
    EXCHANGE,
    Layers,
    base_environment,
    bwrap_line,
    entry_line,
)
from manyeyes.agent.sandbox_cgroup import ControlGroup, ControlGroups
from manyeyes.agent.sandbox_disk import FolderMeter
from manyeyes.agent.sandbox_exchange import ExchangeFolders, remove_tree
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_process import Ran, Room, Running
from manyeyes.agent.sandbox_python import InsidePython, this_python
from manyeyes.core.errors import ManyeyesError

JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'
"""Joins control groups, then becomes the command: no Python between fork and exec, where threads may hold locks."""
LONGEST_SOCKET = 107
"""Bytes in the path of a socket."""
FLUSH_SECONDS = 1.0
"""Within which the last output follows the end of a command."""
MOST_THREADS = 4
"""Of a numerical library, in each process."""
UNSAFE = (
    "WARNING: no sandbox. Code that models write runs as you, with your files and your network. "
    "Only limits of processes hold it."
)


class SandboxUnavailable(ManyeyesError):
    """No code can be run here; the message says what to do."""


class PathTooLong(SandboxUnavailable):
    """Folders for temporary files have names that are too long for sockets: what the problem is, and what mends it."""

    def __init__(self, folder: Path) -> None:
        self.problem = f"{folder} is too long a path for sockets"
        self.fix = "set TMPDIR to a shorter folder, such as /tmp"
        super().__init__(f"{self.problem}; {self.fix}")


class Sandbox:
    """Runs commands. Open one with `manyeyes.agent.sandbox_probe.open_sandbox`, which tries first what works here.

    Args:
        layers: what it is made of; without bubblewrap it holds nothing (see `UNSAFE`).
        groups: makes control groups.
        limits: of every command that brings none.
        at_once: commands under way (`run`); others wait.
    """

    def __init__(
        self,
        layers: Layers,
        *,
        groups: ControlGroups | None = None,
        limits: SandboxLimits | None = None,
        at_once: int = 32,
    ) -> None:
        self.layers, self.limits = layers, limits or SandboxLimits()
        self._exchange = ExchangeFolders()
        self._groups = groups
        self._slots = asyncio.Semaphore(at_once)
        self._running: set[Running] = set()
        self._meter = FolderMeter()
        self.python = this_python(self._exchange.path / "pyvenv.cfg") if self.confines else InsidePython(sys.executable)

    @property
    def confines(self) -> bool:
        """False for one that holds nothing."""
        return self.layers.bwrap is not None

    @property
    def folder(self) -> Path:
        """Of its exchange folders; gone when it is closed."""
        return self._exchange.path

    @property
    def shell(self) -> str:
        """The shell inside."""
        return next((path for path in ("/bin/bash", "/usr/bin/bash") if Path(path).exists()), "/bin/sh")

    def exchange(self) -> Path:
        """A new folder through which a tool and its code hand over files; short enough for sockets."""
        folder = self._exchange.make()
        if len(os.fsencode(folder)) + 16 > LONGEST_SOCKET:
            raise PathTooLong(folder)
        return folder

    async def discard(self, exchange: Path) -> None:
        """Remove such a folder and what code left in it."""
        await asyncio.to_thread(remove_tree, exchange)

    def inside(self, exchange: Path) -> str:
        """How code names such a folder."""
        return EXCHANGE if self.confines else str(exchange)

    def environment(self, room: Room) -> dict[str, str]:
        """All variables of a command there; none of ours."""
        base = base_environment(self.python, threads=min(MOST_THREADS, os.cpu_count() or 1))
        if not self.confines:
            places = room.workspace
            base |= {"HOME": str(places.work), "INPUTS": str(places.inputs), "ARTEFACTS": str(places.artefacts)}
        return base | dict(room.env)

    async def start(self, command: Sequence[str], room: Room, *, limits: SandboxLimits | None = None) -> Running:
        """Start a command; its output (errors included) is `running.process.stdout`. End it with `kill`.

        Raises:
            SandboxUnavailable: it could not even be started.
        """
        limits = limits or self.limits
        starting = asyncio.ensure_future(self._start(command, room, limits))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # it may have been started already: end it, then stop
            await asyncio.wait((starting,))
            if starting.exception() is None:
                await self.kill(starting.result())
            raise

    async def run(
        self, command: Sequence[str], room: Room, *, seconds: float | None = None, limits: SandboxLimits | None = None
    ) -> Ran:
        """Run a command to its end, or to that of its time or its output. Cancelled, it is gone before this returns.

        Raises:
            SandboxUnavailable: it could not even be started.
        """
        limits = limits or self.limits
        seconds = limits.seconds if seconds is None else seconds
        async with self._slots:
            running = await self.start(command, room, limits=limits)
            output, timed_out = bytearray(), False
            try:
                async with asyncio.timeout(seconds):
                    await _collect(running, output, limits.output_bytes)
            except TimeoutError:
                timed_out = True
                running.end(f"it took longer than {seconds:g} s")
            finally:
                await self.kill(running)
        return Ran(running.status or 0, bytes(output), running.why, timed_out)

    async def kill(self, running: Running) -> None:
        """End a command and all that it started; returns when it is gone."""
        try:
            await asyncio.shield(asyncio.ensure_future(running.kill()))
        finally:
            self._running.discard(running)

    async def close(self) -> None:
        """End everything and leave nothing behind."""
        await asyncio.gather(*(self.kill(running) for running in tuple(self._running)), return_exceptions=True)
        if self._groups is not None:
            await asyncio.to_thread(self._groups.close)
        await asyncio.to_thread(self._exchange.close)

    async def _start(self, command: Sequence[str], room: Room, limits: SandboxLimits) -> Running:
        group = None
        try:
            group = None if self._groups is None else self._groups.make(limits)
            process = await self._spawn(self._line(command, room, limits), room, group)
        except OSError as error:
            if group is not None:
                group.remove()
            raise SandboxUnavailable(f"the sandbox could not be started: {error}; see `manyeyes doctor`") from None
        running = Running(process, group, room, meter=self._meter, limits=limits, confined=self.confines)
        self._running.add(running)
        return running

    async def _spawn(self, line: list[str], room: Room, group: ControlGroup | None) -> asyncio.subprocess.Process:
        """From the thread of the loop: bubblewrap ends with the thread that started it.

        Nothing is ever written to its input: that it is still open tells the entry program that we are alive.
        """
        entrances = [] if group is None else group.entrances
        return await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", JOIN, "sh", *entrances, "--", *line,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin"} if self.confines else self.environment(room),
            cwd="/" if self.confines else room.workspace.work, start_new_session=True,
        )  # fmt: skip

    def _line(self, command: Sequence[str], room: Room, limits: SandboxLimits) -> list[str]:
        if self.layers.bwrap is None:
            return [*entry_line(sys.executable, sandbox_entry.__file__, self.layers, limits, self.python), *command]
        outer = bwrap_line(
            self.layers.bwrap, self.python, room.workspace, room.exchange,
            limits=limits, env=self.environment(room), cwd=room.cwd,
        )  # fmt: skip
        return [*outer, *entry_line(self.python.command, ENTRY, self.layers, limits, self.python), *command]


async def _collect(running: Running, output: bytearray, most: int) -> None:
    """Read until the end of the output, or of the command: what it left behind may hold the output open."""
    reading = asyncio.ensure_future(_read(running, output, most))
    try:
        await running.wait()
        await asyncio.wait((reading,), timeout=FLUSH_SECONDS)
    finally:
        reading.cancel()


async def _read(running: Running, output: bytearray, most: int) -> None:
    """Read to the end; what is more than is wanted ends the command and is dropped."""
    stream = running.process.stdout
    assert stream is not None, "every command is started with a pipe"
    while piece := await stream.read(65_536):
        room = most - len(output)
        output += piece[:room]
        if len(piece) > room:
            running.end(f"it printed more than {most:,} bytes")
