"""`Wire`: one connection of the kernel's message queue (ZMTP 3.0 over a Unix socket), read with a bound on everything.

    greeting, READY                 once, both ways; no authentication: messages are signed one layer up
    frame = flags, size, bytes      flags: 1 more frames follow, 2 the size has eight bytes, 4 a command
    message = its frames            at most `LARGEST_MESSAGE` bytes in `MOST_FRAMES`, `MOST_WAITING` of them unread

The usual library bounds each frame, but keeps the frames of an unfinished message without end: code that writes to its
kernel's connection itself could fill our memory with them.

Source: ZeroMQ RFC 23 (ZMTP 3.0). Report: App. D (tools: stateful IPython).
"""

import asyncio
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LARGEST_MESSAGE = 16 * 2**20
MOST_FRAMES = 64
MOST_WAITING = 20
"""Messages; then nothing is read until somebody takes one."""
MORE, LONG, COMMAND = 1, 2, 4
SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
GREETING = SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
SUBSCRIBE_TO_ALL = b"\x01"


class WireBroken(Exception):
    """The connection ended, or what came over it is not the protocol, or too much; never leaves the tool."""


class Wire:
    """A connection; make one with `open`.

    Args:
        reader, writer: of a connection that was greeted.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: asyncio.Queue[list[bytes] | None] = asyncio.Queue(MOST_WAITING)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, path: Path, kind: str, *, identity: bytes = b"") -> "Wire":
        """Connect to the socket at a path, which is no link.

        Args:
            kind: "DEALER", or "SUB", which subscribes to everything.
            identity: under which a router answers.

        Raises:
            WireBroken: nobody there speaks the protocol.
        """
        try:
            reader, writer = await _connected(path)
        except OSError as error:
            raise WireBroken(str(error)) from None
        try:
            writer.write(GREETING + _frame(_ready(kind, identity), COMMAND))
            greeting = await reader.readexactly(len(GREETING))
            if (greeting[0], greeting[9] & 1, greeting[10] >= 3) != (0xFF, 1, True):
                raise WireBroken("it does not speak ZMTP 3")
            flags, ready = await _read_frame(reader, LARGEST_MESSAGE)
            if not flags & COMMAND or not ready.startswith(b"\x05READY"):
                raise WireBroken("it is not ready")
        except BaseException as error:
            writer.transport.abort()
            if isinstance(error, OSError | EOFError):
                raise WireBroken("it hung up") from None
            raise
        if kind == "SUB":
            writer.write(_frame(SUBSCRIBE_TO_ALL))
        return cls(reader, writer)

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send a message. Raises WireBroken."""
        last = len(frames) - 1
        try:
            self._writer.write(b"".join(_frame(frame, MORE * (place < last)) for place, frame in enumerate(frames)))
            await self._writer.drain()
        except OSError as error:
            raise WireBroken(str(error)) from None

    async def receive(self) -> list[bytes]:
        """The next message; may be cancelled. Raises WireBroken after the last one."""
        message = await self._waiting.get()
        if message is None:
            self._waiting.put_nowait(None)  # for whoever asks next
            raise WireBroken("the connection ended")
        return message

    def close(self) -> None:
        """Cut it."""
        self._reading.cancel()
        self._writer.transport.abort()

    async def _read(self) -> None:
        try:
            with suppress(OSError, EOFError, WireBroken):
                while True:
                    await self._waiting.put(await self._message())
        finally:
            self._writer.transport.abort()
        await self._waiting.put(None)

    async def _message(self) -> list[bytes]:
        frames: list[bytes] = []
        left = LARGEST_MESSAGE
        while True:
            flags, content = await _read_frame(self._reader, left)
            if flags & COMMAND:
                continue
            frames.append(content)
            left -= len(content)
            if not flags & MORE:
                return frames
            if len(frames) == MOST_FRAMES:
                raise WireBroken(f"a message of more than {MOST_FRAMES} frames")


async def _connected(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """By a handle of the socket itself where there are such: code that exchanges it for a link is not followed."""
    if not hasattr(os, "O_PATH"):
        return await asyncio.open_unix_connection(path)
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise WireBroken(f"{path.name} is no socket")
        return await asyncio.open_unix_connection(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


async def _read_frame(reader: asyncio.StreamReader, most: int) -> tuple[int, bytes]:
    flags = (await reader.readexactly(1))[0]
    size = int.from_bytes(await reader.readexactly(8 if flags & LONG else 1))
    if size > most:
        raise WireBroken(f"a message of more than {LARGEST_MESSAGE:,} bytes")
    return flags, await reader.readexactly(size)


def _frame(content: bytes, flags: int = 0) -> bytes:
    """A frame as it is sent.

    Example:
        >>> _frame(b"ab", MORE)
        b'\\x01\\x02ab'
    """
    if len(content) < 256:
        return bytes((flags, len(content))) + content
    return bytes((flags | LONG,)) + len(content).to_bytes(8) + content


def _ready(kind: str, identity: bytes) -> bytes:
    told = {b"Socket-Type": kind.encode(), **({b"Identity": identity} if identity else {})}
    pairs = [bytes((len(name),)) + name + len(value).to_bytes(4) + value for name, value in told.items()]
    return b"\x05READY" + b"".join(pairs)
