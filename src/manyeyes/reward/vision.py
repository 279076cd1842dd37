"""The vision rewards of the report, each from 0 to 1 and 1 only for a perfect answer; evaluation uses the same ones.

    grounding       F1 = 2·Σ IoU / (P + G) over the best one-to-one matching of boxes
    pointing        the same with exp(-d² / 2σ²) of the distance d in place of IoU
    segmentation    IoU of the rasterised polygons
    OCR             1 - edit distance / length of the longer text
    counting        max(0, 1 - |predicted - true| / max(true, 1))

Report: §4.4.2 ("reward functions"), which names these but gives no constants. Open choices, decided here: σ is 5% of
the picture's diagonal; nothing predicted where nothing is true scores 1; shapes written with impossible numbers count
as wrong predictions (a polygon like that spoils its answer); the counting slope is relative to the true count.
Answers are text in the formats of `core.coordinates`. Shapes: P predicted, G true.
"""

import math
import unicodedata
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike
from rapidfuzz.distance import Levenshtein

from manyeyes.core.coordinates import Floats, read_polygons, to_pixels
from manyeyes.reward.answers import read_count
from manyeyes.reward.matching import Match, best_matching, best_sum, f1, soft_f1
from manyeyes.reward.overlap import box_iou, contours_rle, rle_iou
from manyeyes.reward.shape_text import Shape, Written, written_boxes, written_points

__all__ = [
    "Match", "best_matching", "counting_reward", "grounding_f1", "grounding_reward", "grounding_rewards", "matched_iou",
    "ocr_reward", "point_similarity", "pointing_reward", "pointing_rewards", "segmentation_reward", "soft_f1",
]  # fmt: skip

POINT_SIGMA = 0.05
"""Distance, as a fraction of the picture's diagonal, at which a point is worth exp(-1/2) = 0.61."""


SMALL = 128
"""Pairs up to which plain Python is faster than arrays (measured)."""
MOST_CORNERS = 20_000
"""Corners of all polygons of an answer; one with more scores 0."""
LONGEST_OUTLINE = 100
"""Outline of all polygons of an answer, in sums of the picture's sides; one with more scores 0."""


def grounding_reward(answer: str, boxes_G4: ArrayLike) -> float:
    """F1 with soft matches of the boxes in an answer against the true ones (fractions of the picture).

    Raises:
        ValueError: a true box is not of four finite numbers.

    Example:
        >>> grounding_reward("[0.0, 0.0, 0.5, 0.5]", [(0.0, 0.0, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)]).__round__(3)
        0.667
    """
    written, true = written_boxes(answer), _true_shapes(boxes_G4, 4)
    return f1(_matched_iou(written.shapes, true), _count(written), len(true))


def grounding_rewards(answers: Sequence[str], boxes: Sequence[ArrayLike]) -> Floats:
    """`grounding_reward` of many answers, each with its true boxes."""
    scores = (grounding_reward(answer, true) for answer, true in zip(answers, boxes, strict=True))
    return np.fromiter(scores, float, len(answers))


def matched_iou(answer: str, boxes_G4: ArrayLike) -> float:
    """Mean IoU of the boxes over the best one-to-one matching; a missing or a superfluous box counts as 0.

    Example:
        >>> matched_iou("[0.0, 0.0, 0.5, 0.5]", [(0.0, 0.0, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)])
        0.5
    """
    written, true = written_boxes(answer), _true_shapes(boxes_G4, 4)
    pairs = max(_count(written), len(true))
    return _matched_iou(written.shapes, true) / pairs if pairs else 1.0


def grounding_f1(answer: str, boxes_G4: ArrayLike, *, threshold: float = 0.5) -> float:
    """F1 where a match counts fully when its IoU reaches the threshold (the usual IoU@0.5), else not at all."""
    written = written_boxes(answer)
    hits_PG = box_iou(written.shapes, boxes_G4) >= threshold
    return soft_f1(hits_PG.astype(float), invalid=written.invalid)


def pointing_reward(
    answer: str, points_G2: ArrayLike, *, size: tuple[int, int] = (1, 1), sigma: float = POINT_SIGMA
) -> float:
    """F1 with Gaussian-weighted matches of the points in an answer against the true ones (fractions).

    Args:
        answer: the model's text.
        points_G2: true points (x, y).
        size: (width, height) of the picture; only their ratio matters.
        sigma: see `POINT_SIGMA`.

    Raises:
        ValueError: a true point is not of two finite numbers.
    """
    written, true = written_points(answer), _true_shapes(points_G2, 2)
    if len(written.shapes) * len(true) > SMALL:
        return soft_f1(point_similarity(written.shapes, true, size=size, sigma=sigma), invalid=written.invalid)
    similarity = _point_table(written.shapes, true, size=size, sigma=sigma)
    return f1(best_sum(similarity), _count(written), len(true))


def pointing_rewards(
    answers: Sequence[str],
    points: Sequence[ArrayLike],
    *,
    sizes: Sequence[tuple[int, int]] | None = None,
    sigma: float = POINT_SIGMA,
) -> Floats:
    """`pointing_reward` of many answers, each with its true points and the size of its picture (square if not told)."""
    shown = [(1, 1)] * len(answers) if sizes is None else sizes
    scores = (pointing_reward(a, p, size=s, sigma=sigma) for a, p, s in zip(answers, points, shown, strict=True))
    return np.fromiter(scores, float, len(answers))


def segmentation_reward(answer: str, polygons: Sequence[ArrayLike], *, size: tuple[int, int]) -> float:
    """IoU of the mask that the polygons in an answer cover with the mask that the true ones cover.

    Args:
        answer: the model's text.
        polygons: true contours of fractions, each [K, 2].
        size: (width, height) in pixels at which both are rasterised.
    """
    read = read_polygons(answer)
    width, height = size
    if read.invalid or _is_too_much(read.found, width, height):
        return 0.0
    predicted, true = (contours_rle(shapes, width=width, height=height) for shapes in (read.found, polygons))
    return rle_iou(predicted, true)


def ocr_reward(answer: str, truth: str) -> float:
    """1 - edit distance / length of the longer text, in characters; NFKC and runs of blanks as one. Case counts.

    Of an answer that is more than four times as long as the truth (and 1,000 characters), whose score is below 1/4
    whatever it says, the rest counts as so many edits without being compared: time is bounded by the truth's length.

    Example:
        >>> ocr_reward("kitten", "sitting").__round__(3)
        0.571
    """
    said, true = _reading_form(answer), _reading_form(truth)
    compared = said[: max(4 * len(true), 1000)]
    edits = Levenshtein.distance(compared, true) + len(said) - len(compared)
    return 1 - edits / max(len(said), len(true)) if said or true else 1.0


def counting_reward(answer: str | int, truth: int) -> float:
    """max(0, 1 - |predicted - true| / max(true, 1)); 0 where the answer names no number.

    Example:
        >>> counting_reward("about 9", 10), counting_reward(0, 0), counting_reward("none of these", 2)
        (0.9, 1.0, 0.0)
    """
    count = read_count(answer) if isinstance(answer, str) else answer
    return 0.0 if count is None else max(0.0, 1 - abs(count - truth) / max(truth, 1))


def point_similarity(points_P2: ArrayLike, points_G2: ArrayLike, *, size: tuple[int, int], sigma: float) -> Floats:
    """exp(-d² / 2σ²) of every pair of points, d as a fraction of the diagonal: [P, G]."""
    width, height = size
    p_P12 = to_pixels(np.reshape(points_P2, (-1, 1, 2)), width=width, height=height)
    g_1G2 = to_pixels(np.reshape(points_G2, (1, -1, 2)), width=width, height=height)
    squared_PG = ((p_P12 - g_1G2) ** 2).sum(axis=-1) / (width**2 + height**2)
    return np.exp(-squared_PG / (2 * sigma**2))


def _matched_iou(boxes: Sequence[Shape], true: Sequence[Shape]) -> float:
    """Sum of IoU over the best matching."""
    if len(boxes) * len(true) > SMALL:
        return sum(match.score for match in best_matching(box_iou(boxes, true)))
    return best_sum([[_iou(one, other) for other in true] for one in boxes])


def _iou(box: Shape, other: Shape) -> float:
    """`overlap.box_iou` of two boxes, in plain Python."""
    left, top, right, bottom = box
    left_b, top_b, right_b, bottom_b = other
    wide = (right if right < right_b else right_b) - (left if left > left_b else left_b)
    high = (bottom if bottom < bottom_b else bottom_b) - (top if top > top_b else top_b)
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / ((right - left) * (bottom - top) + (right_b - left_b) * (bottom_b - top_b) - shared)


def _point_table(
    points: Sequence[Shape], true: Sequence[Shape], *, size: tuple[int, int], sigma: float
) -> list[list[float]]:
    """`point_similarity` in plain Python."""
    width, height = size
    scale = -1 / (2 * sigma**2 * (width**2 + height**2))
    wide, high = scale * width**2, scale * height**2
    return [[math.exp((x - x_g) ** 2 * wide + (y - y_g) ** 2 * high) for x_g, y_g in true] for x, y in points]


def _true_shapes(shapes: ArrayLike, numbers: int) -> list[Shape]:
    """Rows of finite numbers."""
    given = shapes.tolist() if isinstance(shapes, np.ndarray) else cast(Sequence[Sequence[float]], shapes)
    rows = [tuple(map(float, row)) for row in given]
    if any(len(row) != numbers or not math.isfinite(math.fsum(row)) for row in rows):
        raise ValueError(f"true shapes must be rows of {numbers} finite numbers, got {shapes!r}; mend the record")
    return rows


def _is_too_much(polygons: Sequence[Floats], width: int, height: int) -> bool:
    """Whether rasterising would take long: time and memory grow with the outline, not with the number of corners."""
    if sum(map(len, polygons)) > MOST_CORNERS:
        return True
    edges = (np.abs(points - np.roll(points, 1, axis=0)) * (width, height) for points in polygons)
    return sum(float(edge.max(axis=1).sum()) for edge in edges) > LONGEST_OUTLINE * (width + height)


def _count(written: Written) -> int:
    return len(written.shapes) + written.invalid


def _reading_form(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
