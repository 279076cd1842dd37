"""`Memory`: what a teacher said already, by what it was shown; and the marks of what is asked.

    shown   the conversation, instruction and tools before one reply, and how it is sampled
    asked   all that a candidate follows from: its seed, instruction, tools, sampling, and how many steps it may take

Reply by reply, so that a conversation goes on where it was; where a call gives something else than it did before, or
the words of a seed were changed, the rest of it is asked for anew. How long an answer may be is in neither mark: it
only matters to answers that were cut off, and these are asked for again (`Remembered.candidate`).

Report: §4.4.1; App. D.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from manyeyes.agent.chat_model import Reply, Sampling, Usage
from manyeyes.agent.synthesis.mark import mark_of, plain
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.core.messages import Message, Tool


class Heard(NamedTuple):
    """A reply of earlier."""

    message: Message
    usage: Usage


class Memory:
    """Remembers nothing; what a synthesis remembers is in `Remembered`."""

    def recall(self, shown: str) -> Heard | None:
        """What was said to this; None where it is to be asked for."""
        return None

    def note(self, shown: str, reply: Reply) -> Message:
        """Keep a reply before anything follows from it; the message as it is kept."""
        return reply.message


NOTHING = Memory()


def shown_mark(messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling) -> str:
    """Of what one reply follows from."""
    return mark_of(plain(messages, tools), _plain_sampling(sampling))


def asked_mark(seed: Seed, tools: Sequence[Tool], sampling: Sampling, *, instruction: str, steps: int) -> str:
    """Of what a candidate follows from; truths are not in it, for teachers never see them."""
    content = seed.turns, seed.system, seed.thinking, dict(seed.data)
    return mark_of(content, plain((), tools), _plain_sampling(sampling), instruction, steps)


def _plain_sampling(sampling: Sampling) -> list[Any]:
    return [sampling.temperature, sampling.top_p, sampling.extra]
