"""`Child`: the Python of one agent, as the host knows it: code goes in, what it showed comes out, and it can be ended.

What comes from a child was written by the code that runs in it. It is read with a bound on everything, and believed to
be what an agent sees; nothing more follows from it.

Report: App. D (tools: stateful IPython).
"""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

import msgspec

from manyeyes.agent.tools.ipython_shown import Executed, Shown

INTERRUPT_SECONDS = 1.0
"""That code has to stop after an interrupt before its child is killed."""
LARGEST_REPLY = 32 * 2**20
"""Bytes; pictures of 4 MiB and 1 MiB of text in JSON are less."""
CLOSED = "it closed its connection, or wrote to it itself"


class ChildDied(Exception):
    """Nothing can be said to it any more; never leaves the tool."""


class Reply(msgspec.Struct):
    """What a child says of some code; see `forked_python_cell.Cells.run`."""

    status: Literal["ok", "error", "too_much"]
    shown: list[tuple[Literal["text", "png", "jpeg"], str]] = []
    count: int = 0


class Child:
    """The child of one agent; made by `WarmPython.fork`.

    Args:
        reader, writer: of its socket.
        order: tells the warm process to "interrupt" or "end" it.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, order: Callable[[str], Awaitable[None]]
    ) -> None:
        self._reader, self._writer, self._order = reader, writer, order
        self._size: int | None = None
        self._status: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return self._status.done()

    def set_ended(self, status: int, why: str = "") -> None:
        """The warm process has reaped it, or is gone itself."""
        if not self._status.done():
            self._status.set_result((status, why))

    async def begin(self, files: Mapping[str, bytes], preamble: str, *, seconds: float, most: int) -> str:
        """Give it what its agent has from the start; why that failed, "" when it did not. Raises ChildDied."""
        coded = {name: base64.b64encode(content).decode() for name, content in files.items()}
        done = await self._asked({"files": coded, "preamble": preamble, "most": most}, seconds)
        said = "".join(one.text for one in done.shown).strip()
        return "" if done.status == "ok" else f"{done.status}: {said}"

    async def execute(self, code: str, *, seconds: float, most: int) -> Executed:
        """Run code to its end, or to that of its time or its output.

        Args:
            seconds: then it is interrupted, and killed if it goes on.
            most: characters that it may show.
        """
        try:
            return await self._asked({"code": code, "most": most}, seconds)
        except ChildDied as died:
            return Executed(status="died", why=str(died))

    async def end(self, *, seconds: float) -> bool:
        """End it; whether it is gone. It may be called again."""
        self._writer.transport.abort()
        if not self.ended:
            await self._order("end")
            await asyncio.wait((self._status,), timeout=seconds)
        return self.ended

    async def _asked(self, request: Mapping[str, Any], seconds: float) -> Executed:
        try:
            async with asyncio.timeout(seconds):
                await self._send(request)
                return await self._reply()
        except TimeoutError:
            await self._order("interrupt")
        try:
            async with asyncio.timeout(INTERRUPT_SECONDS):
                done = await self._reply()
        except TimeoutError:
            raise ChildDied("it did not stop when it was interrupted") from None
        done.status = "timeout"
        return done

    async def _send(self, request: Mapping[str, Any]) -> None:
        content = json.dumps(request).encode()
        try:
            self._writer.write(len(content).to_bytes(4) + content)
            await self._writer.drain()
        except OSError:
            raise ChildDied(await self._cause()) from None

    async def _reply(self) -> Executed:
        """The next one; when it is cancelled, the same one can be waited for again."""
        try:
            if self._size is None:
                self._size = int.from_bytes(await self._reader.readexactly(4))
            if self._size > LARGEST_REPLY:
                raise ChildDied(CLOSED)
            content = await self._reader.readexactly(self._size)
            self._size = None
            return _executed(msgspec.json.decode(content, type=Reply))
        except (OSError, EOFError):
            raise ChildDied(await self._cause()) from None
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise ChildDied(CLOSED) from None

    async def _cause(self) -> str:
        """Why its connection ended: because its process did, as a rule."""
        await asyncio.wait((self._status,), timeout=INTERRUPT_SECONDS)
        if not self.ended:
            return CLOSED
        status, why = self._status.result()
        return why or _meaning(status)


def _executed(reply: Reply) -> Executed:
    done = Executed(status=reply.status, count=reply.count)
    for kind, content in reply.shown:
        if kind == "text":
            done.shown.append(Shown("text", content))
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
