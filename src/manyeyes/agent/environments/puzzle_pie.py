"""A pie chart: what share of the whole does one sector have?

The shares are not written in the picture: they have to be measured. An answer counts when it is not more than one
percentage point off, which pixels are good enough for and eyes are not.

Report: Fig. 12 (segmentation by colour, computed shares).
"""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from manyeyes.agent.environments.puzzle import Puzzle, checked_level, colour, png, read_number
from manyeyes.core.seeds import stream

COLOURS = {
    "red": (214, 39, 40), "blue": (31, 119, 180), "green": (44, 160, 44), "orange": (255, 127, 14),
    "purple": (148, 103, 189), "brown": (140, 86, 75), "pink": (247, 150, 205), "gray": (127, 127, 127),
    "cyan": (23, 190, 207), "yellow": (240, 220, 40),
}  # fmt: skip
SMALLEST = 0.03
"""Share of a sector, at least."""
TOLERANCE = 1.0
"""Percentage points."""
FINER = 4
"""Times that it is drawn larger, for smooth edges."""

QUESTION = (
    "The picture shows a pie chart. What share of the whole pie does the {name} part have, in percent? Measure it; an "
    "answer that is more than one percentage point off is wrong. End with a line of this form:\nAnswer: <percent>"
)


def pie_puzzle(level: int, seed: int) -> Puzzle:
    """A pie of 3 to 8 sectors; from level 3 on some are rings.

    Raises:
        ConfigError: there is no such level.
    """
    rng = stream(seed, "environments/pie", checked_level(level))
    count = int(rng.integers(2 + level, 4 + level))
    shares = SMALLEST + (1 - SMALLEST * count) * rng.dirichlet(np.ones(count))
    names = [list(COLOURS)[i] for i in rng.permutation(len(COLOURS))[:count]]
    hole = float(rng.uniform(0.3, 0.6)) if level >= 3 and rng.random() < 0.5 else 0.0
    asked = int(rng.integers(count))
    percent = 100 * float(shares[asked])

    @cache
    def draw() -> bytes:
        return png(drawn(stream(seed, "environments/pie/picture", level), shares, names, hole))

    question, solution = QUESTION.format(name=names[asked]), f"{percent:.2f}"
    return Puzzle(question, {"pie.png": draw}, lambda answer: _score(answer, percent), {"share": 1.0}, solution)


def _score(answer: str, percent: float) -> dict[str, float]:
    """The reward "share" is 1 within the tolerance; "near" falls from 1 to 0 over ten points and is only measured."""
    number = read_number(answer)
    if number is None:
        return {"share": 0.0, "near": 0.0}
    off = abs(number - percent)
    return {"share": float(off <= TOLERANCE), "near": max(0.0, 1 - off / 10)}


def drawn(rng: np.random.Generator, shares: np.ndarray, names: list[str], hole: float) -> Image.Image:
    """The picture."""
    side, radius = int(rng.integers(360, 641)), float(rng.uniform(0.3, 0.42))
    background, big = colour(rng, 245, 255), side * FINER
    image = Image.new("RGB", (big, big), background)
    draw = ImageDraw.Draw(image)
    x, y = (big * float(rng.uniform(radius + 0.03, 0.97 - radius)) for _ in range(2))
    reach, begin = radius * big, float(rng.uniform(0, 360))
    for share, name in zip(shares, names, strict=True):
        end = begin + 360 * float(share)
        draw.pieslice((x - reach, y - reach, x + reach, y + reach), begin, end, fill=COLOURS[name])
        begin = end
    if hole:
        inner = hole * reach
        draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=background)
    return image.resize((side, side), Image.Resampling.LANCZOS)
