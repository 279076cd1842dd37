"""`WarmPython`: the warm process as the host knows it: started in its sandbox, asked for children, ended.

Report: App. D (tools: stateful IPython).
"""

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from manyeyes.agent import sandbox_entry
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_process import Room, Running
from manyeyes.agent.tools import forked_python_cell, forked_python_confined, forked_python_warm
from manyeyes.agent.tools.forked_python_child import Child
from manyeyes.agent.tools.forked_python_pipes import ChildPipes, open_pipes
from manyeyes.agent.tools.forked_python_sandbox import NestingSandbox
from manyeyes.agent.tools.last_words import LastWords
from manyeyes.agent.workspace import Workspace

CONTROL = "control"
READY_SECONDS = 60.0
"""From start to the first word; a busy machine takes long to import scipy."""
FLUSH_SECONDS = 1.0
"""Within which the end of the process follows that of its connection."""
ORDER_SECONDS = 20.0
"""Within which it takes a request; one that does not is of no use to anybody, and is ended."""
SILENT = "it took no requests any more"
INSIDE = (sandbox_entry, forked_python_cell, forked_python_confined, forked_python_warm)
"""All of this program that is inside."""
LAUNCH = (
    "import sys; sys.path.insert(0, {folder!r}); from manyeyes.agent.tools.forked_python_warm import main; "
    "sys.path.pop(0); main()"
)
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
"""A child cannot start threads; sets print in one order, whichever warm process it came from."""


class WarmPython:
    """A warm process; make one with `start`, end it with `kill`."""

    def __init__(self, sandbox: NestingSandbox, room: Room, running: Running) -> None:
        self._sandbox, self._room, self._running = sandbox, room, running
        self._children: dict[int, Child] = {}
        self._made = 0
        self._control: socket.socket | None = None
        self._last_words = LastWords(running)
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, sandbox: NestingSandbox, *, modules: Mapping[str, str], warm_up: str, child: SandboxLimits,
        limits: SandboxLimits,
    ) -> "WarmPython":  # fmt: skip
        """A warm process that is ready.

        Args:
            modules, warm_up: see `forked_python_warm.main`.
            child: of each child.
            limits: of all together.

        Raises:
            SandboxUnavailable: it did not start; the message has its last words.
        """
        room = Room(Workspace.of(sandbox.folder / "warm", "warm"), sandbox.exchange(), env=ENVIRONMENT)
        inside = sandbox.inside(room.exchange)
        _lay_out(room.exchange)
        told = {"control": f"{inside}/{CONTROL}", "modules": dict(modules), "warm_up": warm_up,
                "child": sandbox.child(child), "size": child.tmp_bytes}  # fmt: skip
        command = [sandbox.python.command, "-s", "-c", LAUNCH.format(folder=inside), json.dumps(told)]
        with _door(room.exchange / CONTROL) as door:
            warm = cls(sandbox, room, await sandbox.start(command, room, limits=limits))
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await warm._connect(door)
            except (TimeoutError, OSError):
                why = warm.why or warm._last_words.line
                await warm.kill()
                raise SandboxUnavailable(f"the warm Python did not start: {why}; see `manyeyes doctor`") from None
            except BaseException:
                await warm.kill()
                raise
        return warm

    @property
    def alive(self) -> bool:
        """Whether it can be asked for children: it runs, and nobody has ended it."""
        runs = self._running.status is None and not self._running.stopped
        return runs and self._listening is not None and not self._listening.done()

    @property
    def why(self) -> str:
        """Why it ended, where it was not by itself."""
        return self._running.why

    async def fork(self) -> Child:
        """A new child. Raises SandboxUnavailable when this process is gone."""
        try:
            pipes = await open_pipes()
        except OSError as error:
            raise SandboxUnavailable(f"no pipes for a child of the warm Python: {error}") from None
        try:
            return await self._forked(pipes)
        except BaseException as error:
            pipes.close()
            if isinstance(error, OSError):
                raise SandboxUnavailable(f"the warm Python is gone: {self.why or error}") from None
            raise

    async def _forked(self, pipes: ChildPipes) -> Child:
        """Known before it is asked for: it may end at once, and its end is told once. Raises OSError."""
        self._made += 1
        number = self._made
        child = self._children[number] = Child(pipes, partial(self._order, number))
        try:
            await self._tell("open", number, [end.fileno() for end in pipes.theirs])
        except BaseException:
            self._children.pop(number, None)
            raise
        pipes.let_go()
        return child

    def end(self, why: str) -> None:
        """Kill it for a reason; `kill` still has to be awaited."""
        self._running.end(why)

    async def kill(self) -> None:
        """End it and all children."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait((self._listening,))
        await self._sandbox.kill(self._running)
        self._last_words.stop()
        if self._control is not None:
            self._control.close()
        await self._sandbox.discard(self._room.exchange)
        self._all_ended()

    async def _connect(self, door: socket.socket) -> None:
        """Wait for its connection and its first word. Raises OSError."""
        loop = asyncio.get_running_loop()
        accepting = asyncio.ensure_future(loop.sock_accept(door))
        ending = asyncio.ensure_future(self._running.wait())
        try:
            await asyncio.wait((accepting, ending), return_when=asyncio.FIRST_COMPLETED)
            if not accepting.done():
                raise OSError("it ended at once")
            self._control = accepting.result()[0]
        finally:
            accepting.cancel()
            ending.cancel()
        if not await loop.sock_recv(self._control, 4096):
            raise OSError("it ended before it was ready")
        self._listening = asyncio.create_task(self._listen(self._control))

    async def _listen(self, control: socket.socket) -> None:
        """Hear which children have ended, until the process itself has."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while said := await loop.sock_recv(control, 4096):
                told = json.loads(said)
                if (child := self._children.pop(told["ended"], None)) is not None:
                    child.set_ended(told["status"], told.get("why", ""))
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._running.wait()
        self._all_ended()

    def _all_ended(self) -> None:
        children, self._children = self._children, {}
        for child in children.values():
            child.set_ended(forked_python_warm.REFUSED, f"the warm Python ended: {self.why or 'killed'}")

    async def _order(self, number: int, what: str) -> None:
        with suppress(OSError):  # it is gone, and its children with it
            await self._tell(what, number)

    async def _tell(self, what: str, number: int, descriptors: Sequence[int] = ()) -> None:
        if self._control is None:
            raise OSError("it is not connected")
        message = json.dumps({what: number}).encode()
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                while not _sent(self._control, message, descriptors):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            self.end(SILENT)
            raise OSError(SILENT) from None


def _sent(control: socket.socket, message: bytes, descriptors: Sequence[int]) -> bool:
    """Send a request; False while there are hundreds that were not read yet."""
    try:
        socket.send_fds(control, [message], descriptors)
    except BlockingIOError:
        return False
    return True


def _door(path: Path) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind(str(path))
    door.listen(1)
    door.setblocking(False)
    return door


def _lay_out(exchange: Path) -> None:
    """Put the files of this program there that run inside, under their own names."""
    for module in INSIDE:
        assert module.__file__ is not None, "modules of this package are files"
        place = exchange / (module.__name__.replace(".", "/") + ".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(Path(module.__file__).read_bytes())
