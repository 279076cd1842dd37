"""How many rewards a second does one core compute?

    python benchmarks/rewards.py [--answers 2000] [--rounds 5] [--out benchmarks/results/rewards.json]

Answers as models write them (a sentence with 1 to 10 shapes, moved a little from the truth, some missing, some too
many), read from text and scored. CPU time of this process, the best of the rounds, so that a busy machine matters
little. Beside it the same rewards over arrays and scipy's solver alone, which is what plain Python replaces for small
answers. Half a minute.
"""

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from manyeyes.core.coordinates import read_boxes, read_points, write_box, write_point, write_polygon
from manyeyes.reward.choices import choice_reward
from manyeyes.reward.grm.fakes import RuleGrader
from manyeyes.reward.grm.generative_reward import GenerativeReward
from manyeyes.reward.grm.question import Work
from manyeyes.reward.length import k15_length_rewards
from manyeyes.reward.maths import maths_value
from manyeyes.reward.overlap import box_iou
from manyeyes.reward.vision import (
    counting_reward,
    grounding_rewards,
    ocr_reward,
    point_similarity,
    pointing_rewards,
    segmentation_reward,
    soft_f1,
)

POINT_SIGMA = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/rewards.json"))
    given = parser.parse_args()
    rows = [row(name, answers, work, given.rounds) for name, answers, work in cases(given.answers)]
    print("\n".join(f"{one['reward']:<58} {one['rewards_per_second']:>10,.0f} /s" for one in rows))
    found = {"question": "rewards a second on one core", "python": platform.python_version(), "results": rows}
    given.out.write_text(json.dumps(found, indent=2) + "\n")


def row(name: str, answers: int, work: Callable[[], Any], rounds: int) -> dict[str, Any]:
    best = min(cpu_seconds(work) for _ in range(rounds))
    return {
        "reward": name,
        "answers": answers,
        "rewards_per_second": answers / best,
        "microseconds": best / answers * 1e6,
    }


def cpu_seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def cases(n: int) -> list[tuple[str, int, Callable[[], Any]]]:
    draw = np.random.default_rng(0)
    found: list[tuple[str, int, Callable[[], Any]]] = []
    for label, least, most in (("1 to 10", 1, 10), ("1", 1, 1), ("10", 10, 10)):
        counts = draw.integers(least, most + 1, n)
        boxes, points = [some_boxes(draw, k) for k in counts], [draw.random((k, 2)) for k in counts]
        said_boxes = [said(draw, b, write_box) for b in boxes]
        said_points = [said(draw, p, write_point) for p in points]
        found.append((f"boxes, {label} an answer", n, lambda a=said_boxes, t=boxes: grounding_rewards(a, t)))
        found.append((f"points, {label} an answer", n, lambda a=said_points, t=points: pointing_rewards(a, t)))
        if label == "1 to 10":
            found.append(
                ("boxes, 1 to 10, by arrays and scipy alone", n, lambda a=said_boxes, t=boxes: by_arrays(a, t))
            )
            found.append(
                ("points, 1 to 10, by arrays and scipy alone", n, lambda a=said_points, t=points: by_points(a, t))
            )
    crowd = some_boxes(draw, 100)
    hostile = " ".join(map(write_box, np.tile(crowd, (1000, 1))))
    found.append(("boxes, a hostile answer of 100,000 against 100", 1, lambda: grounding_rewards([hostile], [crowd])))
    star = np.array([(0.1, 0.1), (0.9, 0.2), (0.7, 0.9), (0.3, 0.6)])
    some, moved = max(1, n // 10), write_polygon(star + 0.01)
    found.append(
        ("polygons, 640 x 480", some, lambda: repeat(some, segmentation_reward, moved, [star], size=(640, 480)))
    )
    text = "The quick brown fox jumps over the lazy dog. " * 10
    found.append(("OCR, 450 characters", n, lambda: repeat(n, ocr_reward, text.replace("o", "0"), text)))
    found.append(("counting", n, lambda: repeat(n, counting_reward, "I count 12 of them.", 11)))
    found.append(("multiple choice", n, lambda: repeat(n, choice_reward, "I think it is (B).\nAnswer: B", "B", 4)))
    found.append(
        ("maths, numbers (no solver needed)", n, lambda: repeat(n, maths_value, r"so \boxed{\frac{1}{2}}", "0.5"))
    )
    lengths, correct = [100, 200, 300, 400, 500, 600, 700, 800], [True, False] * 4
    found.append(("length, K1.5, a group of 8", n, lambda: repeat(n, k15_length_rewards, lengths, correct)))
    found.append(("GRM, one work by two rubrics, without the model", some, lambda: asyncio.run(graded(some))))
    return found


async def graded(times: int) -> None:
    """All that is ours: drawing, quoting, asking, reading, the middle."""
    grm = GenerativeReward({"rule": RuleGrader(lambda criterion, work: 0.5)})
    work = Work.of("chat", "Write me a letter.", "Dear reader, " * 300)
    for at in range(times):
        await grm.score(work, name=f"letters/{at}")


def some_boxes(draw: np.random.Generator, count: int) -> np.ndarray:
    corner = draw.random((count, 2)) * 0.7
    return np.concatenate([corner, corner + 0.05 + 0.2 * draw.random((count, 2))], axis=1).round(3)


def said(draw: np.random.Generator, shapes: np.ndarray, write: Callable[[Any], str]) -> str:
    """Moved by a hundredth, one in eight left out, one in eight said twice."""
    moved = (shapes + draw.normal(0, 0.01, shapes.shape)).clip(0, 1)
    times = draw.choice([0, 1, 1, 1, 1, 1, 1, 2], len(shapes))
    return (
        "They are at " + ", ".join(write(shape) for shape, k in zip(moved, times, strict=True) for _ in range(k)) + "."
    )


def by_arrays(answers: list[str], truths: list[np.ndarray]) -> list[float]:
    read = [read_boxes(answer) for answer in answers]
    return [soft_f1(box_iou(r.found, t), invalid=r.invalid) for r, t in zip(read, truths, strict=True)]


def by_points(answers: list[str], truths: list[np.ndarray]) -> list[float]:
    read = [read_points(answer) for answer in answers]
    tables = [point_similarity(r.found, t, size=(1, 1), sigma=POINT_SIGMA) for r, t in zip(read, truths, strict=True)]
    return [soft_f1(table, invalid=r.invalid) for table, r in zip(tables, read, strict=True)]


def repeat(times: int, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    for _ in range(times):
        function(*arguments, **named)


if __name__ == "__main__":
    main()
