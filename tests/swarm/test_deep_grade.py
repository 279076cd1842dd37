"""Grading by rule goes through the grader's own prompt and reader."""

import asyncio

import pytest

from manyeyes.swarm.deep_grade import exact_grader, grade_deep
from manyeyes.swarm.world import deep_tasks

TASK = deep_tasks()[0]


@pytest.mark.parametrize(
    ("response", "right"),
    [
        (f"Explanation: so.\nExact Answer: {TASK.answer}\nConfidence: 95%", True),
        (f"Explanation: so.\nExact Answer:  {TASK.answer.upper()}.\nConfidence: 95%", True),
        (f"Explanation: not {TASK.answer}.\nExact Answer: unknown\nConfidence: 0%", False),
        (f"It is {TASK.answer}.", False),
        ("Exact Answer:\nConfidence: 5%", False),
        (f"Exact Answer: {TASK.answer}\nExact Answer: another", False),
        ("", False),
    ],
)
def test_only_the_exact_answer_counts(response: str, right: bool) -> None:
    assert asyncio.run(grade_deep(TASK, response)).correct is right


def test_a_stated_confidence_is_kept() -> None:
    said = f"Exact Answer: {TASK.answer}\nConfidence: 40%"
    assert asyncio.run(grade_deep(TASK, said)).confidence == 40.0
    assert "correct: no" in asyncio.run(exact_grader("no such prompt"))
