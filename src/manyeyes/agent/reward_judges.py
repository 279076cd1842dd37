"""Judges by name over the rewards of `reward`: mathematics, multiple choice, JSON, puzzles that a model checks.

    registry.judge("maths")                              owns processes: close it, or use it as a context manager
    registry.judge("choice", options=4)                  the truth: a letter, or {"right": "B", "options": [...]}
    registry.judge("json")                               the same value; F1 over its leaves is measured beside it
    registry.judge("puzzle_verifier", model=chat)        a chat model compares with the known solution

Each names a part `right`. What the answer does wrong is 0; a truth that is none is the environment's mistake.

Report: §4.4.2 (rule-based outcome rewards; visual puzzles verified by a language model); the truths' forms are ours.
"""

import json
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ChatModel, Sampling
from manyeyes.agent.grm_judge import grader
from manyeyes.agent.judge import Case, Rewards, Verdict, Weighted
from manyeyes.agent.reference import reference_of
from manyeyes.agent.right_part import RIGHT
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import TextPart
from manyeyes.reward.choices import choice_reward
from manyeyes.reward.json_answer import json_f1, json_reward
from manyeyes.reward.judge import Ask
from manyeyes.reward.maths import maths_reward
from manyeyes.reward.maths_verifier import MathsVerifier
from manyeyes.reward.puzzle_verifier import verified_puzzle


class Maths:
    """Whether the final answer is the number or the expression that the truth is; an async context manager.

    Numbers need no process. The first question that takes algebra starts one, which lives until `close`, or until this
    process ends. Belongs to one event loop at a time.

    Args:
        most, cpu_seconds, wall_seconds: see `MathsVerifier`.
    """

    def __init__(self, *, most: int = 1, cpu_seconds: float = 5.0, wall_seconds: float = 120.0) -> None:
        self.verifier = MathsVerifier(most=most, cpu_seconds=cpu_seconds, wall_seconds=wall_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`.

        Raises:
            ConfigError: the truth is neither text nor a number, or math-verify is needed and not installed.
            DataError: the truth is no expression.
        """
        truth = solution_of(case)
        right = await maths_reward(case.outcome.text, truth, verifier=self.verifier)
        return Verdict(right, {RIGHT: right})

    async def close(self) -> None:
        """End its processes; it can be asked again."""
        await self.verifier.__aexit__()


def choice(*, options: int | Sequence[str] = 4) -> Rewards:
    """A judge for multiple choice.

    Args:
        options: how many there are, or what they say, where a task's truth is a letter alone.
    """

    def right(case: Case) -> float:
        letter, offered = _choice(case, options)
        return choice_reward(case.outcome.text, letter, offered)

    return Rewards(right=right)


def json_value() -> Rewards:
    """A judge for answers that are JSON; the part "f1" is measured and not rewarded."""
    return Rewards(
        right=lambda case: json_reward(case.outcome.text, _json(case)),
        f1=Weighted(lambda case: json_f1(case.outcome.text, _json(case)), 0.0),
    )


def solution_of(case: Case) -> str:
    """The truth of a task, where it is text or a number.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(truth := case.task.truth, list | tuple) or not (said := reference_of(truth)):
        raise ConfigError(f"the task {case.task.id!r} needs text or one number as its truth, got {truth!r}")
    return said


@dataclass(frozen=True, slots=True)
class PuzzleVerifier:
    """A chat model that says whether an answer agrees with the known solution.

    Attributes:
        model: who is asked; it is shown no picture.
        votes: how often; an odd number.
        solution: of a case; an environment whose truth is a seed says it here (`puzzle_of(case.task).solution`).
        sampling: how it is asked.
        seed: of the mark that quotes the answer.
    """

    model: ChatModel
    votes: int = 1
    solution: Callable[[Case], str] = solution_of
    sampling: Sampling = DEFAULT_SAMPLING
    seed: int = 0

    def __post_init__(self) -> None:
        if self.votes < 1 or self.votes % 2 == 0:
            raise ConfigError(f"a puzzle's verifier needs an odd number of votes, got {self.votes}")

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`.

        Raises:
            JudgeFailed: no reply held a verdict.
            ModelError: the model did not answer.
        """
        right = await verified_puzzle(
            case.outcome.text, puzzle=case.task.prompt, solution=self.solution(case),
            ask=asking(self.model, self.sampling), votes=self.votes, seed=self.seed, name=case.task.id,
        )  # fmt: skip
        return Verdict(right, {RIGHT: right})


def asking(model: ChatModel, sampling: Sampling = DEFAULT_SAMPLING) -> Ask:
    """A chat model as the scorers of `reward` ask it: text in, text out."""
    grade = grader(model, sampling)

    async def ask(prompt: str) -> str:
        return await grade((TextPart(prompt),))

    return ask


def _choice(case: Case, options: int | Sequence[str]) -> tuple[str, int | Sequence[str]]:
    truth = case.task.truth
    if isinstance(truth, dict) and truth.keys() == {"right", "options"}:
        truth, options = truth["right"], truth["options"]
    count = options if isinstance(options, int) else len(options) if isinstance(options, list | tuple) else 0
    if not isinstance(truth, str) or not 2 <= count <= len(string.ascii_uppercase):
        raise ConfigError(
            f"the task {case.task.id!r} needs a letter as its truth, or a letter and 2 to 26 options, as in "
            f'{{"right": "B", "options": ["one", "two"]}}, got {case.task.truth!r} and {count} options'
        )
    return truth, options


def _json(case: Case) -> Any:
    """The truth as JSON has it: tuples are lists there."""
    try:
        if case.task.truth is not None:
            return json.loads(json.dumps(case.task.truth, allow_nan=False))
    except (TypeError, ValueError):
        pass
    raise ConfigError(f"the task {case.task.id!r} needs a JSON value as its truth, got {case.task.truth!r}")
