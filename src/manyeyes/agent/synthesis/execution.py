"""`Execution`: every call of a candidate is made again, in a fresh room, and must give what the candidate shows.

A result that a teacher made up, one that depends on the hour or on chance, and one that failed is nothing to learn
from. Calls of one answer are made together, as they were.

Report: §4.4.1 (verification by execution); App. D.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import PASSED, Finding
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import ToolCall


def gave_nothing(result: ToolResult) -> bool:
    """Whether a call failed."""
    return bool(result.failure)


@dataclass(frozen=True, slots=True)
class Execution:
    """See the module.

    Attributes:
        toolset: makes the tools of a seed.
        failed: which results are failures.
        failures: that a dialogue may hold: what failed and was mended may be worth learning.
    """

    toolset: Callable[[Seed], Toolset]
    failed: Callable[[ToolResult], bool] = gave_nothing
    failures: int = 0
    name: str = "execution"

    async def __call__(self, candidate: Candidate) -> Finding:
        """See `Stage`."""
        if not any(message.tool_calls for message in candidate.messages):
            return PASSED
        toolset = self.toolset(candidate.seed)
        try:
            await toolset.open()
            return await self._replayed(candidate, toolset)
        except SandboxUnavailable as error:
            return Finding(None, "no sandbox", notes={"error": str(error)})
        finally:
            await toolset.close()

    async def _replayed(self, candidate: Candidate, toolset: Toolset) -> Finding:
        shown = {message.tool_call_id: message.text for message in candidate.messages if message.role == "tool"}
        failures = 0
        for message in candidate.messages:
            results = await asyncio.gather(*map(toolset.call, message.tool_calls))
            for call, result in zip(message.tool_calls, results, strict=True):
                if result.text != shown.get(call.id):
                    return Finding(False, "a call gives something else when made again", notes=_told(call, result))
                failures += self.failed(result)
                if failures > self.failures:
                    return Finding(False, "a call failed", notes=_told(call, result))
        return PASSED


def _told(call: ToolCall, result: ToolResult) -> dict[str, str]:
    return {"call": call.id, "arguments": call.arguments[:400], "gave": result.text[:400]}
