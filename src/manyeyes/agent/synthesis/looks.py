"""`Looks`: a candidate must have looked: what its last calls gave changes when the picture is another one.

    print(nd.label(abs(im-red).sum(2)<90)[1])     3 here, 0 on a blank picture       it looked
    print(3)                                      3 everywhere                       a guess with a call around it

Calls are made again in rooms that differ in nothing but the picture. One that gives something else is enough: a measure
may well be the same in two pictures.

Report: §2.2 (zero-vision SFT: operations on pictures as code), §4.4.1 (verification by execution).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.execution import ENDED, made_again
from manyeyes.agent.synthesis.mark import mark_of, name_of
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import PASSED, Finding
from manyeyes.agent.toolset import Toolset


@dataclass(frozen=True, slots=True)
class Looks:
    """See the module.

    Attributes:
        others: the rooms of a seed with other pictures.
    """

    others: Callable[[Seed], Sequence[Toolset]]
    name: str = "looks"

    @property
    def mark(self) -> str:
        """See `Stage`."""
        return mark_of(name_of(self.others))

    async def __call__(self, candidate: Candidate) -> Finding:
        """See `Stage`."""
        last = next((m.tool_calls for m in reversed(candidate.messages) if m.tool_calls), ())
        shown = {message.tool_call_id: message.text for message in candidate.messages if message.role == "tool"}
        here = [shown.get(call.id) for call in last]
        compared = 0
        for room in self.others(candidate.seed):
            try:
                made = (await made_again(candidate, room))[-len(last) :] if last else []
            except SandboxUnavailable as error:
                return Finding(None, "no sandbox", notes={"error": str(error)})
            if any(result.failure in ENDED for _, result in made):
                continue  # by chance or by the picture, nobody knows
            if [result.text for _, result in made] != here:
                return PASSED
            compared += 1
        return Finding(False, "its calls give the same whatever the picture") if compared else Finding(None, "no room")
