"""`LastWords`: reads all that a warm process or a kernel prints, and keeps the last of it, for when it does not start.

Report: App. D (tools: stateful IPython).
"""

import asyncio
from collections import deque

from manyeyes.agent.sandbox_process import Running

PIECES = 20
"""That are kept, of up to 4 KiB each."""


class LastWords:
    """Listens from its making on, so that a full pipe never holds the process up; `stop` ends that.

    Args:
        running: whose output nobody else reads.
    """

    def __init__(self, running: Running) -> None:
        self._said: deque[bytes] = deque(maxlen=PIECES)
        self._listening = asyncio.create_task(self._listen(running))

    @property
    def line(self) -> str:
        """The last line."""
        lines = b"".join(self._said).decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """Listen no more."""
        self._listening.cancel()

    async def _listen(self, running: Running) -> None:
        stream = running.process.stdout
        assert stream is not None, "every command is started with a pipe"
        while piece := await stream.read(4096):
            self._said.append(piece)
