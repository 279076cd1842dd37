"""`propose`: a teacher, a user who says the turns of a seed, and tools that are really called, in a room of their own.

    user turn → answer → calls made → results → answer → ... → no calls: next turn

What only the teacher is told (`instruction`) goes before the conversation and is no part of the candidate, and so is
reasoning where the dialogue is to be instant. Calls are renamed as K2.5 names them. What a teacher said already to the
same words is said again instead of being asked for; its calls are made again, so that tools with a memory have it.

Report: §4.4.1 (prompt engineering, tool calls); App. D.
"""

import asyncio
from dataclasses import replace

from manyeyes.agent.chat_model import Sampling, Usage
from manyeyes.agent.record import tool_message
from manyeyes.agent.synthesis.candidate import Candidate, key_of
from manyeyes.agent.synthesis.memory import NOTHING, Heard, Memory, shown_mark
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.agent.toolset import Toolset
from manyeyes.core import seeds
from manyeyes.core.messages import Message, ToolCall, system, user
from manyeyes.data.dialogue_thoughts import told_apart

CUT_OFF = "an answer was cut off at its longest length"
CUT = {"length": CUT_OFF, "filter": "a content filter stopped an answer"}


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
    memory: Memory = NOTHING,
) -> Candidate:
    """One candidate. Opens and closes the toolset.

    Args:
        attempt: of the teacher's at this seed.
        steps: answers in a turn, at most.
        memory: of what the teacher said in an earlier process.

    Raises:
        ModelError: the teacher cannot be asked, now or like this; another try or other settings may work.
        SandboxUnavailable: the tools have no place to run.
    """
    talk = _Talk(seed, teacher, toolset, attempt=attempt, instruction=instruction, steps=steps, memory=memory)
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
        self, seed: Seed, teacher: Teacher, toolset: Toolset, *, attempt: int, instruction: str, steps: int,
        memory: Memory,
    ) -> None:  # fmt: skip
        self.seed, self.teacher, self.toolset, self.steps, self.memory = seed, teacher, toolset, steps, memory
        self.key = key_of(seed, teacher.name, attempt)
        self.messages: list[Message] = [system(seed.system)] if seed.system else []
        self.usage = Usage()
        self._before = [system(instruction)] if instruction else []
        self._calls = 0

    async def through(self) -> None:
        """All turns."""
        for turn in self.seed.turns:
            self.messages.append(user(turn))
            await self._answered()

    async def _answered(self) -> None:
        for _ in range(self.steps):
            message = self._named(told_apart(await self._said()))
            self.messages.append(message if self.seed.thinking else replace(message, reasoning=None))
            if not message.tool_calls:
                return
            results = await asyncio.gather(*map(self.toolset.call, message.tool_calls))
            pairs = zip(message.tool_calls, results, strict=True)
            self.messages += [tool_message(call.id, result) for call, result in pairs]
        raise _Faulty(f"no last word after {self.steps} answers with calls")

    async def _said(self) -> Message:
        tools, conversation = tuple(self.toolset.tools), [*self._before, *self.messages]
        sampling = self.teacher.sampling(thinking=self.seed.thinking)
        shown = shown_mark(conversation, tools, sampling)
        heard = self.memory.recall(shown) or await self._heard(conversation, shown, self._drawing(sampling, shown))
        self.usage += heard.usage
        return heard.message

    async def _heard(self, conversation: list[Message], shown: str, sampling: Sampling) -> Heard:
        """Ask. Raises ModelError."""
        reply = await self.teacher.model.complete(conversation, tuple(self.toolset.tools), sampling=sampling)
        if reply.stop in CUT:
            raise _Faulty(CUT[reply.stop])
        return Heard(self.memory.note(shown, reply), reply.usage)

    def _drawing(self, sampling: Sampling, shown: str) -> Sampling:
        """With a seed that follows from the candidate and the place in its conversation, where the model takes one."""
        if not self.teacher.seeded:
            return sampling
        seed = seeds.key(0, f"agent/synthesis/{self.key}/{shown}") & 0x7FFF_FFFF
        return replace(sampling, extra=sampling.extra | {"seed": seed})

    def _named(self, message: Message) -> Message:
        calls = tuple(
            ToolCall(f"functions.{call.name}:{self._calls + at}", call.name, call.arguments)
            for at, call in enumerate(message.tool_calls)
        )
        self._calls += len(calls)
        return message if calls == message.tool_calls else replace(message, tool_calls=calls)
