"""`Child`: the Python of one agent, as the host knows it: code goes in, what it showed comes out, and it can be ended.

What comes from a child was written by the code that runs in it. It is read with a bound on everything, and believed to
be what an agent sees; nothing more follows from it. A child that ends by itself is its agent's doing (`ChildDied`, a
result like others); one that could not live, or that its warm process took along, is nobody's (`PythonLost`).

    ManyeyesError
    └── AttemptFailed, SandboxUnavailable
        └── PythonLost    infrastructure failed: no verdict on an attempt

Report: App. D (tools: stateful IPython).
"""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from manyeyes.agent.rollouts.failures import AttemptFailed
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.tools.forked_python_pipes import ChildPipes
from manyeyes.agent.tools.ipython_shown import Executed, Shown

INTERRUPT_SECONDS = 1.0
"""That code has to stop after an interrupt before its child is killed."""
CAUSE_SECONDS = 2.0
"""Within which the end of its process follows that of its connection; longer than the warm process takes to be gone."""
LARGEST_REPLY = 8 * 2**20
"""Bytes; pictures of 4 MiB (`forked_python_cell.MOST_PICTURED`) and 65,536 characters in JSON are less."""
MOST_SHOWN = 64
"""Stretches of text and pictures of a reply: at most 8 pictures stand between texts."""
MOST_CALLS = 10**6
IN_THREAD = 2**16
"""Bytes of a reply from which on it is decoded beside the event loop."""
CLOSED = "it closed its connection, or wrote to it itself"


class ChildDied(Exception):
    """It ended, or broke its connection, by what its code did; never leaves this module."""


class PythonLost(AttemptFailed, SandboxUnavailable):
    """See the module. Synthesis has no verdict then, and training counts it and makes the attempt again."""

    def __init__(self, why: str) -> None:
        super().__init__("sandbox", why)


class Reply(msgspec.Struct):
    """What a child says of some code, and of which; see `forked_python_cell.Cells.run`."""

    call: int
    status: Literal["ok", "error", "interrupted", "too_much"]
    shown: Annotated[list[tuple[Literal["text", "png", "jpeg"], str]], Meta(max_length=MOST_SHOWN)] = []
    count: Annotated[int, Meta(ge=0, le=MOST_CALLS)] = 0


class Child:
    """The child of one agent; made by `WarmPython.fork`.

    Args:
        pipes: to it and from it; it closes them at its end.
        order: tells the warm process to "interrupt" or "end" it.
    """

    def __init__(self, pipes: ChildPipes, order: Callable[[str], Awaitable[None]]) -> None:
        self._pipes, self._order = pipes, order
        self._calls = 0
        self._size: int | None = None
        self._status: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return self._status.done()

    def set_ended(self, status: int, why: str = "") -> None:
        """The warm process has reaped it; or could not make it or is gone itself, and `why` says so."""
        if not self._status.done():
            self._status.set_result((status, why))

    async def begin(self, files: Mapping[str, bytes], preamble: str, *, seconds: float, most: int) -> None:
        """Give it what its agent has from the start, before any code of its own.

        Raises:
            PythonLost: it could not be made ready.
        """
        coded = {name: base64.b64encode(content).decode() for name, content in files.items()}
        try:
            done = await self._asked({"files": coded, "preamble": preamble, "most": most}, seconds)
        except ChildDied as died:
            raise PythonLost(f"Python could not be prepared: {died}") from None
        if done.status != "ok":
            said = "".join(one.text for one in done.shown).strip()
            raise PythonLost(f"Python could not be prepared: {done.status}: {said}")

    async def execute(self, code: str, *, seconds: float, most: int) -> Executed:
        """Run code to its end, or to that of its time or its output.

        Args:
            seconds: then it is interrupted, and killed if it goes on.
            most: characters that it may show.

        Raises:
            PythonLost: its warm process ended.
        """
        try:
            return await self._asked({"code": code, "most": most}, seconds)
        except ChildDied as died:
            return Executed(status="died", why=str(died))

    async def end(self, *, seconds: float) -> bool:
        """End it; whether it is gone. It may be called again."""
        self._pipes.close()
        if not self.ended:
            await self._order("end")
            await asyncio.wait((self._status,), timeout=seconds)
        return self.ended

    async def _asked(self, told: Mapping[str, Any], seconds: float) -> Executed:
        """The answer to this very request: code that answers in its own name is one answer ahead from then on."""
        self._calls += 1
        request, late = {"call": self._calls, **told}, False
        try:
            async with asyncio.timeout(seconds):
                await self._send(request)
                said = await self._reply()
        except TimeoutError:
            late = True
            await self._order("interrupt")
            said = await self._last_reply()
        try:
            return await _read(said, request, late=late)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise ChildDied(CLOSED) from None

    async def _send(self, request: Mapping[str, Any]) -> None:
        content = json.dumps(request).encode()
        try:
            self._pipes.writer.write(len(content).to_bytes(4) + content)
            await self._pipes.writer.drain()
        except OSError:
            raise ChildDied(await self._cause()) from None

    async def _last_reply(self) -> bytes:
        try:
            async with asyncio.timeout(INTERRUPT_SECONDS):
                return await self._reply()
        except TimeoutError:
            raise ChildDied("it did not stop when it was interrupted") from None

    async def _reply(self) -> bytes:
        """The next one; when it is cancelled, the same one can be waited for again."""
        try:
            if self._size is None:
                self._size = int.from_bytes(await self._pipes.reader.readexactly(4))
            if self._size > LARGEST_REPLY:
                raise ChildDied(CLOSED)
            content = await self._pipes.reader.readexactly(self._size)
        except (OSError, EOFError):
            raise ChildDied(await self._cause()) from None
        self._size = None
        return content

    async def _cause(self) -> str:
        """Why its connection ended: because its process did, as a rule. Raises PythonLost."""
        await asyncio.wait((self._status,), timeout=CAUSE_SECONDS)
        if not self.ended:
            return CLOSED
        status, why = self._status.result()
        if why:
            raise PythonLost(why)
        return _meaning(status)


async def _read(said: bytes, request: Mapping[str, Any], *, late: bool) -> Executed:
    """Raises MsgspecError, ValueError, RecursionError for what is no reply to a request."""
    if len(said) > IN_THREAD:
        return await asyncio.to_thread(_executed, said, request, late=late)
    return _executed(said, request, late=late)


def _executed(said: bytes, request: Mapping[str, Any], *, late: bool) -> Executed:
    """What a reply says, no more text in all than it may be. One that was only heard late is what it is."""
    reply = msgspec.json.decode(said, type=Reply)
    if reply.call != request["call"]:
        raise ValueError("a reply to another request")
    status = reply.status if reply.status != "interrupted" else "timeout" if late else "error"
    done, most = Executed(status=status, count=reply.count), request["most"]
    for kind, content in reply.shown:
        if kind == "text":
            text = content[: most - done.printed]
            done.printed += len(text)
            done.shown.append(Shown("text", text))
        else:
            with suppress(ValueError):
                done.shown.append(Shown(kind, content=base64.b64decode(content, validate=True)))
    return done


def _meaning(status: int) -> str:
    if status == -signal.SIGKILL:
        return "it used more memory or processor time than it may"
    if status == os.EX_OK:
        return "it ended itself"
    if status < 0:
        with suppress(ValueError):
            return f"it ended by {signal.Signals(-status).name}"
    return f"its process ended with status {status}"
