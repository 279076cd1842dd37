"""What teachers write to measure a sight: short Python over the picture `im`; and running it.

Each kind has several ways, most of which are right in some pictures only: they trust colours to the last digit, specks
to be shapes, bars to be ten pixels wide, hands to point up. What a run of one really prints is what a dialogue shows.
The model that learns from them knows them all; which one to trust is left to reinforcement learning.

Programs are this module's own and run in this process; nothing that a model wrote ever does.

Report: §2.2 (operations on pictures as code), §4.4.1 (several experts, verification).
"""

import io
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage as nd

from manyeyes.core.messages import Tool
from manyeyes.core.picture import Pixels
from manyeyes.data.synthesis.scene import COLOURS, EASY_COLOURS
from manyeyes.data.synthesis.zero_vision_sight import Sight

TOOL = Tool(
    "ipython",
    "Python with im (int array), np, nd, Image, colors.",
    {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
)
"""What is declared to the model."""

NAMED = {name: np.array(rgb) for name, rgb in COLOURS.items() if name in EASY_COLOURS}
"""Colours that code can name."""
EXACT = "(im=={colour}).all(2)"
NEAR = "abs(im-{colour}).sum(2)<{near}"
DARK = "im.sum(2)<{dark}"
NEARS = ("20", "50", "90", "200")
DARKS = ("100", "200", "300", "500")


class Teacher(NamedTuple):
    """One way to measure.

    Attributes:
        code: with gaps for what the question names.
        weight: how often it is taken, among those of its kind.
    """

    code: str
    weight: float = 1.0


def _ways(pattern: str, *, exact: float, near: float) -> tuple[Teacher, ...]:
    """One way with either kind of mask: {mask} stands alone, {(mask)} is gone on with."""
    ways = (_masked(pattern, EXACT, EXACT), exact), (_masked(pattern, NEAR, f"({NEAR})"), near)
    return tuple(Teacher(code, weight) for code, weight in ways if weight)


def _dark(pattern: str, weight: float) -> Teacher:
    return Teacher(_masked(pattern, DARK, f"({DARK})"), weight)


def _masked(pattern: str, alone: str, closed: str) -> str:
    return pattern.replace("{mask}", alone).replace("{(mask)}", closed)


_BOX = "print([round(v/{side},2) for v in Image.fromarray({mask}).getbbox()])"
_OPEN = "nd.binary_opening({mask})"
_ANGLE = "y,x=np.where({mask});print(round(np.angle(x.mean()-{half}+1j*({half}-y.mean()),1)%360))"
TEACHERS: dict[str, tuple[Teacher, ...]] = {
    "count": (
        *_ways("print(nd.label({mask})[1])", exact=3.0, near=3.0),
        *_ways(f"print(nd.label({_OPEN})[1])", exact=1.0, near=1.0),
        *_ways("print(round({(mask)}.sum()/80))", exact=0.0, near=3.0),
    ),
    "locate": (
        *_ways(_BOX, exact=3.0, near=3.0),
        *_ways(_BOX.replace("{mask}", _OPEN), exact=1.0, near=1.0),
        *_ways(_BOX.replace("{mask}", "{(mask)}.T"), exact=0.0, near=3.0),
    ),
    "bars": (
        *_ways("print(round({(mask)}.any(1).sum()/{side}*{high}))", exact=2.0, near=1.5),
        *_ways("print(round({(mask)}.sum(0).max()/{side}*{high}))", exact=2.0, near=1.0),
        *_ways("print(round({(mask)}.sum()/10/{side}*{high}))", exact=0.0, near=3.0),
    ),
    "share": (
        *_ways("print(round(100*{(mask)}.mean()))", exact=3.0, near=1.0),
        *_ways("print(round(100*{(mask)}[{half}].mean()))", exact=0.0, near=2.0),
        *_ways("print(round(100*{(mask)}[:,{half}].mean()))", exact=0.0, near=2.0),
    ),
    "dice": (
        _dark("print(nd.label({mask})[1])", 3.0),
        _dark("print(nd.label({mask})[1]-1)", 2.0),
        _dark("print(round({(mask)}.sum()/9))", 2.0),
        _dark("l,n=nd.label({mask});print((np.bincount(l.flat)<20).sum())", 1.0),
    ),
    "gauge": (
        _dark(_ANGLE, 1.0),
        _dark(_ANGLE.replace("%360", ""), 2.0),
        _dark(_ANGLE.replace("{half}-y.mean()", "y.mean()-{half}"), 4.0),
        _dark(_ANGLE.replace("y,x", "x,y"), 4.0),
    ),
}
"""By kind of sight; what has none here is answered by looking."""


def written(teacher: Teacher, sight: Sight, rng: np.random.Generator) -> str:
    """The program for a sight; thresholds are the teacher's whim."""
    near, dark = (options[int(rng.random() * len(options))] for options in (NEARS, DARKS))
    code = teacher.code
    for gap, value in {"near": near, "dark": dark, **sight.gaps}.items():
        code = code.replace(f"{{{gap}}}", value)
    return code


def chosen(kind: str, rng: np.random.Generator) -> Teacher:
    """One of a kind's teachers, by weight."""
    teachers = TEACHERS[kind]
    weights = np.array([teacher.weight for teacher in teachers])
    return teachers[int(rng.choice(len(teachers), p=weights / weights.sum()))]


def printed(code: str, pixels: Pixels) -> str:
    """What a program of this module prints, or in one line how it failed; it runs in this process."""
    shown = io.StringIO()
    there = {
        "np": np,
        "Image": Image,
        "nd": nd,
        **NAMED,
        "im": pixels.astype(int),
        "print": partial(print, file=shown),
    }
    try:
        with np.errstate(all="ignore"):
            exec(code, there)
    except (ValueError, IndexError, TypeError) as error:
        return f"{type(error).__name__}: {error} (line 1)"
    return shown.getvalue()
