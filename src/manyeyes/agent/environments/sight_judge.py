"""`SightJudge`: what an answer to a sight is worth, from 0 to 1, by the rewards of the report.

    count           half for the right number, half by its difference (`counting_reward`)
    measured        half for being as near as measuring comes, half by the difference, 0 from `Sight.unit` on
    a box           F1 with IoU as soft match (`grounding_reward`)
    print           1 - edit distance / length (`ocr_reward`);  any other word: right or wrong

Only finished attempts have given an answer. "called" says whether the image tool was called; it is measured and not
rewarded.

Report: §4.4.2 ("reward functions"); the halves are an open choice: being near is easily guessed, being right is not.
"""

from dataclasses import dataclass

from manyeyes.agent.judge import Case, Verdict
from manyeyes.core.coordinates import read_boxes
from manyeyes.data.synthesis.zero_vision_programs import TOOL
from manyeyes.data.synthesis.zero_vision_sight import Sight, is_right, off, read_number
from manyeyes.reward.final_answer import final_answer
from manyeyes.reward.vision import counting_reward, grounding_reward, ocr_reward


@dataclass(frozen=True, slots=True)
class SightJudge:
    """See the module."""

    sight: Sight

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        answer = final_answer(case.outcome.text) if case.outcome.finished else ""
        parts = {"near": near(self.sight, answer), "right": float(is_right(self.sight, answer))}
        called = {"called": float(_has_called(case))}
        return Verdict(worth(self.sight, parts), parts | called, {"answer": answer, "truth": self.sight.answer})


def _has_called(case: Case) -> bool:
    """Whether the image tool was called by its name; calls of tools that do not exist do not count."""
    if case.trajectory is None:
        return case.outcome.steps > 0
    return any(event.kind == "tool" and event.data.get("name") == TOOL.name for event in case.trajectory.events)


def near(sight: Sight, answer: str) -> float:
    """How near an answer comes."""
    match sight.scoring:
        case "count":
            number = read_number(answer)
            whole = number is not None and number.is_integer() and 0 <= number < 1000
            return counting_reward(int(number), int(sight.answer)) if whole and number is not None else 0.0
        case "box":
            return grounding_reward(answer, read_boxes(sight.answer).found)
        case "word" if sight.kind == "print":
            return ocr_reward(answer, sight.answer)
        case _:
            return max(0.0, 1.0 - off(sight, answer))


def worth(sight: Sight, parts: dict[str, float]) -> float:
    """The reward."""
    halves = sight.scoring in ("count", "number", "angle")
    return (parts["near"] + parts["right"]) / 2 if halves else parts["near"]
