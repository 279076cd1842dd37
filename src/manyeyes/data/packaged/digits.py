"""Handwritten digits of 43 people: single ones, and strings put together from them, to be read aloud digit by digit.

The scans are 8x8 with 17 grey levels (UCI "Optical Recognition of Handwritten Digits"); they are shown enlarged. A
string is drawn from a named stream, with its own scale, spacing and slope, from scans of its split only, so the
handwriting in the test split was never seen in training.

Source: scikit-learn 1.9.1, `digits.csv.gz` (BSD-3; data CC-BY-4.0). Report: App. B.3 (OCR).
"""

import csv
import functools
import gzip
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manyeyes.core import seeds
from manyeyes.core.media import Picture
from manyeyes.data.collection import Domain, Split
from manyeyes.data.held_out import split_of
from manyeyes.data.packages import SCIKIT_LEARN
from manyeyes.data.phrasing import READ_NUMBER
from manyeyes.data.record import OF_PRINT, Record, Shown, Turn


def scans(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Grey pictures uint8 [N, 8, 8] (ink 255) and what they show, int64 [N]; a tenth is held out."""
    text = gzip.decompress((SCIKIT_LEARN.folder() / "datasets" / "data" / "digits.csv.gz").read_bytes()).decode()
    rows = [row for row in csv.reader(io.StringIO(text)) if split_of("digits/" + ",".join(row), per_mille=100) == split]
    table = np.array(rows, np.float64).astype(np.int64)
    return (table[:, :64] * 255 // 16).astype(np.uint8).reshape(-1, 8, 8), table[:, 64]


class Digits:
    """One scan a record, 32x32 pixels."""

    name = "digits"
    domain: Domain = "vision"
    kind = "ocr"

    def __init__(self, split: Split) -> None:
        self._split = split
        self._scans, self._labels = scans(split)

    def __len__(self) -> int:
        return len(self._labels)

    def record(self, index: int) -> Record:
        """The scan and its digit."""
        picture = Picture.lazy(32, 32, functools.partial(_enlarged, self._scans[index]))
        return _reading(f"digits/{self._split}/{index}", picture, str(self._labels[index]))


class DigitStrings:
    """Strings of scans in a row on one line, 32 pixels high.

    Args:
        split: whose scans are used.
        count: number of strings.
        seed: of the named stream that composes them.
        digits: how long a string may be, and how often (weights).
    """

    name = "digit_strings"
    domain: Domain = "vision"
    kind = "ocr"

    def __init__(
        self,
        split: Split,
        *,
        count: int = 20_000,
        seed: int = 0,
        digits: tuple[tuple[int, float], ...] = ((2, 0.2), (3, 0.6), (4, 0.1), (5, 0.1)),
    ) -> None:
        self._split, self._count, self._seed = split, count, seed
        self._lengths = [length for length, _ in digits]
        weights = np.array([weight for _, weight in digits])
        self._shares = np.cumsum(weights / weights.sum())
        self._scans, self._labels = scans(split)

    def __len__(self) -> int:
        return self._count

    def record(self, index: int) -> Record:
        """The string; width is about 22 pixels a digit."""
        rng = seeds.stream(self._seed, f"data/digit_strings/{self._split}", index)
        which = min(int(np.searchsorted(self._shares, rng.random(), side="right")), len(self._lengths) - 1)
        chosen = rng.integers(len(self._labels), size=self._lengths[which])
        spots = rng.random((len(chosen), 3))
        width = -(-(22 * len(chosen) + 10) // 16) * 16
        picture = Picture.lazy(width, 32, functools.partial(_composed, self._scans[chosen], spots, width))
        return _reading(f"digit_strings/{self._split}/{index}", picture, "".join(map(str, self._labels[chosen])))


def _reading(name: str, picture: Picture, digits: str) -> Record:
    turns = (Turn("user", (Shown(0), READ_NUMBER[0])), Turn("assistant", (digits,)))
    return Record(name, turns, (picture,), allowed=OF_PRINT - {"scale"}, truth=digits)


def _enlarged(scan: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Black ink on white paper, 24x24 in the middle of 32x32."""
    return _on_paper([(scan, 24, 4, 4)], 32)


def _composed(scans_N88: NDArray[np.uint8], spots: NDArray[np.float64], width: int) -> NDArray[np.uint8]:
    start = (width - 22 * len(scans_N88)) / 2
    glyphs = []
    for place, (scan, (size, across, down)) in enumerate(zip(scans_N88, spots.tolist(), strict=True)):
        side = round(20 + 6 * size)
        left = round(start + 22 * place + (22 - side) / 2 + 2 * (across - 0.5))
        glyphs.append((scan, side, max(left, 0), round((32 - side) * down)))
    return _on_paper(glyphs, width)


def _on_paper(glyphs: list[tuple[NDArray[np.uint8], int, int, int]], width: int) -> NDArray[np.uint8]:
    """Each glyph: scan, side in pixels, left, top. Where two overlap the darker wins."""
    ink = np.zeros((32, width), np.uint8)
    for scan, side, left, top in glyphs:
        drawn = np.asarray(Image.fromarray(scan).resize((side, side), Image.Resampling.BICUBIC))
        space = ink[top : top + side, left : left + side]
        np.maximum(space, drawn[: space.shape[0], : space.shape[1]], out=space)
    return np.repeat((255 - ink)[:, :, None], 3, axis=2)
