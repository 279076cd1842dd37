"""`AgentCalls`: an agent's tool calls: each with a deadline, each recorded, each with a result whatever happens.

Report: App. D (toolset).
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

from manyeyes.agent.record import plain_result
from manyeyes.agent.recorder import INTERRUPTED
from manyeyes.agent.rollouts.agent_waits import AgentWaits, is_json
from manyeyes.agent.rollouts.failures import AttemptFailed
from manyeyes.agent.rollouts.line import Line, Outer
from manyeyes.agent.rollouts.past import Drifted, keep_picture, result_of
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import ToolCall
from manyeyes.core.trajectory import Event


@dataclass(slots=True, eq=False)
class Making:
    """A tool call that is being made.

    Attributes:
        place: number of the answer and position in it.
        line: of the task that makes it.
        started: sub-agents that it has started.
    """

    agent: AgentWaits
    place: str
    id: str
    line: Line
    started: int = 0


MAKING: ContextVar[Making | None] = ContextVar("the call that is being made", default=None)


class AgentCalls(AgentWaits):
    """See the module."""

    __slots__ = ()

    async def call(self, toolset: Toolset, call: ToolCall, *, position: int) -> ToolResult:
        """See `Ctx.call`. A call that takes too long, or that fails, has a result, too."""
        if self.attempt.is_over:
            await self.ends()
        place = f"{self.turns - 1}.{position}"
        if self.past is not None and (known := self._known_result(toolset, call, place)) is not None:
            return known
        line, at = self.here(), self.seconds
        token = MAKING.set(Making(self, place, call.id, line))
        self.calls = self.calls or set()
        self.calls.add(place)
        outer = line.enter("tool", self.host.tool_ticks)
        try:
            result = await self._called(toolset, call, line, outer)
        finally:
            self.calls.discard(place)
            line.leave(outer)
            self.over(line)
            MAKING.reset(token)
        self._write(call, place, at, result)
        return result

    @property
    def noted(self) -> list[dict[str, object]]:
        """See `Ctx.noted`."""
        if self.past is None:
            return []
        return [data for one in self.past.results.values() if (data := one.data["result"]["data"])]

    async def _called(self, toolset: Toolset, call: ToolCall, line: Line, outer: Outer) -> ToolResult:
        try:
            result = await toolset.call(call)
        except asyncio.CancelledError:
            if not line.overdue(outer):
                raise
            self.host.stats.failures["tool"] += 1
            late = self.late(line)
            return ToolResult.failed("timeout", f"{call.name}: {late}")
        except (AttemptFailed, Drifted):
            raise
        except Exception as error:  # the boundary for tools that are no `Functions`
            return ToolResult.failed("crash", f"{call.name} failed: {type(error).__name__}: {error}")
        if result.data and not is_json(result.data):
            return ToolResult.failed("crash", f"{call.name} left something behind that is no JSON")
        return result

    def _write(self, call: ToolCall, place: str, at: float, result: ToolResult) -> None:
        plain = plain_result(result, keep_picture)
        data = {"place": place, "id": call.id, "name": call.name, "arguments": call.arguments, "result": plain}
        self.trajectory.events.append(Event("tool", at, self.seconds - at, self.number, self.tip, data))

    def _known_result(self, toolset: Toolset, call: ToolCall, place: str) -> ToolResult | None:
        """What an interrupted run knows of a call; None when it is to be made."""
        assert self.past is not None, "asked by whoever has a past"
        if (event := self.past.results.get(place)) is not None:
            if (event.data["name"], event.data["arguments"]) != (call.name, call.arguments):
                raise Drifted(f"{self.attempt.name}: call {place} of {self.agent} was another one before")
            return result_of(event)
        if place not in self.past.started or call.name in toolset.repeatable or self.past.delegated(place):
            return None
        return ToolResult.failed("interrupted", INTERRUPTED)
