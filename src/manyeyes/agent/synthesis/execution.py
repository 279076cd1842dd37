"""`Execution`: every call of a candidate is made again, in a fresh room, and must give what the candidate shows.

A result that a teacher made up, one that depends on the hour or on chance, and one that failed is nothing to learn
from. Calls of one answer are made together, as they were. A call that crashes or takes too long only when it is made
again says nothing of the candidate: there is no verdict then.

Report: §4.4.1 (verification by execution); App. D.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.mark import mark_of, name_of
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import PASSED, Finding
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import ToolCall

ENDED = ("crash", "timeout")
"""Failures that a busy or a broken machine may have made."""
Made = list[tuple[ToolCall, ToolResult]]


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

    @property
    def mark(self) -> str:
        """See `Stage`."""
        return mark_of(name_of(self.toolset), name_of(self.failed), self.failures)

    async def __call__(self, candidate: Candidate) -> Finding:
        """See `Stage`."""
        if not any(message.tool_calls for message in candidate.messages):
            return PASSED
        try:
            made = await made_again(candidate, self.toolset(candidate.seed))
        except SandboxUnavailable as error:
            return Finding(None, "no sandbox", notes={"error": str(error)})
        return self._compared(candidate, made)

    def _compared(self, candidate: Candidate, made: Made) -> Finding:
        shown = {message.tool_call_id: message.text for message in candidate.messages if message.role == "tool"}
        failures = 0
        for call, result in made:
            if result.text != shown.get(call.id):
                if result.failure in ENDED:
                    return Finding(None, "a call could not be made again", notes=_told(call, result))
                return Finding(False, "a call gives something else when made again", notes=_told(call, result))
            failures += self.failed(result)
            if failures > self.failures:
                return Finding(False, "a call failed", notes=_told(call, result))
        return PASSED


async def made_again(candidate: Candidate, toolset: Toolset) -> Made:
    """All calls of a candidate once more, in order, with what they give. Opens and closes the toolset.

    Raises:
        SandboxUnavailable: the tools have no place to run.
    """
    made: Made = []
    try:
        await toolset.open()
        for message in candidate.messages:
            results = await asyncio.gather(*map(toolset.call, message.tool_calls))
            made += zip(message.tool_calls, results, strict=True)
        return made
    finally:
        await toolset.close()


def _told(call: ToolCall, result: ToolResult) -> dict[str, str]:
    return {"call": call.id, "arguments": call.arguments[:400], "gave": result.text[:400]}
