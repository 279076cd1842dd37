"""Grading answers to the world's questions by rule, through the same prompt and reader as a grading model.

The rule compares the line "Exact Answer:" with the correct answer as short answers are compared; the world's answers
are names and codes, written as pages write them, so no understanding is needed.

Report: §5.1, App. E (BrowseComp).
"""

import re

from manyeyes.reward.answers import normalise_answer
from manyeyes.reward.browsecomp import Grade, Item, grade
from manyeyes.swarm.world_tasks import DeepTask

_SAID = re.compile(r"(?im)^exact answer:[ \t]*(.*)$")
_RIGHT = re.compile(r"(?m)^\[correct_answer\]: (.*)$")
_CONFIDENCE = re.compile(r"(?im)^confidence:[ \t]*([\d.]+)[ \t]*%")


async def exact_grader(prompt: str) -> str:
    """Answers a grading prompt by comparing texts; an `Ask`."""
    said, right = _SAID.findall(prompt), _RIGHT.findall(prompt)
    answer = said[-1].strip() if said else ""
    same = bool(answer and right) and normalise_answer(answer) == normalise_answer(right[-1])
    confidence = _CONFIDENCE.findall(prompt)
    return (
        f"extracted_final_answer: {answer or 'None'}\nreasoning: the texts are {'the same' if same else 'different'}\n"
        f"correct: {'yes' if same else 'no'}\nconfidence: {confidence[-1] if confidence else '100'}%"
    )


async def grade_deep(task: DeepTask, response: str) -> Grade:
    """Whether a response to a question of the world is right."""
    return await grade(Item(0, task.problem, task.answer), response, exact_grader)
