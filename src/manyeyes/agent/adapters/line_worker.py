"""`LineWorkers`: a few processes of one program that answers lines of JSON; one that hangs or dies is replaced.

    reply = await workers.ask({"do": "score", ...})         over in `seconds`, whatever the program does

A process runs with a few plain variables and none of ours, ends with its standard input (so with us, even killed), and
is made by whoever first needs it.

Report: App. D (judges as plug-ins; every wait has a deadline).

    ManyeyesError
    └── WorkerFailed    a program that gave no answer
"""

import asyncio
import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from manyeyes.core.errors import ManyeyesError

LONGEST_LINE = 16 * 2**20
GONE_SECONDS = 5.0


class WorkerFailed(ManyeyesError):
    """There is no answer.

    Attributes:
        spent: the request used up its time on the processor, so that it would again.
    """

    def __init__(self, why: str, *, spent: bool = False) -> None:
        super().__init__(why)
        self.spent = spent


class LineWorkers:
    """Processes of one program.

    Args:
        command: that starts it.
        most: processes at once.
        seconds: of wall time that a request may take.
    """

    def __init__(self, command: Sequence[str], *, most: int = 2, seconds: float = 60.0) -> None:
        self.command, self.seconds = list(command), seconds
        self.started = 0
        self._free: list[asyncio.subprocess.Process] = []
        self._alive: set[asyncio.subprocess.Process] = set()
        self._places = asyncio.Semaphore(most)
        self._closed = False

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the program answers.

        Raises:
            WorkerFailed: nothing in time, or it died.
        """
        async with self._places:
            if self._closed:
                raise WorkerFailed(f"{self.command[-1]} is closed")
            process = self._free.pop() if self._free else await self._start()
            try:
                async with asyncio.timeout(self.seconds):
                    reply = await self._exchange(process, request)
            except BaseException as failure:
                await asyncio.shield(asyncio.ensure_future(self._end(process)))
                if isinstance(failure, TimeoutError):
                    raise WorkerFailed(f"no answer within {self.seconds:g} s") from None
                raise
            if self._closed:
                await self._end(process)
            else:
                self._free.append(process)
            return reply

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        await asyncio.gather(*(self._end(process) for process in tuple(self._alive)))

    async def _start(self) -> asyncio.subprocess.Process:
        self.started += 1
        process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, limit=LONGEST_LINE, env=plain_environment(),
        )  # fmt: skip
        self._alive.add(process)
        return process

    async def _exchange(self, process: asyncio.subprocess.Process, request: dict[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None and process.stdout is not None, "it was started with pipes"
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except (ConnectionError, ValueError) as error:
            raise WorkerFailed(f"it gave no line that can be read: {error}") from None
        if line.endswith(b"\n"):
            return json.loads(line)
        status = await process.wait()
        raise WorkerFailed(f"it ended with status {status} and gave no answer", spent=status == -signal.SIGPROF)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                await process.wait()
        self._alive.discard(process)
        if process in self._free:
            self._free.remove(process)


def plain_environment() -> dict[str, str]:
    """Variables of a worker: hashes that are the same in every process, and nothing of ours."""
    return {"PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}
