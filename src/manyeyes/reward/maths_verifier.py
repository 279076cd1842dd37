"""`MathsVerifier`: are two expressions the same? math-verify in a few processes, each question with bounded time.

    async with MathsVerifier() as verifier:
        await verifier.same("x+x", "2x")        True

Time is counted on the processor, so that the verdict does not depend on how busy the machine is: a pair that uses more
than `cpu_seconds` ends its process and has no verdict (None). Silence for `wall_seconds`, or a process that dies for
other reasons, says nothing about the answer: a `JudgeError`. Extra: maths.

Report: §4.4.2 (rule-based outcome rewards).
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.reward.final_answer import LONGEST
from manyeyes.reward.judge import JudgeError

WORKER = Path(__file__).with_name("maths_worker.py")
OWN_FAULT = {-signal.SIGPROF, -signal.SIGSEGV}
"""How a process ends that its question has killed: out of time, or nested too deeply."""


class MathsVerifier:
    """See the module; an async context manager.

    Args:
        most: processes at once.
        cpu_seconds: that one question may use.
        wall_seconds: after which a silent process is given up.

    Attributes:
        counts: "asked", "spent" (no verdict in bounded time), "failed".
    """

    def __init__(self, *, most: int = 1, cpu_seconds: float = 5.0, wall_seconds: float = 120.0) -> None:
        self.cpu_seconds, self.wall_seconds = cpu_seconds, wall_seconds
        self.counts: Counter[str] = Counter()
        self._places = asyncio.Semaphore(most)
        self._free: list[asyncio.subprocess.Process] = []
        self._alive: set[asyncio.subprocess.Process] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self._end(process) for process in tuple(self._alive)))

    async def same(self, answer: str, truth: str) -> bool | None:
        """See `maths.Equality.same`.

        Raises:
            ConfigError: math-verify is not installed.
            DataError: the truth is no expression.
            JudgeError: no verdict, through no fault of the answer.
        """
        if len(answer) > LONGEST:
            return False
        self.counts["asked"] += 1
        async with self._places:
            reply = await self._asked({"answer": answer, "truth": truth, "cpu_seconds": self.cpu_seconds})
        if "unreadable" in reply:
            raise DataError(f"the right answer {truth[:200]!r} is no expression that math-verify reads; mend the task")
        self.counts["spent"] += reply["same"] is None
        return reply["same"]

    async def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        process = await self._process()
        reply = await self._within(process, request, "was silent")
        if reply is not None:
            self._free.append(process)
            return reply
        await self._end(process)
        if process.returncode in OWN_FAULT:
            return {"same": None}
        self.counts["failed"] += 1
        raise JudgeError(f"the process of math-verify ended with status {process.returncode}; ask again")

    async def _process(self) -> asyncio.subprocess.Process:
        """One that waits for questions."""
        while self._free:
            if (process := self._free.pop()).returncode is None:
                return process
            await self._end(process)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(WORKER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )  # fmt: skip
        self._alive.add(process)
        hello = await self._within(process, None, "did not start")
        if hello is not None and "missing" not in hello:
            return process
        await self._end(process)
        if hello is None:
            raise JudgeError(f"math-verify did not start, its process ended with status {process.returncode}")
        raise ConfigError(
            f"checking maths answers needs math-verify: pip install 'manyeyes[maths]' ({hello['missing']})"
        )

    async def _within(
        self, process: asyncio.subprocess.Process, request: dict[str, Any] | None, late: str
    ) -> dict[str, Any] | None:
        """Its next line in time; a process that is late, or that nobody waits for any longer, is ended."""
        try:
            async with asyncio.timeout(self.wall_seconds):
                return await _exchange(process, request)
        except BaseException as failure:
            await asyncio.shield(asyncio.ensure_future(self._end(process)))
            if not isinstance(failure, TimeoutError):
                raise
            self.counts["failed"] += 1
            raise JudgeError(f"math-verify {late} for {self.wall_seconds:g} s; is the machine busy?") from None

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._alive.discard(process)


async def _exchange(process: asyncio.subprocess.Process, request: dict[str, Any] | None) -> dict[str, Any] | None:
    """Its next line, after a request where there is one; None where it has ended."""
    assert process.stdin is not None and process.stdout is not None, "it was started with pipes"
    with suppress(ConnectionError):
        if request is not None:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
    line = await process.stdout.readline()
    if line.endswith(b"\n"):
        return json.loads(line)
    await process.wait()
    return None
