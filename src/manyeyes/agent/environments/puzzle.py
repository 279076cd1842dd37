"""`Puzzle`: pictures drawn by code, a question about them, and what an answer is worth, which is known exactly.

Report: Fig. 12 (a maze, a pie chart, spot the difference).
"""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from PIL import Image

from manyeyes.core.errors import ConfigError

LEVELS = 5
Draw = Callable[[], bytes]
Score = Callable[[str], dict[str, float]]
_ANSWER = re.compile(r"^[ \t>*_#]*answer[ \t*_]*:[ \t*_]*(.+)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A puzzle.

    Attributes:
        question: asks for a line "Answer: ...".
        pictures: what draws a PNG file, by the file's name; makers keep what they have drawn (`functools.cache`).
        score: named rewards, 0 to 1, of the words behind "Answer:".
        weights: of these; what is not named here is measured and not rewarded.
        solution: an answer that is worth 1.
    """

    question: str
    pictures: Mapping[str, Draw]
    score: Score
    weights: Mapping[str, float]
    solution: str = field(repr=False)

    @property
    def blind(self) -> "Puzzle":
        """The same with blank pictures in the place of its own."""
        return replace(self, pictures={name: partial(blank, draw) for name, draw in self.pictures.items()})

    def parts(self, text: str) -> dict[str, float]:
        """Named rewards of an agent's last words; all 0 without a line "Answer: ..."."""
        answer = read_answer_line(text)
        if answer is None:
            return {"format": 0.0} | dict.fromkeys(self.weights, 0.0)
        return {"format": 1.0} | self.score(answer)

    def worth(self, parts: Mapping[str, float]) -> float:
        """The weighted sum."""
        return sum(weight * parts[name] for name, weight in self.weights.items())


def read_answer_line(text: str) -> str | None:
    """What stands behind the last "Answer:"; None where there is none.

    Example:
        >>> read_answer_line("So it is 12.\\n\\n**Answer:** 12")
        '12'
    """
    found = _ANSWER.findall(text)
    return found[-1].strip().strip("*_`$ ").rstrip(".") if found else None


def read_number(answer: str) -> float | None:
    """The one number of an answer; None where there is none, or more than one.

    Example:
        >>> read_number("about 12.5 %"), read_number("3 or 4")
        (12.5, None)
    """
    found = re.findall(r"-?\d+(?:\.\d+)?", answer)
    return float(found[0]) if len(found) == 1 and len(found[0]) < 12 else None


def checked_level(level: int) -> int:
    """A level that there is. Raises ConfigError."""
    if not 1 <= level <= LEVELS:
        raise ConfigError(f"puzzles have levels 1 to {LEVELS}, got {level}")
    return level


def png(image: Image.Image) -> bytes:
    """As a file."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()


def blank(draw: Draw) -> bytes:
    """A white PNG file of the size of what is drawn."""
    return png(Image.new("RGB", Image.open(io.BytesIO(draw())).size, "white"))


def colour(rng: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    """One whose channels lie between two values."""
    red, green, blue = (int(value) for value in rng.integers(low, high + 1, 3))
    return red, green, blue
