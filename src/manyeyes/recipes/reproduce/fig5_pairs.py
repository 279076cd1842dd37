"""Pairs of answers to the same problem, of a model that learned under budgets and of one that did not.

Families have few distinct questions of their easier levels, so the same one is asked more than once, by other ids. The
interval over pairs counts a question (of a seed) once, however often it was asked.

Report: §4.4.2, Figure 5.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from manyeyes.recipes.reproduce.post_attempts import Attempt, accuracy_within, pairs
from manyeyes.recipes.reproduce.post_findings import of_clusters, points
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.verdict import Difference, paired

WITH, WITHOUT, BEFORE = "with Toggle", "without", "before RL"
SIDES = ((0, WITHOUT), (1, WITH))
CAPS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
"""Tokens under which accuracy is read; the last is where answers are cut off (`tiny_places.THOUGHT_TOKENS`)."""
Found = Mapping[tuple[str, str], Attempt]
"""Attempts of one model by place and task."""
Asked = Mapping[str, Sequence[Found]]
"""Arm → seed → attempts."""


class Question(NamedTuple):
    """What a task asks.

    Attributes:
        words: of the problem.
        level: of difficulty.
    """

    words: str
    level: int


def questions_of(works: Sequence[Measuring]) -> dict[str, Question]:
    """By the id of the task; `thoughts` names family and level in it."""
    tasks = [task for work in works for own in work.tasks().values() for task in own]
    return {task.id: Question(str(task.prompt), int(task.id.split("/")[2])) for task in tasks}


def compare(
    asked: Asked, questions: Mapping[str, Question], keep: Callable[[Attempt], bool] = lambda one: True
) -> dict[str, Any]:
    """Both arms: every pair of answers to the same problem, all seeds.

    Args:
        keep: which attempts count, by their place and task.
    """
    kept = {arm: [_kept(found, keep) for found in seeds] for arm, seeds in asked.items()}
    found = [pairs(a, b) for a, b in zip(kept[WITHOUT], kept[WITH], strict=True)]
    single = [(seed, a, b) for seed, own in enumerate(found) for a, b in own]
    clusters = [(seed, a.place, questions[a.task_id].words) for seed, a, _ in single]
    items = of_clusters([float(b.right) - float(a.right) for _, a, b in single], clusters)
    tokens = {arm: [mean(one[side].tokens for one in own) for own in found] for side, arm in SIDES}
    return {
        "pairs": len(single),
        "questions": len({cluster[1:] for cluster in clusters}),
        "accuracy": {arm: [mean(one[side].right for one in own) for own in found] for side, arm in SIDES},
        "tokens": tokens,
        "saved": [1 - b / a for a, b in zip(tokens[WITHOUT], tokens[WITH], strict=True)],
        "items": {"mean": items.mean, "low": items.low, "high": items.high, "clusters": items.seeds},
        "before": {
            "accuracy": [mean(one.right for one in own.values()) for own in kept[BEFORE]],
            "tokens": [mean(one.tokens for one in own.values()) for own in kept[BEFORE]],
        },
    }


def over_questions(one: Mapping[str, Any]) -> Difference:
    """The difference in accuracy over pairs, a question of a seed counted once."""
    return Difference(*(one["items"][name] for name in ("mean", "low", "high", "clusters")))


def by_seed(one: Mapping[str, Any]) -> str:
    """The difference in accuracy, paired by seed."""
    return points(paired(one["accuracy"][WITH], one["accuracy"][WITHOUT]))


def _kept(found: Found, keep: Callable[[Attempt], bool]) -> Found:
    return {key: one for key, one in found.items() if one.reward is not None and keep(one)}


def under_caps(seeds: Sequence[Found]) -> dict[str, list[float]]:
    """Accuracy within each number of tokens, one a seed."""
    judged = [[one for one in found.values() if one.reward is not None] for found in seeds]
    return {str(cap): [round(accuracy_within(one, cap), 4) for one in judged] for cap in CAPS}
