"""What a frame of the made-up game shows, drawn and read: a level in block digits, a bar that fills, an event's colour.

    ┌──────────────────┐
    │ 07  ████████░░░░ │    level, and how near the next one is
    │                  │
    │      scene       │    an event colours all of it
    └──────────────────┘

`draw` is the game's side and `look` the eyes of the rule-based model: it gets the pixels of a JPEG and nothing else.
All places are shares of the frame, so that a frame may come scaled.

Report: App. F (a game's levels and fights, found in frames); the game is an open choice here.
"""

from typing import NamedTuple

import numpy as np

from manyeyes.core.picture import Pixels

COLOURS = {"boss": (225, 40, 40), "treasure": (235, 200, 40), "portal": (70, 60, 235)}
"""Of the scene while an event lasts."""
STRIP = 0.2
"""Of the height, that level and bar take."""
FONT = {
    0: ("###", "# #", "# #", "# #", "###"),
    1: ("  #", "  #", "  #", "  #", "  #"),
    2: ("###", "  #", "###", "#  ", "###"),
    3: ("###", "  #", "###", "  #", "###"),
    4: ("# #", "# #", "###", "  #", "  #"),
    5: ("###", "#  ", "###", "  #", "###"),
    6: ("###", "#  ", "###", "# #", "###"),
    7: ("###", "  #", "  #", "  #", "  #"),
    8: ("###", "# #", "###", "# #", "###"),
    9: ("###", "# #", "###", "  #", "###"),
}
"""Rows of three blocks."""
_CELL = (0.012, 0.028)
"""Width and height of a block, in shares of the frame."""
_FIRST, _TOP, _STEP = 0.02, 0.03, 0.05
"""Left edge of the first digit, upper edge of both, from one digit to the next."""
_BAR = (0.16, 0.96, 0.06, 0.14)
"""Left, right, upper and lower edge."""
_BRIGHT = 150
_SHARE = 0.5
"""How much of the scene's colour is the event's."""
_CLEAR = 30
"""By how much a channel must stand out for a colour to be an event's."""


class Seen(NamedTuple):
    """What is on a frame.

    Attributes:
        level: None where it cannot be read.
        bar: 0 to 1.
        event: key of `COLOURS`; "" for none.
    """

    level: int | None
    bar: float
    event: str


def draw(scene: Pixels, shown: Seen) -> Pixels:
    """The scene coloured by the event, under level and bar.

    Args:
        scene: uint8 [H, W, 3]; not changed.
    """
    pixels = scene.astype(np.float32)
    if shown.event:
        pixels = (1 - _SHARE) * pixels + _SHARE * np.array(COLOURS[shown.event], np.float32)
    frame = pixels.astype(np.uint8)
    frame[: round(STRIP * frame.shape[0])] = 16
    for place, digit in enumerate(divmod(shown.level or 0, 10)):
        for row, blocks in enumerate(FONT[digit]):
            for column, block in enumerate(blocks):
                _fill(frame, _block(place, row, column), 245 if block == "#" else 16)
    left, right, upper, lower = _BAR
    _fill(frame, _BAR, 60)
    _fill(frame, (left, left + shown.bar * (right - left), upper, lower), 220)
    return frame


def look(pixels: Pixels) -> Seen:
    """What a frame shows.

    Args:
        pixels: uint8 RGB [H, W, 3] of any size at which a block is a few pixels.
    """
    grey = pixels.mean(axis=2)
    digits = [_digit(grey, place) for place in range(2)]
    level = None if None in digits else 10 * (digits[0] or 0) + (digits[1] or 0)
    left, right, upper, lower = _BAR
    height, width = grey.shape
    bar = grey[round((upper + lower) / 2 * height), round(left * width) : round(right * width)]
    return Seen(level, float((bar > _BRIGHT).mean()), _event(pixels))


def _digit(grey: np.ndarray, place: int) -> int | None:
    lit = tuple(
        "".join("#" if _at(grey, _block(place, row, column)) > _BRIGHT else " " for column in range(3))
        for row in range(5)
    )
    return next((digit for digit, blocks in FONT.items() if blocks == lit), None)


def _event(pixels: Pixels) -> str:
    """Which colour lies over the whole scene."""
    scene = pixels[round((STRIP + 0.05) * pixels.shape[0]) :]
    red, green, blue = (float(channel) for channel in np.median(scene.reshape(-1, 3), axis=0))
    if min(red, green) > blue + _CLEAR:
        return "treasure"
    if red > max(green, blue) + _CLEAR:
        return "boss"
    return "portal" if blue > max(red, green) + _CLEAR else ""


def _block(place: int, row: int, column: int) -> tuple[float, float, float, float]:
    left, upper = _FIRST + place * _STEP + column * _CELL[0], _TOP + row * _CELL[1]
    return left, left + _CELL[0], upper, upper + _CELL[1]


def _at(grey: np.ndarray, place: tuple[float, float, float, float]) -> float:
    """Brightness in the middle of a place."""
    left, right, upper, lower = place
    return float(grey[int((upper + lower) / 2 * grey.shape[0]), int((left + right) / 2 * grey.shape[1])])


def _fill(frame: Pixels, place: tuple[float, float, float, float], value: int) -> None:
    height, width = frame.shape[:2]
    left, right, upper, lower = place
    frame[round(upper * height) : round(lower * height), round(left * width) : round(right * width)] = value
