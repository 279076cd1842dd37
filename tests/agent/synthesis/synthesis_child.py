"""A synthesis that says every call of its teacher, to be killed: python synthesis_child.py FOLDER SECONDS"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from manyeyes.agent.fakes import Scripted
from manyeyes.agent.synthesis.answer import Answer
from manyeyes.agent.synthesis.desk import desk
from manyeyes.agent.synthesis.domain import Domain
from manyeyes.agent.synthesis.execution import Execution
from manyeyes.agent.synthesis.form import Form
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.synthesis import synthesise
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.agent.toolset import Toolset
from manyeyes.core.messages import Message, ToolCall, assistant

SEEDS = [Seed(f"sum/{n}", (f"What is {n} * 7?",), (str(n * 7),)) for n in range(30)]


def room(seed: Seed) -> Toolset:
    """A calculator."""
    return desk({})


DOMAIN = Domain(
    "sums",
    "for tests",
    lambda count, seed: SEEDS[:count],
    (Form(calls=(1, 2)), Execution(room), Answer()),
    toolset=room,
)


def policy(messages: Sequence[Message]) -> Message:
    """Calculates, then says what came out; every call is told on standard output."""
    os.write(1, f"{len(messages)} {messages[0].text}\n".encode())  # whole, or not at all
    if messages[-1].role == "tool":
        return assistant(messages[-1].text)
    expression = messages[0].text.removeprefix("What is ").rstrip("?")
    return assistant(calls=(ToolCall.of("calculate", {"expression": expression}, index=0),))


def main() -> None:
    """See the module."""
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    teacher = Teacher("one", Scripted(policy, seconds=seconds))
    asyncio.run(synthesise(DOMAIN, SEEDS, [teacher], folder, at_once=4))


if __name__ == "__main__":
    main()
