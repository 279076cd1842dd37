"""`Tape`: what is told to a client, kept as it comes, for one reader or several, now or later.

A call writes; whoever asks for it reads from the beginning: the client that asked, and the same client that asks again
because its connection broke.

Report: none.
"""

import asyncio
from collections.abc import AsyncIterator

from manyeyes.inference.serve_errors import ApiError


class Tape:
    """Belongs to one event loop.

    Attributes:
        error: why there is no answer; set before anything is told.
        ended: nothing more will come.
        size: bytes.
    """

    def __init__(self) -> None:
        self.error: ApiError | None = None
        self.ended = False
        self.size = 0
        self._pieces: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def begun(self) -> bool:
        """Whether something was told."""
        return bool(self._pieces)

    @property
    def content(self) -> bytes:
        """All that was told."""
        return b"".join(self._pieces)

    def write(self, piece: bytes) -> None:
        """Something comes."""
        if piece:
            self._pieces.append(piece)
            self.size += len(piece)
            self._wake()

    def end(self, error: ApiError | None = None) -> None:
        """Nothing more will come."""
        self.error, self.ended = error, True
        self._wake()

    async def finished(self) -> None:
        """Wait for the end."""
        while not self.ended:
            await self._news()

    async def read(self, patience: float) -> AsyncIterator[bytes]:
        """Pieces, several at once where they are there; an empty one when none came for so many seconds."""
        at = 0
        while True:
            if at < len(self._pieces):
                fresh, at = self._pieces[at:], len(self._pieces)
                yield fresh[0] if len(fresh) == 1 else b"".join(fresh)
            elif self.ended:
                return
            else:
                try:
                    async with asyncio.timeout(patience):
                        await self._news()
                except TimeoutError:
                    yield b""

    async def _news(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
