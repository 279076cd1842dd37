"""`propose`: a teacher, a user who says the turns of a seed, and tools that are really called, in a room of their own.

    user turn → answer → calls made → results → answer → ... → no calls: next turn

What only the teacher is told (`instruction`) goes before the conversation and is no part of the candidate, and so is
reasoning where the dialogue is to be instant. Calls are renamed as K2.5 names them. A teacher's earlier replies
(`heard`) are said again instead of being asked for; their calls are made again, so that tools with a memory have it.

Report: §4.4.1 (prompt engineering, tool calls); App. D.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from manyeyes.agent.chat_model import ModelError, Reply, Usage
from manyeyes.agent.record import tool_message
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.agent.toolset import Toolset
from manyeyes.core.messages import Message, ToolCall, system, user

CUT = {"length": "an answer was cut off at its longest length", "filter": "a content filter stopped an answer"}
FINAL_ERRORS = ("request", "overflow")
"""Kinds of failed calls that asking again would not mend."""


class _Faulty(Exception):
    """The conversation is not whole; never leaves this module."""


async def propose(
    seed: Seed,
    teacher: Teacher,
    toolset: Toolset,
    *,
    attempt: int = 0,
    instruction: str = "",
    steps: int = 8,
    heard: Sequence[tuple[Message, Usage]] = (),
    tell: Callable[[Reply], None] = lambda reply: None,
) -> Candidate:
    """One candidate. Opens and closes the toolset.

    Args:
        attempt: of the teacher's at this seed.
        steps: answers in a turn, at most.
        heard: what the teacher said already, in an earlier process.
        tell: called with every new reply before anything follows from it.

    Raises:
        ModelError: the teacher cannot be asked now; a later try may work.
        SandboxUnavailable: the tools have no place to run.
    """
    talk = _Talk(seed, teacher, toolset, instruction=instruction, steps=steps, heard=heard, tell=tell)
    fault = ""
    try:
        await toolset.open()
        await talk.through()
    except _Faulty as error:
        fault = str(error)
    finally:
        await toolset.close()
    messages = tuple(talk.messages)
    return Candidate(seed, teacher.name, attempt, messages, tuple(toolset.tools), fault, talk.usage)


class _Talk:
    """The conversation as it grows."""

    def __init__(
        self, seed: Seed, teacher: Teacher, toolset: Toolset, *, instruction: str, steps: int,
        heard: Sequence[tuple[Message, Usage]], tell: Callable[[Reply], None],
    ) -> None:  # fmt: skip
        self.seed, self.teacher, self.toolset, self.steps, self.tell = seed, teacher, toolset, steps, tell
        self.messages: list[Message] = [system(seed.system)] if seed.system else []
        self.usage = Usage()
        self._before = [system(instruction)] if instruction else []
        self._heard = list(heard)
        self._calls = 0

    async def through(self) -> None:
        """All turns."""
        for turn in self.seed.turns:
            self.messages.append(user(turn))
            await self._answered()

    async def _answered(self) -> None:
        for _ in range(self.steps):
            message = self._named(await self._said())
            self.messages.append(message if self.seed.thinking else replace(message, reasoning=None))
            if not message.tool_calls:
                return
            results = await asyncio.gather(*map(self.toolset.call, message.tool_calls))
            pairs = zip(message.tool_calls, results, strict=True)
            self.messages += [tool_message(call.id, result) for call, result in pairs]
        raise _Faulty(f"no last word after {self.steps} answers with calls")

    async def _said(self) -> Message:
        if self._heard:
            message, usage = self._heard.pop(0)
            self.usage += usage
            return message
        sampling = self.teacher.thinking if self.seed.thinking else self.teacher.instant
        shown = [*self._before, *self.messages]
        try:
            reply = await self.teacher.model.complete(shown, tuple(self.toolset.tools), sampling=sampling)
        except ModelError as error:
            if error.kind in FINAL_ERRORS:
                raise _Faulty(f"the teacher could not be asked: {error}") from error
            raise
        if reply.stop in CUT:
            raise _Faulty(CUT[reply.stop])
        self.tell(reply)
        self.usage += reply.usage
        return reply.message

    def _named(self, message: Message) -> Message:
        calls = tuple(
            ToolCall(f"functions.{call.name}:{self._calls + at}", call.name, call.arguments)
            for at, call in enumerate(message.tool_calls)
        )
        self._calls += len(calls)
        return message if calls == message.tool_calls else replace(message, tool_calls=calls)
