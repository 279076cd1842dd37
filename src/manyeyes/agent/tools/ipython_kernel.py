"""`Kernel`: one ipykernel in a sandbox: started, given code, interrupted, ended.

Report: App. D (tools: stateful IPython).
"""

import asyncio
from contextlib import suppress
from typing import Any

from manyeyes.agent.sandbox import Sandbox, SandboxUnavailable
from manyeyes.agent.sandbox_limits import SandboxLimits
from manyeyes.agent.sandbox_process import Room, Running
from manyeyes.agent.tools.ipython_shown import Executed, take
from manyeyes.agent.tools.ipython_sockets import BROKE, PLAN, KernelDied, KernelSockets
from manyeyes.agent.tools.last_words import LastWords
from manyeyes.agent.workspace import Workspace
from manyeyes.core.errors import ConfigError

READY_SECONDS = 60.0
"""From start to the first reply; a busy machine takes long to import IPython."""
INTERRUPT_SECONDS = 5.0
"""That code has to stop after an interrupt before its kernel is killed."""
FLUSH_SECONDS = 1.0
"""Within which the last messages follow a reply."""
LAUNCH = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
)
"""Not with -m: until the kernel is up, modules in its folder, which an agent can write, must not be taken for its own.
IPython then adds the folder behind the standard library."""
OPTIONS = ("--HistoryManager.enabled=False", "--InteractiveShell.history_length=0")


def require_packages() -> None:
    """Raises ConfigError when what kernels need is not installed."""
    try:
        import ipykernel  # noqa: F401  # pyright: ignore[reportMissingImports]
        import jupyter_client  # noqa: F401  # pyright: ignore[reportMissingImports]
        import zmq  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        install = "install it with: pip install 'manyeyes[code]'"
        raise ConfigError(f"the tool ipython needs {error.name}; {install}") from None


class Kernel:
    """One kernel; make one with `Kernel.start`, end it with `kill`."""

    def __init__(self, sandbox: Sandbox, room: Room, running: Running, sockets: KernelSockets) -> None:
        self._sandbox, self._room, self._running, self._sockets = sandbox, room, running, sockets
        self._last_words = LastWords(running)

    @classmethod
    async def start(cls, sandbox: Sandbox, workspace: Workspace, *, limits: SandboxLimits) -> "Kernel":
        """A kernel that is ready.

        Raises:
            SandboxUnavailable: it did not start; the message has its last words.
        """
        room = Room(workspace, sandbox.exchange())
        inside = sandbox.inside(room.exchange)
        sockets = KernelSockets(room.exchange, inside)
        command = [sandbox.python.command, "-s", "-c", LAUNCH, "-f", f"{inside}/{PLAN}", *OPTIONS]
        kernel = cls(sandbox, room, await sandbox.start(command, room, limits=limits), sockets)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await sockets.connect(kernel._running)
        except (KernelDied, TimeoutError):
            why = kernel._running.why or kernel._last_words.line
            await kernel.kill()
            raise SandboxUnavailable(f"the Python kernel did not start: {why}; see `manyeyes doctor`") from None
        except BaseException:
            await kernel.kill()
            raise
        return kernel

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._running.status is None

    @property
    def why(self) -> str:
        """Why its process ended; "" while it has not."""
        if self.alive:
            return ""
        return self._running.why or f"its process ended with status {self._running.status}"

    async def kill(self) -> None:
        """End it, and all that it started."""
        self._last_words.stop()
        self._sockets.close()
        await self._sandbox.kill(self._running)
        await self._sandbox.discard(self._room.exchange)

    async def execute(self, code: str, *, seconds: float, most: int) -> Executed:
        """Run code to its end, or to that of its time or its output.

        Args:
            seconds: then it is interrupted, and killed if it goes on.
            most: characters that it may show.
        """
        done = Executed()
        wanted: dict[str, Any] = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        try:
            number = await self._sockets.send(
                "shell", "execute_request", wanted | {"allow_stdin": False, "stop_on_error": True}
            )
            working = asyncio.ensure_future(self._follow(number, done, most))
            try:
                await self._in_time(working, done, seconds)
            finally:
                working.cancel()
                await asyncio.wait((working,))
        except KernelDied as died:
            done.status, done.why = "died", await self._cause(died)
        return done

    async def _in_time(self, working: "asyncio.Future[bool]", done: Executed, seconds: float) -> None:
        """Wait for the end of the code; make an end of it where it takes too long or shows too much."""
        await asyncio.wait((working,), timeout=seconds)
        if working.done() and working.result():
            return
        done.status = "too_much" if working.done() else "timeout"
        working.cancel()
        if not await self._interrupt():
            self._running.end("it did not stop when it was interrupted")
            raise KernelDied("")

    async def _interrupt(self) -> bool:
        """Stop what runs; whether it has stopped."""
        await self._sockets.send("control", "interrupt_request", {})
        try:
            async with asyncio.timeout(INTERRUPT_SECONDS):
                await self._sockets.ping(self._running)
        except TimeoutError:
            return False
        return True

    async def _follow(self, number: str, done: Executed, most: int) -> bool:
        """Collect what is shown, to the end; False when it is too much."""
        reply = asyncio.ensure_future(self._reply(number, done))
        try:
            while not self._is_over(said := await self._next(reply), number):
                if said["parent_header"].get("msg_id") == number and not take(said, done, most=most):
                    return False
            await reply
            return True
        finally:
            reply.cancel()

    async def _next(self, reply: "asyncio.Future[None]") -> dict[str, Any]:
        """The next thing shown. After the reply it comes soon, or the kernel's code has broken the connection."""
        message = asyncio.ensure_future(self._sockets.receive("iopub", self._running))
        try:
            await asyncio.wait((message, reply), return_when=asyncio.FIRST_COMPLETED)
            if not message.done():
                await asyncio.wait((message,), timeout=FLUSH_SECONDS)
            if not message.done():
                reply.result()
                raise KernelDied(BROKE)
            return message.result()
        finally:
            message.cancel()

    def _is_over(self, said: dict[str, Any], number: str) -> bool:
        mine = said["parent_header"].get("msg_id") == number
        return mine and said["msg_type"] == "status" and said["content"].get("execution_state") == "idle"

    async def _reply(self, number: str, done: Executed) -> None:
        content = (await self._sockets.reply(number, self._running))["content"]
        count = content.get("execution_count")
        done.count = count if isinstance(count, int) else 0
        if content.get("status") != "ok":
            done.status = "error"

    async def _cause(self, died: KernelDied) -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._running.wait()
        return self.why or str(died)
