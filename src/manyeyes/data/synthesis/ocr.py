"""Text to read: numbers, words in several languages, and dense pages of columns, one or many.

The string decides the split: a held-out number or word is never drawn in training, whatever its font, size, place or
colour. On pages the words come from a fixed vocabulary and the page as a whole decides.

Report: App. B.3 (OCR: multilingual text, dense layouts, multi-page documents).
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from manyeyes.core.errors import ConfigError
from manyeyes.core.picture import Picture
from manyeyes.data.phrasing import READ, READ_NUMBER
from manyeyes.data.record import Record, Shown
from manyeyes.data.synthesis.fonts import ASCII, extent, put
from manyeyes.data.synthesis.generator import PRINT, Generator, assistant, between, document, pick, user
from manyeyes.data.synthesis.words import LANGUAGES, pseudo_word

INKS = ((0, 0, 0), (20, 20, 90), (120, 0, 0), (0, 80, 0), (70, 20, 90), (60, 60, 60))


class Line(NamedTuple):
    """One line of text on a ground: everything that its picture shows."""

    text: str
    width: int
    height: int
    face: str
    font_size: int
    x: int
    y: int
    ink: tuple[int, int, int]
    ground: tuple[int, int, int]

    @property
    def picture(self) -> Picture:
        """The lazy picture."""
        return Picture.lazy(self.width, self.height, partial(drawn, self))


def drawn(line: Line) -> NDArray[np.uint8]:
    """The pixels of a line: uint8 [height, width, 3]."""
    image = Image.new("RGB", (line.width, line.height), line.ground)
    put(ImageDraw.Draw(image), (line.x, line.y), line.text, face=line.face, size=line.font_size, fill=line.ink)
    return np.asarray(image)


def typeset(
    rng: np.random.Generator, text: str, width: int, height: int, *, faces, smallest: int, largest: int
) -> Line:
    """Set `text` at a random face, size, place and colour, wholly inside the picture with a margin of a pixel.

    Raises:
        ConfigError: the text does not fit even at the smallest size.
    """
    face = pick(rng, faces)
    size = between(rng, smallest, largest)
    while True:
        left, top, right, bottom = extent(face, size, text)
        free = width - 2 - (right - left), height - 2 - (bottom - top)
        if min(free) >= 0:
            break
        size -= 1
        if size < 6:
            raise ConfigError(f"{text!r} does not fit into {width}x{height} pixels; make the picture larger")
    x, y = 1 - left + between(rng, 0, free[0]), 1 - top + between(rng, 0, free[1])
    light, ink = (between(rng, 225, 255), between(rng, 225, 255), between(rng, 225, 255)), pick(rng, INKS)
    if rng.random() < 0.15:
        light, ink = ink, light
    return Line(text, width, height, face, size, x, y, ink, light)


@dataclass(frozen=True, kw_only=True)
class Digits(Generator[Line]):
    """Numbers of exactly `digits` digits, zeros in front included.

    Attributes:
        digits: 1 to 12.
        width: of the picture, pixels.
        height: of the picture, pixels.
        font_sizes: smallest and largest font size, pixels (16 pixels are about 12 pixels of digit).
        form: "question" asks to read; "document" is the picture followed by its text (caption-style stages).

    Example:
        >>> Digits(size=10).record(0).turns[0].role
        'user'
    """

    digits: int = 3
    width: int = 48
    height: int = 32
    font_sizes: tuple[int, int] = (17, 24)
    form: Literal["question", "document"] = "question"
    question: str = READ_NUMBER[0]
    name: str = "synthetic/ocr/digits"
    kind: ClassVar[str] = "ocr"

    def _draw(self, rng: np.random.Generator) -> Line:
        text = f"{between(rng, 0, 10**self.digits - 1):0{self.digits}d}"
        smallest, largest = self.font_sizes
        return typeset(rng, text, self.width, self.height, faces=ASCII, smallest=smallest, largest=largest)

    def _content(self, plan: Line) -> str:
        return plan.text

    def _write(self, plan: Line, name: str) -> Record:
        return _reading(plan, name, self.form, self.question)


@dataclass(frozen=True, kw_only=True)
class Words(Generator[Line]):
    """Short words: of real languages, or made of random syllables (which only reading gets right, never guessing).

    Attributes:
        languages: keys of `words.LANGUAGES`; "zh", "ja" and "ko" need Debian's fonts-noto-cjk.
        invented: share of words made of random syllables.
        longest: most letters of a word.
    """

    languages: tuple[str, ...] = ("en",)
    invented: float = 0.5
    longest: int = 6
    width: int = 64
    height: int = 32
    font_sizes: tuple[int, int] = (15, 22)
    form: Literal["question", "document"] = "question"
    question: str = READ[0]
    name: str = "synthetic/ocr/words"
    kind: ClassVar[str] = "ocr"

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = set(self.languages) - set(LANGUAGES)
        if unknown:
            raise ConfigError(f"languages are {', '.join(LANGUAGES)}; got {', '.join(sorted(unknown))}")

    def _draw(self, rng: np.random.Generator) -> Line:
        language = LANGUAGES[pick(rng, self.languages)]
        if rng.random() < self.invented:
            text = pseudo_word(rng, language, self.longest)
        else:
            text = pick(rng, [word for word in language.words if len(word) <= self.longest])
        smallest, largest = self.font_sizes
        faces = language.faces
        return typeset(rng, text, self.width, self.height, faces=faces, smallest=smallest, largest=largest)

    def _content(self, plan: Line) -> str:
        return plan.text

    def _write(self, plan: Line, name: str) -> Record:
        return _reading(plan, name, self.form, self.question)


def _reading(plan: Line, name: str, form: str, question: str) -> Record:
    shown = Shown(0)
    turns = document(shown, plan.text) if form == "document" else (user(shown, question), assistant(plan.text))
    return Record(name, turns, (plan.picture,), allowed=PRINT, truth=plan.text)
