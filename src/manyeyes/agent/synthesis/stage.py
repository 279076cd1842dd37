"""`Stage`: one step of verification: a candidate passes, is dropped, or cannot be judged now.

Stages stand in order of what they cost, and the first that drops a candidate is the last that looks at it:

    form        no model, no tool     Form           what it is made of
    execution   tools                 Execution      calls made again give what the candidate shows
    answer      no model              Answer         the truth, where there is one
    looks       tools                 Looks          calls give something else for another picture
    grade       graders               Grade          rubrics, with a quorum

Report: §4.4.1 (multi-stage verification).
"""

from typing import Any, NamedTuple, Protocol

from manyeyes.agent.synthesis.candidate import Candidate


class Finding(NamedTuple):
    """What a stage found.

    Attributes:
        passed: None where there is no verdict: a failure of the graders or the sandbox, not of the candidate. It is
            not remembered, so that a later try may find out.
        why: it did not pass, in words that many candidates share; figures and names belong into `notes`.
        score: 0 to 1, where the stage measures something.
        notes: for people; plain JSON.
    """

    passed: bool | None
    why: str = ""
    score: float | None = None
    notes: dict[str, Any] = {}


PASSED = Finding(True)


class Stage(Protocol):
    """A step of verification."""

    @property
    def name(self) -> str:
        """Unique among the stages of a domain."""
        ...

    @property
    def mark(self) -> str:
        """What a verdict rests on beside the candidate and its truths: where it is another one, it is asked again."""
        ...

    async def __call__(self, candidate: Candidate) -> Finding:
        """Look at one candidate. Failures of whatever it asks are findings without a verdict."""
        ...
