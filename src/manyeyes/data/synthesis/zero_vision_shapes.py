"""Sights of coloured shapes: how many of one colour there are (`count`), and where the one of a colour is (`locate`).

Report: §2.3 (visual grounding and counting).
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from manyeyes.core.picture import Pixels
from manyeyes.data.synthesis.generator import article, between, pick, some
from manyeyes.data.synthesis.scene import COLOURS, EASY_COLOURS, EASY_SHAPES, Figure, Scene, drawn, scene
from manyeyes.data.synthesis.zero_vision_sight import Sight, Weather, sizes, some_weather, weathered

COUNT = (
    "How many {} shapes are there?",
    "Count the {} shapes.",
    "What is the number of {} shapes?",
    "How many shapes are {}?",
)
LOCATE = (
    "Give the box of the {} shape.",
    "Where is the {} shape? Give its box.",
    "Find the {} shape and give its box.",
    "Box of the {} shape?",
)


class _Plan(NamedTuple):
    scene: Scene
    colour: str
    phrase: str
    weather: Weather


def count_sight(rng: np.random.Generator, side: int) -> Sight:
    """One to six shapes of the asked colour, up to three others."""
    colours = some(rng, EASY_COLOURS, 3)
    wanted = between(rng, 1, 6)
    names = [*colours[:1] * wanted, *(pick(rng, colours[1:]) for _ in range(between(rng, 0, 3)))]
    plan = _planned(rng, names, side, pick(rng, COUNT))
    told = "; ".join(_named(figure) for figure in sorted(plan.scene.figures, key=lambda figure: figure.box))
    return _sight("count", plan, answer=str(wanted), told=told)


def locate_sight(rng: np.random.Generator, side: int) -> Sight:
    """One shape of the asked colour, one to three of others."""
    asked, *others = some(rng, EASY_COLOURS, 4)
    plan = _planned(rng, [asked, *others[: between(rng, 1, 3)]], side, pick(rng, LOCATE))
    figures = sorted(plan.scene.figures, key=lambda figure: figure.box)
    told = "; ".join(f"{_named(figure)} {box_text(figure, side)}" for figure in figures)
    return _sight("locate", plan, answer=box_text(plan.scene.figures[0], side), told=told)


def box_text(figure: Figure, side: int) -> str:
    """The box as fractions of a square picture, two decimals: as code prints a list of rounded numbers."""
    return str([round(value / side, 2) for value in figure.box])


def _planned(rng: np.random.Generator, colours: list[str], side: int, phrase: str) -> _Plan:
    kinds = [(pick(rng, EASY_SHAPES), colour) for colour in colours]
    return _Plan(scene(rng, kinds, side, side), colours[0], phrase, some_weather(rng))


def _sight(kind: str, plan: _Plan, *, answer: str, told: str) -> Sight:
    side = plan.scene.width
    gaps = {"colour": plan.colour} | sizes(side)
    return Sight(
        kind, plan.phrase.format(plan.colour), answer, "box" if kind == "locate" else "count", told,
        content=repr((plan.scene.figures, plan.colour)), draw=partial(_drawn, plan), gaps=gaps,
    )  # fmt: skip


def _named(figure: Figure) -> str:
    return article(figure.label)


def _drawn(plan: _Plan) -> Pixels:
    return weathered(drawn(plan.scene), plan.weather, COLOURS[plan.colour])
