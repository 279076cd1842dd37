"""Spot the difference: two pictures of one scene, of which the second was changed in a few places.

Things are painted over, moved, left out, added, or made larger or smaller. From level 3 on the second picture is a
little lighter or darker as a whole, with noise, so that not every pixel that differs is a difference.

Report: Fig. 12 (differences of pixels between two pictures).
"""

import re
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from manyeyes.agent.environments.puzzle import Puzzle, checked_level, colour, png
from manyeyes.core.coordinates import read_points, write_point
from manyeyes.core.seeds import stream
from manyeyes.reward.vision import best_matching

WIDTH, HEIGHT = 720, 540
GRID = (12, 9)
"""Places across and down, with at most one thing each."""
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
CHANGES = ("colour", "move", "remove", "add", "size")
NOISY = 3
"""Level from which on the second picture has noise."""
MARGIN = 0.01
"""Of the picture's sides: how far a point may lie outside of what changed."""

QUESTION = (
    "The two pictures show the same scene, but the second one was changed in a few places: things were painted in "
    "another colour, moved a little, left out, added, or made larger or smaller. A thing that was moved is one "
    "difference.{noise} How many differences are there, and where? Give the number and the middle of each difference, "
    "as fractions of the picture's width and height, to three decimals. End with a line of this form:\n"
    "Answer: <number>; (<x>, <y>), (<x>, <y>)"
)
NOISE = " A picture may be a little lighter or darker as a whole and have noise; that is no difference."

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of a scene: its middle and size in pixels."""

    shape: str
    x: float
    y: float
    size: float
    fill: tuple[int, int, int]

    @property
    def box(self) -> Box:
        """Around it, in pixels."""
        return self.x - self.size, self.y - self.size, self.x + self.size, self.y + self.size


def differences_puzzle(level: int, seed: int) -> Puzzle:
    """Two pictures with 2 to 14 differences.

    Raises:
        ConfigError: there is no such level.
    """
    rng = stream(seed, "environments/differences", checked_level(level))
    things = _scene(rng, 25 + 7 * level)
    count = int(rng.integers(level + 1, 2 * level + 5))
    changed, boxes = _changed(rng, things, count)
    ground, noisy = colour(rng, 205, 250), level >= NOISY

    @cache
    def first() -> bytes:
        return png(_drawn(list(things.values()), ground))

    @cache
    def second() -> bytes:
        image = _drawn(changed, ground)
        return png(_noisy(stream(seed, "environments/differences/noise", level), image) if noisy else image)

    middles = [((left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT) for left, top, right, bottom in boxes]
    solution = f"{count}; {', '.join(map(write_point, middles))}"
    question, weights = QUESTION.format(noise=NOISE if noisy else ""), {"places": 0.9, "count": 0.1}
    pictures = {"first.png": first, "second.png": second}
    return Puzzle(question, pictures, lambda answer: score(answer, boxes), weights, solution)


def score(answer: str, boxes: list[Box]) -> dict[str, float]:
    """The rewards "places", F1 of the points against what changed, each hit once, and "count", the number is right."""
    shapes = read_points(answer)
    points = shapes.found * (WIDTH, HEIGHT)
    hits = np.array([[_within(x, y, box) for box in boxes] for x, y in points], float).reshape(len(points), len(boxes))
    hit = sum(match.score for match in best_matching(hits))
    number = re.match(r"\D*?(\d{1,4})\b", answer.partition("(")[0])
    places = 2 * hit / (len(points) + shapes.invalid + len(boxes))
    return {"places": float(places), "count": float(number is not None and int(number[1]) == len(boxes))}


def _within(x: float, y: float, box: Box) -> bool:
    left, top, right, bottom = box
    across, down = MARGIN * WIDTH, MARGIN * HEIGHT
    return left - across <= x <= right + across and top - down <= y <= bottom + down


def _scene(rng: np.random.Generator, count: int) -> dict[tuple[int, int], Thing]:
    """Things in different places of a grid, so that none hides another."""
    places = [(column, row) for column in range(GRID[0]) for row in range(GRID[1])]
    return {places[i]: _thing(rng, places[i]) for i in rng.permutation(len(places))[:count]}


def _thing(rng: np.random.Generator, place: tuple[int, int]) -> Thing:
    across, down = WIDTH / GRID[0], HEIGHT / GRID[1]
    x, y = (place[0] + 0.5) * across, (place[1] + 0.5) * down
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    return Thing(shape, x + rng.uniform(-3, 3), y + rng.uniform(-3, 3), rng.uniform(11, 15), colour(rng, 20, 190))


def _changed(
    rng: np.random.Generator, things: dict[tuple[int, int], Thing], count: int
) -> tuple[list[Thing], list[Box]]:
    """The scene of the second picture, and a box around each difference, in pixels."""
    after, boxes = dict(things), list[Box]()
    empty = [place for place in ((c, r) for c in range(GRID[0]) for r in range(GRID[1])) if place not in things]
    full = list(things)
    for place in (full[i] for i in rng.permutation(len(full))[:count]):
        thing = things[place]
        change = CHANGES[int(rng.integers(len(CHANGES)))]
        if change == "add":
            free = empty.pop(int(rng.integers(len(empty))))
            after[free] = new = _thing(rng, free)
            boxes.append(new.box)
        elif change == "remove":
            del after[place]
            boxes.append(thing.box)
        else:
            after[place] = new = _altered(rng, thing, change)
            boxes.append(_around(thing.box, new.box))
    return list(after.values()), boxes


def _altered(rng: np.random.Generator, thing: Thing, change: str) -> Thing:
    if change == "colour":
        red, green, blue = thing.fill
        return replace(thing, fill=((red + 110) % 200, (green + 70) % 200, blue))
    if change == "move":
        turn = float(rng.uniform(0, 2 * np.pi))
        return replace(thing, x=thing.x + 8 * float(np.cos(turn)), y=thing.y + 8 * float(np.sin(turn)))
    return replace(thing, size=thing.size * (0.6 if rng.random() < 0.5 else 1.35))


def _around(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _drawn(things: list[Thing], ground: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), ground)
    draw = ImageDraw.Draw(image)
    for thing in sorted(things, key=lambda thing: (thing.y, thing.x)):
        _draw(draw, thing)
    return image


def _draw(draw: ImageDraw.ImageDraw, thing: Thing) -> None:
    left, top, right, bottom = thing.box
    x, y, size = thing.x, thing.y, thing.size
    match thing.shape:
        case "circle":
            draw.ellipse(thing.box, fill=thing.fill)
        case "square":
            draw.rectangle((left + 2, top + 2, right - 2, bottom - 2), fill=thing.fill)
        case "triangle":
            draw.polygon([(x, top), (right, bottom), (left, bottom)], fill=thing.fill)
        case "diamond":
            draw.polygon([(x, top), (right, y), (x, bottom), (left, y)], fill=thing.fill)
        case _:
            arm = size / 3
            draw.rectangle((x - arm, top, x + arm, bottom), fill=thing.fill)
            draw.rectangle((left, y - arm, right, y + arm), fill=thing.fill)


def _noisy(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """A little lighter or darker, with noise of a few steps."""
    pixels = np.asarray(image).astype(np.int16)
    pixels = pixels + int(rng.integers(-6, 7)) + rng.integers(-5, 6, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
