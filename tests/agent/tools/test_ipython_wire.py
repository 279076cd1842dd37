"""`Wire` against a peer that speaks ZMTP by hand: messages both ways, and bounds on what a hostile one sends."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from manyeyes.agent.tools.ipython_wire import (
    GREETING,
    LARGEST_MESSAGE,
    MORE,
    MOST_FRAMES,
    MOST_WAITING,
    Wire,
    WireBroken,
    _frame,
    _ready,
)

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def met(folder: Path, peer: Peer, work: Callable[[Wire], Awaitable[None]], *, kind: str = "DEALER") -> None:
    """Run `work` on a wire to a peer that has greeted."""

    async def go() -> None:
        async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(GREETING + _frame(_ready("ROUTER", b""), 4))
                assert await reader.readexactly(len(GREETING)) == GREETING
                await peer(reader, writer)
            except (OSError, EOFError):
                pass
            finally:
                writer.close()

        async with await asyncio.start_unix_server(answered, folder / "k"), asyncio.timeout(60):
            wire = await Wire.open(folder / "k", kind, identity=b"me")
            try:
                await work(wire)
            finally:
                wire.close()

    asyncio.run(go())


def test_messages_go_both_ways_and_commands_are_passed_over(tmp_path: Path) -> None:
    sizes = (0, 1, 255, 256, 70_000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = _frame(_ready("DEALER", b"me"), 4)
        assert await reader.readexactly(len(ready)) == ready
        sent = b"".join(_frame(bytes(size), MORE if size != sizes[-1] else 0) for size in sizes)
        assert await reader.readexactly(len(sent)) == sent
        writer.write(_frame(b"\x04PING", 4) + sent)

    async def work(wire: Wire) -> None:
        await wire.send([bytes(size) for size in sizes])
        assert await wire.receive() == [bytes(size) for size in sizes]
        with pytest.raises(WireBroken):
            await wire.receive()

    met(tmp_path, echo, work)


@pytest.mark.parametrize(
    "piece",
    [
        _frame(bytes(2**20), MORE),
        _frame(b"", MORE),
        b"\x02" + struct.pack(">Q", LARGEST_MESSAGE + 1),
        b"\x02" + b"\xff" * 8,
    ],
)
def test_a_message_without_end_ends_the_connection(tmp_path: Path, piece: bytes) -> None:
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
            sent += len(piece)

    async def work(wire: Wire) -> None:
        with pytest.raises(WireBroken):
            await wire.receive()

    met(tmp_path, pour, work)
    assert sent < 4 * LARGEST_MESSAGE, MOST_FRAMES


def test_who_does_not_read_holds_few_messages(tmp_path: Path) -> None:
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(_frame(bytes(2**20)))
            await writer.drain()
            sent += 1

    async def work(wire: Wire) -> None:
        last = -1
        while sent != last:  # until it stands still
            last = sent
            for _ in range(200):
                await asyncio.sleep(0.001)
        assert MOST_WAITING <= sent <= MOST_WAITING + 10
        assert await wire.receive() == [bytes(2**20)]

    met(tmp_path, pour, work)


def test_what_is_no_socket_or_speaks_something_else_is_not_met(tmp_path: Path) -> None:
    async def go() -> None:
        async def web(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n" + bytes(100))

        async with await asyncio.start_unix_server(web, tmp_path / "web"), asyncio.timeout(60):
            (tmp_path / "link").symlink_to(tmp_path / "web")
            (tmp_path / "file").write_text("x")
            for name in ("web", "link", "file", "nothing"):
                with pytest.raises(WireBroken):
                    await Wire.open(tmp_path / name, "SUB")

    asyncio.run(go())
