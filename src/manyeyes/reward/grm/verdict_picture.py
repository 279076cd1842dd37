"""Pairs with pictures: a question about a drawn picture, and two rendered artefacts of which one is broken.

    discs_counted     the right count of the discs of a colour, and another: the picture belongs to the task
    chart_drawn       a tidy bar chart, and the same with bars over labels or out of the frame: the works are pictures

Report: §4.4.2 (multimodal trajectories, aesthetics of artefacts); the pictures are ours.
"""

import hashlib

import numpy as np
from PIL import Image, ImageDraw

from manyeyes.core.messages import ImagePart, TextPart
from manyeyes.core.picture import Picture
from manyeyes.reward.grm.verdict_pair import Draw, MakePair, VerdictPair

SIDE = 224
CELLS = 5
COLOURS = {"red": (214, 40, 40), "blue": (35, 87, 204), "green": (36, 150, 70)}
INK = (40, 40, 48)


def discs_counted(draw: Draw) -> VerdictPair:
    """How many discs of a colour are there?"""
    colour = str(draw.choice(list(COLOURS)))
    names = [str(name) for name in draw.choice(list(COLOURS), int(draw.integers(5, 16)))]
    count = names.count(colour)
    wrong = count + int(draw.choice([1, 2] if count < 2 else [-2, -1, 1, 2]))
    right, other = (TextPart(f"There are {n} {colour} discs.") for n in (count, wrong))
    picture = _discs(draw, names)
    content = hashlib.blake2b(picture.pixels().tobytes(), digest_size=16).hexdigest()
    task = (TextPart(f"How many {colour} discs are in the picture?"), ImagePart(picture))
    return VerdictPair("chat", "image", "helpfulness", content, task, (right,), (other,))


def chart_drawn(draw: Draw) -> VerdictPair:
    """Two renderings of one bar chart."""
    values = [int(value) for value in draw.integers(20, 100, int(draw.integers(3, 7)))]
    content = ", ".join(map(str, values))
    task = (TextPart(f"Draw a bar chart of {content}, with each value above its bar."),)
    tidy, broken = _chart(values, 1.0, 0), _chart(values, float(draw.choice([1.6, 2.0])), int(draw.integers(14, 30)))
    return VerdictPair("artefact", "image", "aesthetics", content, task, (ImagePart(tidy),), (ImagePart(broken),))


PICTURE_PAIRS: tuple[MakePair, ...] = (discs_counted, chart_drawn)


def _discs(draw: Draw, names: list[str]) -> Picture:
    image = Image.new("RGB", (SIDE, SIDE), (250, 250, 247))
    pen, cell = ImageDraw.Draw(image), SIDE / CELLS
    for name, place in zip(names, draw.permutation(CELLS * CELLS), strict=False):
        x, y, radius = (place % CELLS + 0.5) * cell, (place // CELLS + 0.5) * cell, cell * draw.uniform(0.25, 0.4)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=COLOURS[name])
    return Picture.of(np.asarray(image))


def _chart(values: list[int], stretch: float, sunk: int) -> Picture:
    """Bars with their values; `stretch` makes them higher than the frame, `sunk` lets the labels into them."""
    image = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    pen, width = ImageDraw.Draw(image), (SIDE - 40) / len(values)
    pen.line([(20, SIDE - 24), (SIDE - 12, SIDE - 24)], fill=INK, width=2)
    for at, value in enumerate(values):
        left, top = 24 + at * width, SIDE - 24 - value * 1.6 * stretch
        pen.rectangle([left, top, left + width * (0.7 if stretch == 1 else 1.1), SIDE - 25], fill=COLOURS["blue"])
        pen.text((left + 4, top - 14 + sunk), str(value), fill=INK)
    return Picture.of(np.asarray(image))
