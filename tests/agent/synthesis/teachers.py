"""Teachers by script, and what they are asked: shared by the tests of this folder."""

from collections.abc import Callable, Sequence

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.core.messages import Message, ToolCall, assistant, tool_result, user

Policy = Callable[[Sequence[Message]], Message]


def teacher(policy: Policy | ChatModel, name: str = "one") -> Teacher:
    """A teacher that answers by a function of the conversation."""
    return Teacher(name, Scripted(policy) if callable(policy) else policy)


def sums(count: int, *, thinking: bool = False) -> list[Seed]:
    """n + 1 for n from 0."""
    return [Seed(f"sum/{n}", (f"What is {n} + 1?",), (str(n + 1),), thinking=thinking) for n in range(count)]


def adds(messages: Sequence[Message]) -> Message:
    """The right answer to a sum."""
    words = messages[-1].text.rstrip("?").split()
    return assistant(str(int(words[-3]) + int(words[-1])), reasoning="I add.")


def candidate(*said: Message, seed: Seed | None = None, name: str = "one", attempt: int = 0, **more) -> Candidate:
    """A candidate of given messages behind the seed's question."""
    seed = seed or sums(1)[0]
    return Candidate(seed, name, attempt, (user(seed.turns[0]), *said), **more)


def calculated(expression: str, result: str, *, index: int = 0) -> tuple[Message, Message]:
    """A call of the calculator and what it gave."""
    call = ToolCall.of("calculate", {"expression": expression}, index=index)
    return assistant(calls=(call,)), tool_result(call, result)
