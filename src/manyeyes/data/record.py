"""`Record`: what a source hands out, before augmentation and rendering. Pixels stay lazy, geometry stays exact.

A record's text is a sequence of pieces. Most are plain strings; three kinds are filled in late, because augmentation
may change them: `Shown` (a picture or clip stands here), `Located` (coordinates of a box, point or polygon) and
`Oriented` (an orientation word such as "left", which a flip rewrites). Sizes are known without decoding, so the
planner can compute the exact token length of an augmented record and only the executor touches pixels.

Report: App. C.1 (native formats; augmentation keeps coordinates and orientation metadata), B.3.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from manyeyes.core.media import Clip, Picture


class Box(NamedTuple):
    """An axis-aligned box in pixels of its picture, x to the right, y down; x1, y1 exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float


class Point(NamedTuple):
    """A point in pixels of its picture."""

    x: float
    y: float


class Polygon(NamedTuple):
    """A closed contour in pixels of its picture, at least three points, first not repeated."""

    points: tuple[Point, ...]


Shape: TypeAlias = Box | Point | Polygon


class Geometry(NamedTuple):
    """A shape that lies in one of the record's media."""

    shape: Shape
    media: int = 0


class Shown(NamedTuple):
    """Stands for the record's media number `media` (a picture or a clip)."""

    media: int = 0


class Located(NamedTuple):
    """Writes geometry number `geometry` as coordinates from 0 to 1 with three decimals on the unpadded image."""

    geometry: int


class Oriented(NamedTuple):
    """An orientation word about media number `media`: left, right, top, bottom, up, down, or a corner: "top left"."""

    word: str
    media: int = 0


Piece: TypeAlias = str | Shown | Located | Oriented

Change: TypeAlias = Literal["crop", "flip", "rotate", "tilt", "scale", "colour", "text", "order"]
"""One way to augment: cut a window, mirror left and right, turn by 90 degree steps, turn by a few degrees, resize,
jitter brightness, contrast and saturation, rephrase the user's prompt, shuffle independent question-answer pairs."""

GEOMETRIC: frozenset[Change] = frozenset({"crop", "flip", "rotate", "tilt", "scale"})
OF_PHOTOGRAPHS: frozenset[Change] = frozenset({"crop", "flip", "tilt", "scale", "colour", "text"})
"""For pictures without legible text whose words stay true when an edge is cut off."""
OF_SCENES: frozenset[Change] = frozenset({"flip", "rotate", "scale", "text"})
"""For pictures without legible text whose words count or place things: nothing may be cut off or recoloured."""
OF_PRINT: frozenset[Change] = frozenset({"scale", "text"})
"""For pictures with legible text (OCR, screens): never mirrored, turned or cut."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a record. Role "document" is raw text to be modelled whole (captions, web pages, code).

    `reasoning` is what an assistant thinks before it answers; a record that has some is rendered in thinking mode.
    """

    role: Literal["document", "system", "user", "assistant"]
    pieces: tuple[Piece, ...]
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One example in its native form.

    A record is either one "document" turn or a conversation of user and assistant turns (only assistant text is
    learned from). `allowed` names the changes under which its words stay true: nothing by default, because only the
    source knows (`OF_PHOTOGRAPHS`, `OF_SCENES`, `OF_PRINT` are the usual choices). `fixed` forbids every change of
    geometry whatever `allowed` says (its text says things about directions that no piece marks).

    Example:
        >>> Record("toy/1", (Turn("user", ("What is 1+1?",)), Turn("assistant", ("2",)))).is_document
        False
    """

    name: str
    turns: tuple[Turn, ...]
    media: tuple[Picture | Clip, ...] = ()
    geometry: tuple[Geometry, ...] = ()
    fixed: bool = False
    allowed: frozenset[Change] = frozenset()
    truth: str | None = None
    """What a scorer compares with, where the record is used for evaluation."""

    @property
    def is_document(self) -> bool:
        """True for raw text (with pictures), False for a conversation."""
        return self.turns[0].role == "document"
