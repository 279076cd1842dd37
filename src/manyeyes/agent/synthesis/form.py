"""`Form`: what a candidate is made of: a whole conversation in words, calls that were declared, reasoning where wanted.

Report: §4.4.1; §2.2 (no picture in zero-vision dialogues).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from manyeyes.agent.synthesis.calls import call_fault
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.mark import mark_of, name_of
from manyeyes.agent.synthesis.stage import PASSED, Finding
from manyeyes.core.conversation import ChatError, check
from manyeyes.core.messages import Message
from manyeyes.data.dialogue_thoughts import has_marks


def nothing_more(candidate: Candidate) -> str:
    """No further demand."""
    return ""


@dataclass(frozen=True, slots=True)
class Form:
    """See the module.

    Attributes:
        longest: characters that a teacher may write, thoughts and calls included.
        text_only: whether pictures are refused, those that tools gave included.
        calls: least and most calls of a whole dialogue; None for no upper end.
        check: more that the domain asks of it: a fault, or "".
    """

    longest: int = 40_000
    text_only: bool = True
    calls: tuple[int, int | None] = (0, None)
    check: Callable[[Candidate], str] = nothing_more
    name: str = "form"

    @property
    def mark(self) -> str:
        """See `Stage`."""
        return mark_of(self.longest, self.text_only, self.calls, name_of(self.check))

    async def __call__(self, candidate: Candidate) -> Finding:
        """See `Stage`."""
        fault = candidate.fault or self._fault(candidate) or self.check(candidate)
        return Finding(False, fault) if fault else PASSED

    def _fault(self, candidate: Candidate) -> str:
        try:
            check(candidate.messages)
        except ChatError as error:
            return str(error)
        said = [message for message in candidate.messages if message.role == "assistant"]
        if len(candidate.answers) != len(candidate.seed.turns):
            return "a turn without a last word"
        if not all(answer.strip() for answer in candidate.answers):
            return "an empty answer"
        if candidate.size > self.longest:
            return "too long"
        if self.text_only and any(message.media for message in candidate.messages):
            return "a picture in what must be text"
        if any(map(has_marks, said)):
            return "a mark of a thought in an answer"
        return self._call_fault(candidate, said) or self._reasoning_fault(candidate)

    def _call_fault(self, candidate: Candidate, said: Sequence[Message]) -> str:
        calls = [call for message in said for call in message.tool_calls]
        least, most = self.calls
        if len(calls) < least:
            return "too few calls"
        if most is not None and len(calls) > most:
            return "too many calls"
        return next((fault for call in calls if (fault := call_fault(call, candidate.tools))), "")

    def _reasoning_fault(self, candidate: Candidate) -> str:
        if not candidate.seed.thinking:
            return ""
        last = max(at for at, message in enumerate(candidate.messages) if message.role == "user")
        open_turn = [message for message in candidate.messages[last:] if message.role == "assistant"]
        return "" if all((message.reasoning or "").strip() for message in open_turn) else "no reasoning"
