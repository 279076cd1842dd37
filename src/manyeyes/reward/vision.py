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

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from rapidfuzz.distance import Levenshtein
from scipy.optimize import linear_sum_assignment

from manyeyes.core.coordinates import Floats, read_boxes, read_points, read_polygons, to_pixels
from manyeyes.reward.answers import read_count
from manyeyes.reward.overlap import box_iou, contours_rle, rle_iou

POINT_SIGMA = 0.05
"""Distance, as a fraction of the picture's diagonal, at which a point is worth exp(-1/2) = 0.61."""


class Match(NamedTuple):
    """One pair of a matching."""

    predicted: int
    true: int
    score: float


def grounding_reward(answer: str, boxes_G4: ArrayLike) -> float:
    """F1 with soft matches of the boxes in an answer against the true ones (fractions of the picture).

    Example:
        >>> grounding_reward("[0.0, 0.0, 0.5, 0.5]", [(0.0, 0.0, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)]).__round__(3)
        0.667
    """
    shapes = read_boxes(answer)
    return soft_f1(box_iou(shapes.found, boxes_G4), invalid=shapes.invalid)


def matched_iou(answer: str, boxes_G4: ArrayLike) -> float:
    """Mean IoU of the boxes over the best one-to-one matching; a missing or a superfluous box counts as 0.

    Example:
        >>> matched_iou("[0.0, 0.0, 0.5, 0.5]", [(0.0, 0.0, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)])
        0.5
    """
    shapes = read_boxes(answer)
    iou_PG = box_iou(shapes.found, boxes_G4)
    n_predicted, n_true = iou_PG.shape
    pairs = max(n_predicted + shapes.invalid, n_true)
    return sum(match.score for match in best_matching(iou_PG)) / pairs if pairs else 1.0


def grounding_f1(answer: str, boxes_G4: ArrayLike, *, threshold: float = 0.5) -> float:
    """F1 where a match counts fully when its IoU reaches the threshold (the usual IoU@0.5), else not at all."""
    shapes = read_boxes(answer)
    hits_PG = box_iou(shapes.found, boxes_G4) >= threshold
    return soft_f1(hits_PG.astype(float), invalid=shapes.invalid)


def pointing_reward(
    answer: str, points_G2: ArrayLike, *, size: tuple[int, int] = (1, 1), sigma: float = POINT_SIGMA
) -> float:
    """F1 with Gaussian-weighted matches of the points in an answer against the true ones (fractions).

    Args:
        answer: the model's text.
        points_G2: true points (x, y).
        size: (width, height) of the picture; only their ratio matters.
        sigma: see `POINT_SIGMA`.
    """
    shapes = read_points(answer)
    return soft_f1(point_similarity(shapes.found, points_G2, size=size, sigma=sigma), invalid=shapes.invalid)


def segmentation_reward(answer: str, polygons: Sequence[ArrayLike], *, size: tuple[int, int]) -> float:
    """IoU of the mask that the polygons in an answer cover with the mask that the true ones cover.

    Args:
        answer: the model's text.
        polygons: true contours of fractions, each [K, 2].
        size: (width, height) in pixels at which both are rasterised.
    """
    read = read_polygons(answer)
    if read.invalid:
        return 0.0
    width, height = size
    predicted, true = (contours_rle(shapes, width=width, height=height) for shapes in (read.found, polygons))
    return rle_iou(predicted, true)


def ocr_reward(answer: str, truth: str) -> float:
    """1 - edit distance / length of the longer text, in characters; NFKC and runs of blanks as one. Case counts.

    Example:
        >>> ocr_reward("kitten", "sitting").__round__(3)
        0.571
    """
    return Levenshtein.normalized_similarity(_reading_form(answer), _reading_form(truth))


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


def soft_f1(similarity_PG: Floats, *, invalid: int = 0) -> float:
    """F1 with soft true positives: tp = Σ over the best matching, 2·tp / (P + G); nothing against nothing is 1.

    Args:
        similarity_PG: from 0 to 1 for every pair.
        invalid: predictions beyond P that match nothing.
    """
    n_predicted, n_true = similarity_PG.shape
    shapes = n_predicted + invalid + n_true
    return 2 * sum(match.score for match in best_matching(similarity_PG)) / shapes if shapes else 1.0


def best_matching(similarity_PG: Floats) -> list[Match]:
    """The one-to-one matching with the greatest sum, in order of the predictions."""
    rows, columns = linear_sum_assignment(similarity_PG, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [Match(row, column, float(similarity_PG[row, column])) for row, column in pairs]


def _reading_form(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
