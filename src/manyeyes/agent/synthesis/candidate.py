"""`Candidate`: what one teacher made of one seed: a whole conversation, and where it comes from.

Report: §4.4.1 (candidate responses of several expert models).
"""

from dataclasses import dataclass

from manyeyes.agent.chat_model import Usage
from manyeyes.agent.synthesis.mark import mark_of, plain
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.core.messages import Message, Tool
from manyeyes.data.dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Candidate:
    """See the module.

    Attributes:
        seed: what was asked.
        teacher: who answered, by name.
        attempt: which of the teacher's, from 0.
        messages: as the dialogue would show them: without what only the teacher was told.
        tools: that it could call.
        fault: why the conversation is not whole, such as an answer that was cut off; "" when it is.
        usage: of the teacher.
    """

    seed: Seed
    teacher: str
    attempt: int
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    fault: str = ""
    usage: Usage = Usage()

    @property
    def key(self) -> str:
        """Its name."""
        return key_of(self.seed, self.teacher, self.attempt)

    @property
    def mark(self) -> str:
        """Of what stages look at: all that was said and done, and the truths."""
        return mark_of(plain(self.messages, self.tools), self.fault, self.seed.truths, self.seed.thinking)

    @property
    def answers(self) -> tuple[str, ...]:
        """The last words of each turn."""
        return tuple(m.text for m in self.messages if m.role == "assistant" and not m.tool_calls)

    @property
    def size(self) -> int:
        """Characters that the teacher wrote."""
        said = (message for message in self.messages if message.role == "assistant")
        return sum(
            len(m.text) + len(m.reasoning or "") + sum(len(call.arguments) for call in m.tool_calls) for m in said
        )

    @property
    def dialogue(self) -> Dialogue:
        """To be learned from."""
        return Dialogue(self.key, self.messages, self.tools, self.seed.thinking)


def key_of(seed: Seed, teacher: str, attempt: int) -> str:
    """The name of a candidate."""
    return f"{seed.id}/{teacher}/{attempt}"
