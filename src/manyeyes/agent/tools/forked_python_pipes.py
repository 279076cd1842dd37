"""`ChildPipes`: the two pipes through which the host and one child speak, made by the host.

    host  ── requests ──▶  3  child            host  ◀── answers ──  4  child

Not a socket: one that is made here belongs to the network of the host, and whoever holds an end may ask it about that
(`ioctl`), name it there (`bind`), and learn who made it (`getsockopt`). A pipe knows nothing but bytes.

Report: App. D (tools: stateful IPython).
"""

import asyncio
import os
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO


@dataclass(slots=True, eq=False)
class ChildPipes:
    """See the module; make them with `open_pipes`, end them with `close`.

    Attributes:
        reader, writer: our ends: of answers and of requests.
        theirs: the child's ends: to read and to write.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    theirs: tuple[FileIO, FileIO]
    _answers: asyncio.BaseTransport

    def let_go(self) -> None:
        """Close the child's ends here: only when nobody but the child holds them is its end seen."""
        for end in self.theirs:
            end.close()

    def close(self) -> None:
        """Close all; what was not sent is dropped. It may be called again."""
        self.let_go()
        self._answers.close()
        if not self.writer.transport.is_closing():
            self.writer.transport.abort()


async def open_pipes() -> ChildPipes:
    """Two pipes. Raises OSError."""
    with ExitStack() as made:
        asked, requests = _pipe(made)
        answers, said = _pipe(made)
        reader, transport = await _read_from(answers)
        made.callback(transport.close)
        pipes = ChildPipes(reader, await _write_to(requests), (asked, said), transport)
        made.pop_all()
    return pipes


def _pipe(made: ExitStack) -> tuple[FileIO, FileIO]:
    read, write = os.pipe()
    return made.enter_context(FileIO(read, "r")), made.enter_context(FileIO(write, "w"))


async def _read_from(end: FileIO) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, end)
    return reader, transport


async def _write_to(end: FileIO) -> asyncio.StreamWriter:
    """The protocol is there for its flow control alone: nothing is ever read."""
    loop, protocol = asyncio.get_running_loop(), asyncio.StreamReaderProtocol(asyncio.StreamReader())
    transport, _ = await loop.connect_write_pipe(lambda: protocol, end)
    return asyncio.StreamWriter(transport, protocol, None, loop)
