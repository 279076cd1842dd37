"""Input events of a screen: what a mouse and a keyboard do, one after the other; every action is made of these.

    click(0.5, 0.5)   =   Move, Press, Release          hotkey("ctrl", "a")   =   KeyDown, KeyDown, KeyUp, KeyUp

Coordinates are fractions of the screen, 0 to 1, whatever its size (as all coordinates of models here).

Report: App. E.7.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Button: TypeAlias = Literal["left", "middle", "right"]


@dataclass(frozen=True, slots=True)
class Move:
    """The pointer goes there, in so many pieces: what follows a drag wants to see it on its way."""

    x: float
    y: float
    pieces: int = 1


@dataclass(frozen=True, slots=True)
class MoveBy:
    """The pointer goes so far from where it is."""

    dx: float
    dy: float
    pieces: int = 1


@dataclass(frozen=True, slots=True)
class Press:
    """A button goes down; `count` is 2 for the second click of a double click."""

    button: Button = "left"
    count: int = 1


@dataclass(frozen=True, slots=True)
class Release:
    """A button goes up."""

    button: Button = "left"
    count: int = 1


@dataclass(frozen=True, slots=True)
class Wheel:
    """The wheel turns by notches: up and to the left are positive, as pyautogui counts."""

    up: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class KeyDown:
    """A key goes down; named as browsers name keys ("Enter", "a")."""

    key: str


@dataclass(frozen=True, slots=True)
class KeyUp:
    """A key goes up."""

    key: str


@dataclass(frozen=True, slots=True)
class Typed:
    """Text from the keyboard, whatever keys it takes."""

    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """`computer.wait`: nothing for as long as the environment waits."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """`computer.terminate`: the agent is done."""

    status: Literal["success", "failure"]
    answer: str = ""


Event: TypeAlias = Move | MoveBy | Press | Release | Wheel | KeyDown | KeyUp | Typed | Pause | Wait | Terminate
