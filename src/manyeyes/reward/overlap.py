"""How far two regions of a picture agree: boxes, polygons and masks.

IoU = area(A ∩ B) / area(A ∪ B). Two empty regions agree (1); an empty and a non-empty one do not (0).
A pixel belongs to a polygon by the even-odd rule. Rasterising and run-length codes are COCO's (pycocotools), so masks
mean the same here as in the public benchmarks; `polygon_iou` is the exact value without pixels.

Shapes: P predicted, G true, K points of a polygon, coordinates x to the right and y down.
"""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from pycocotools import mask

from manyeyes.core.coordinates import Floats, to_pixels

coco: Any = mask  # its published types are narrower than what it takes


class Rle(TypedDict):
    """A mask as COCO's compressed run lengths: size (height, width) and an ASCII string."""

    size: list[int]
    counts: str


def box_iou(boxes_P4: ArrayLike, boxes_G4: ArrayLike) -> Floats:
    """IoU of every pair of boxes (left, top, right, bottom): [P, G].

    Example:
        >>> box_iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2]]).round(3).tolist()
        [[1.0, 0.333]]
    """
    p_P14 = np.asarray(boxes_P4, float).reshape(-1, 1, 4)
    g_1G4 = np.asarray(boxes_G4, float).reshape(1, -1, 4)
    sides = np.minimum(p_P14[..., 2:], g_1G4[..., 2:]) - np.maximum(p_P14[..., :2], g_1G4[..., :2])
    shared_PG = sides.clip(min=0).prod(axis=-1)
    union_PG = _area(p_P14) + _area(g_1G4) - shared_PG
    return np.divide(shared_PG, union_PG, out=np.zeros_like(shared_PG), where=union_PG > 0)


def polygon_iou(polygon_K2: ArrayLike, other_K2: ArrayLike) -> float:
    """Exact IoU of two simple polygons. One whose edges cross is a ValueError: compare such in `rle_iou`."""
    one, other = (shapely.Polygon(np.asarray(points_K2, float)) for points_K2 in (polygon_K2, other_K2))
    if not (one.is_valid and other.is_valid):
        raise ValueError("expected simple polygons, the edges of one cross or have no area; rasterise them instead")
    return float(one.intersection(other).area / one.union(other).area)


def mask_iou(mask_HW: NDArray[np.bool_], other_HW: NDArray[np.bool_]) -> float:
    """IoU of two masks of one size."""
    if mask_HW.shape != other_HW.shape:
        raise ValueError(f"expected masks of one size, got {mask_HW.shape} and {other_HW.shape}")
    union = np.count_nonzero(mask_HW | other_HW)
    return float(np.count_nonzero(mask_HW & other_HW) / union) if union else 1.0


def rasterise(polygons: Sequence[ArrayLike], *, width: int, height: int) -> NDArray[np.bool_]:
    """The mask [height, width] that polygons of fractions (0 to 1) cover together."""
    return read_rle(contours_rle(polygons, width=width, height=height))


def contours_rle(polygons: Sequence[ArrayLike], *, width: int, height: int) -> Rle:
    """Run-length code of what closed contours of fractions (0 to 1) cover together.

    Example:
        >>> contours_rle([[(0, 0), (0.5, 0), (0.5, 1), (0, 1)]], width=4, height=2)
        {'size': [2, 4], 'counts': '044'}
    """
    outlines = [to_pixels(np.clip(points, 0, 1), width=width, height=height).ravel().tolist() for points in polygons]
    if any(len(outline) < 6 for outline in outlines):
        raise ValueError("a polygon needs at least three points")
    if not outlines:
        return write_rle(np.zeros((height, width), bool))
    return _ascii(coco.merge(coco.frPyObjects(outlines, height, width)))


def write_rle(mask_HW: NDArray[np.bool_]) -> Rle:
    """Run-length code of a mask."""
    return _ascii(coco.encode(np.asfortranarray(mask_HW, dtype=np.uint8)))


def read_rle(rle: Rle) -> NDArray[np.bool_]:
    """The mask of a run-length code."""
    return np.asarray(coco.decode({"size": rle["size"], "counts": rle["counts"].encode()}), bool)


def rle_iou(rle: Rle, other: Rle) -> float:
    """IoU of two coded masks of one size, without decoding them."""
    one, two = ({"size": code["size"], "counts": code["counts"].encode()} for code in (rle, other))
    if not (coco.area(one) or coco.area(two)):
        return 1.0
    return float(coco.iou([one], [two], [0])[0, 0])


def _area(boxes: Floats) -> Floats:
    return (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1)


def _ascii(code: dict) -> Rle:
    return Rle(size=[int(side) for side in code["size"]], counts=code["counts"].decode())
