"""What a grader is asked: about one piece of work, or which of two is better by each criterion.

The work stands before the question, quoted (`quotation`), so that our words are the last it reads. The verdict is one
JSON object at the very end of the reply that repeats the quotation's mark:

    {"mark": "f00d…", "helpfulness": 2, "detail": 3}            one: a level for each criterion
    {"mark": "f00d…", "helpfulness": "A", "detail": "tie"}      two: "A", "B" or "tie"

Report: §4.4.2 (pairwise and graded judgements); the wording is ours.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from manyeyes.core.messages import Part, TextPart
from manyeyes.reward.grm.quotation import WARNING, joined, mark_for, quoted
from manyeyes.reward.grm.rubric import Rubric, TaskKind

SIDES = ("A", "B", "tie")


@dataclass(frozen=True, slots=True)
class Work:
    """What is judged.

    Attributes:
        kind: chooses the rubrics.
        task: what was asked, as text and pictures.
        answer: what came of it: an answer, a trajectory (`evidence`), pictures of a rendered artefact.
        reference: a right answer, where one is known.
        verified: what rules found, from 0 to 1; None where nothing was verified. Caps the score (`on_verified`).

    Example:
        >>> Work("chat", (TextPart("2 + 2?"),), (TextPart("4"),)).verified is None
        True
    """

    kind: TaskKind
    task: tuple[Part, ...]
    answer: tuple[Part, ...]
    reference: str = ""
    verified: float | None = None

    @classmethod
    def of(
        cls, kind: TaskKind, task: str, answer: str, *, reference: str = "", verified: float | None = None
    ) -> "Work":
        """Of texts."""
        return cls(kind, (TextPart(task),), (TextPart(answer),), reference, verified)


class Question(NamedTuple):
    """What is asked, and the mark that the verdict must repeat."""

    parts: tuple[Part, ...]
    mark: str


def about_one(work: Work, rubric: Rubric, *, seed: int, name: str) -> Question:
    """A question about one piece of work."""
    mark = _mark(work, (work,), seed, name)
    body = [*_task(work, mark), *quoted("the work", work.answer, mark)]
    levels = "\n".join(
        f"{criterion.name}: {criterion.question}\n"
        + "\n".join(f"  {level} = {words}" for level, words in enumerate(criterion.levels))
        for criterion in rubric.criteria
    )
    form = {criterion.name: f"<0 to {len(criterion.levels) - 1}>" for criterion in rubric.criteria}
    ask = f"{_found(work)}Choose for each of these the level that fits the work best:\n{levels}\n\n{_end(form, mark)}"
    return _question(rubric, mark, body, ask)


def about_two(one: Work, other: Work, rubric: Rubric, *, seed: int, name: str) -> Question:
    """A question about two pieces of work on one task, A and B; what was verified of them is not told."""
    mark = _mark(one, (one, other), seed, name)
    body = [*_task(one, mark), *quoted("work A", one.answer, mark), *quoted("work B", other.answer, mark)]
    criteria = "\n".join(f"{criterion.name}: {criterion.question}" for criterion in rubric.criteria)
    form = dict.fromkeys((criterion.name for criterion in rubric.criteria), "<A, B or tie>")
    ask = (
        "Say for each of these which of the two is better; a tie where neither clearly is. Which is called A is "
        f"chance, and a longer one is not better for that:\n{criteria}\n\n{_end(form, mark)}"
    )
    return _question(rubric, mark, body, ask)


def _mark(task: Work, works: Sequence[Work], seed: int, name: str) -> str:
    return mark_for([*task.task, TextPart(task.reference), *(part for one in works for part in one.answer)],
                    seed=seed, name=name)  # fmt: skip


def _task(work: Work, mark: str) -> list[Part]:
    reference = quoted("a reference answer", [TextPart(work.reference)], mark) if work.reference else []
    return [*quoted("the task", work.task, mark), *reference]


def _question(rubric: Rubric, mark: str, body: Sequence[Part], ask: str) -> Question:
    head = f"You judge work that somebody did on a task. {rubric.stance}\n\n{WARNING.format(mark=mark)}\n\n"
    return Question(joined([TextPart(head), *body, TextPart(ask)]), mark)


def _found(work: Work) -> str:
    if work.verified is None:
        return ""
    return f"A program has verified the result and gave it {work.verified:.2f} of 1; that is settled.\n\n"


def _end(form: dict[str, str], mark: str) -> str:
    example = json.dumps({"mark": mark, **form})
    return (
        "Say in a few sentences what you saw. Then end with one JSON object on a line of its own, in this form, with "
        f"nothing after it:\n{example}"
    )
