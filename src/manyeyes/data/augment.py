"""Seeded augmentation of a record: pictures, shapes, direction words and prompts change together, and stay true.

Each picture gets one 3x3 matrix, composed of a cut, a flip, quarter turns, a tilt and a scale. Shapes follow the
matrix, words for directions are rewritten, pixels are warped only when asked for. Which changes a record bears is
`Record.allowed`; text that names directions without marking them forbids all changes that would make it false. A shape
that the text refers to is never cut: windows are drawn around it, a tilt that would push it out is not taken. Boxes
forbid tilts, since the box around a turned box is no longer the box around the object.

Report: App. C.1 (augmentation of both modalities that keeps coordinates and orientation metadata).
"""

import dataclasses
import functools
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from manyeyes.core.media import Clip, Picture
from manyeyes.data import geometry, phrasing
from manyeyes.data.geometry import Matrix, Size
from manyeyes.data.record import (
    GEOMETRIC,
    Box,
    Change,
    Geometry,
    Located,
    Oriented,
    Piece,
    Record,
    Shape,
    Turn,
)
from manyeyes.data.warp import Jitter, jittered, warp


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How often each change is made (0 to 1) and how strong it may be."""

    crop: float = 0.3
    flip: float = 0.5
    rotate: float = 0.3
    tilt: float = 0.2
    scale: float = 0.3
    colour: float = 0.3
    text: float = 0.5
    order: float = 1.0
    least_kept: float = 0.6
    """Smallest side of a cut, as a share of the picture's side."""
    most_degrees: float = 8.0
    scales: tuple[float, float] = (0.75, 1.25)
    jitter: float = 0.2


class View(NamedTuple):
    """What happens to one picture or clip."""

    matrix: Matrix
    size: Size
    jitter: Jitter | None = None


def augment(record: Record, rng: np.random.Generator, *, rules: Augmentation) -> Record:
    """The record after every change that it allows and the dice choose."""
    allowed = permitted(record)
    if not allowed:
        return record
    chosen: dict[Change, bool] = {
        change: rng.random() < getattr(rules, change) for change in CHANGES if change in allowed
    }
    record = _said_otherwise(record, rng, chosen)
    if not record.media or not any(chosen.get(change) for change in (*GEOMETRIC, "colour")):
        return record
    views = [_view(record, media, rng, chosen, rules) for media in range(len(record.media))]
    return seen(record, views)


CHANGES: tuple[Change, ...] = ("order", "text", "crop", "flip", "rotate", "tilt", "scale", "colour")


def permitted(record: Record) -> frozenset[Change]:
    """The changes under which this record stays true."""
    allowed = record.allowed
    if not allowed & GEOMETRIC:
        return allowed
    if record.fixed:
        return allowed - GEOMETRIC
    if any(_names_direction(text) for text in _plain_text(record)):
        allowed -= {"crop", "flip", "rotate"}
    if any(isinstance(shape, Box) for shapes in _referenced(record).values() for shape in shapes):
        allowed -= {"tilt"}
    if any(not geometry.inside(item.shape, size_of(record.media[item.media])) for item in record.geometry):
        allowed -= GEOMETRIC
    return allowed


_DIRECTION = re.compile(
    r"\b(left|right|top|bottom|upper|lower|above|below|beneath|under|over|up|down|upwards?|downwards?|"
    r"(anti|counter-?)?clockwise|north|south|east|west|horizontal(ly)?|vertical(ly)?|mirrored|upside)\b"
    r"|[左右上下东南西北東]",
    re.IGNORECASE,
)


@functools.lru_cache(maxsize=65536)
def _names_direction(text: str) -> bool:
    return _DIRECTION.search(text) is not None


def _plain_text(record: Record):
    for turn in record.turns:
        yield from (piece for piece in turn.pieces if isinstance(piece, str))
        if turn.reasoning:
            yield turn.reasoning


def _referenced(record: Record) -> dict[int, list[Shape]]:
    """The shapes that the text writes out, by number of their picture."""
    shapes: dict[int, list[Shape]] = {}
    for number in sorted({p.geometry for turn in record.turns for p in turn.pieces if isinstance(p, Located)}):
        item = record.geometry[number]
        shapes.setdefault(item.media, []).append(item.shape)
    return shapes


def size_of(media: Picture | Clip) -> Size:
    """Width and height in pixels."""
    return Size(media.width, media.height)


def _said_otherwise(record: Record, rng: np.random.Generator, chosen: dict[Change, bool]) -> Record:
    turns = record.turns
    if chosen.get("order"):
        turns = phrasing.reorder(turns, rng)
    if chosen.get("text"):
        turns = tuple(_rephrased(turn, rng) if turn.role == "user" else turn for turn in turns)
    return record if turns is record.turns else dataclasses.replace(record, turns=turns)


def _rephrased(turn: Turn, rng: np.random.Generator) -> Turn:
    return Turn(turn.role, tuple(phrasing.rephrase(p, rng) if isinstance(p, str) else p for p in turn.pieces))


def _view(
    record: Record, media: int, rng: np.random.Generator, chosen: dict[Change, bool], rules: Augmentation
) -> View:
    """Compose the changes in the order of `CHANGES`."""
    size = size_of(record.media[media])
    shapes = _referenced(record).get(media, [])
    matrix = geometry.identity()
    if chosen.get("crop"):
        matrix, size = _window(size, shapes, rng, rules)
    if chosen.get("flip"):
        matrix = geometry.flip(size) @ matrix
    if chosen.get("rotate"):
        turn, size = geometry.quarter_turns(int(rng.integers(1, 4)), size)
        matrix = turn @ matrix
    if chosen.get("tilt"):
        tilted = geometry.tilt(float(rng.uniform(-rules.most_degrees, rules.most_degrees)), size) @ matrix
        if all(geometry.inside(geometry.move(shape, tilted), size) for shape in shapes):
            matrix = tilted
    if chosen.get("scale"):
        old, size = size, _scaled(size, float(rng.uniform(*rules.scales)))
        matrix = geometry.scale(size.width / old.width, size.height / old.height) @ matrix
    jitter = Jitter(*(1 + rng.uniform(-rules.jitter, rules.jitter, 3)).tolist()) if chosen.get("colour") else None
    return View(matrix, size, jitter)


def _window(size: Size, shapes: list[Shape], rng: np.random.Generator, rules: Augmentation) -> tuple[Matrix, Size]:
    boxes = [geometry.bounds(shape) for shape in shapes]
    left, width = _span(size.width, [(box.x0, box.x1) for box in boxes], rng, rules)
    top, height = _span(size.height, [(box.y0, box.y1) for box in boxes], rng, rules)
    return geometry.translate(-left, -top), Size(width, height)


def _span(side: int, keep: list[tuple[float, float]], rng: np.random.Generator, rules: Augmentation) -> tuple[int, int]:
    """Start and length of a random stretch of `side` pixels that holds every stretch of `keep`."""
    share, place = rng.random(2).tolist()
    first = math.floor(min((low for low, _ in keep), default=side))
    last = min(math.floor(max((high for _, high in keep), default=-1)) + 1, side)
    length = max(math.ceil(side * (rules.least_kept + (1 - rules.least_kept) * share)), last - first, 1)
    lowest, highest = max(0, last - length), min(side - length, max(first, 0))
    return lowest + round(place * (highest - lowest)), length


def _scaled(size: Size, factor: float) -> Size:
    return Size(max(1, round(size.width * factor)), max(1, round(size.height * factor)))


def seen(record: Record, views: list[View]) -> Record:
    """The record through one view for each of its media: pixels later, shapes and words now.

    Shapes that the text does not refer to are clipped, and dropped when nothing of them is left.
    """
    used = {p.geometry for turn in record.turns for p in turn.pieces if isinstance(p, Located)}
    kept: list[Geometry] = []
    renumbered: dict[int, int] = {}
    for number, (shape, media) in enumerate(record.geometry):
        moved = geometry.move(shape, views[media].matrix)
        moved = moved if number in used else geometry.clip(moved, views[media].size)
        if moved is not None:
            renumbered[number] = len(kept)
            kept.append(Geometry(moved, media))
    turns = tuple(
        dataclasses.replace(turn, pieces=tuple(_followed(piece, views, renumbered) for piece in turn.pieces))
        for turn in record.turns
    )
    media = tuple(_through(item, view) for item, view in zip(record.media, views, strict=True))
    return dataclasses.replace(record, turns=turns, geometry=tuple(kept), media=media)


def _followed(piece: Piece, views: list[View], renumbered: dict[int, int]) -> Piece:
    if isinstance(piece, Located):
        return Located(renumbered[piece.geometry])
    if isinstance(piece, Oriented):
        return Oriented(geometry.orient(piece.word, views[piece.media].matrix), piece.media)
    return piece


def _through(media: Picture | Clip, view: View) -> Picture | Clip:
    if isinstance(media, Clip):
        return dataclasses.replace(media, frames=tuple(_picture_through(frame, view) for frame in media.frames))
    return _picture_through(media, view)


def _picture_through(picture: Picture, view: View) -> Picture:
    return Picture.lazy(view.size.width, view.size.height, functools.partial(_pixels_through, picture, view))


def _pixels_through(picture: Picture, view: View):
    pixels = picture.pixels()
    unmoved = view.size == Size(picture.width, picture.height) and np.array_equal(view.matrix, np.eye(3))
    pixels = pixels if unmoved else warp(pixels, view.matrix, view.size)
    return pixels if view.jitter is None else jittered(pixels, view.jitter)
