"""`ToldPictures`: the questions that pre-training asks about pictures, with words in the picture's place.

    user  a red circle; a blue triangle / is there a yellow shape?      assistant  no
    user  a red circle [0.1,0.2,0.4,0.5] / Give the box of the red circle.         assistant  [0.1,0.2,0.4,0.5]

Fine-tuning without pictures teaches other answers than pre-training did, numbers and lists that code prints; a model
then looks at a picture, sees what is there, and answers in the wrong form. Here the old questions keep their old
answers, and no picture is shown.

Report: §2.2 (zero-vision SFT keeps what joint pre-training learned).
"""

from dataclasses import dataclass, field
from typing import ClassVar

from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, assistant, user
from manyeyes.data.collection import Domain, Split
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.geometry import Size
from manyeyes.data.record import Record, Turn
from manyeyes.data.synthesis.generator import Generator, article
from manyeyes.data.synthesis.generator import assistant as answered
from manyeyes.data.synthesis.generator import user as asked
from manyeyes.data.synthesis.ocr import Digits, Line
from manyeyes.data.synthesis.perception import Asked, Attributes, Counting, Grounding, said
from manyeyes.data.synthesis.scene import Figure


@dataclass(frozen=True, kw_only=True)
class ToldAttributes(Attributes):
    """Colours, shapes, and whether there is such a thing, in the words of easy-VQA."""

    figures: tuple[int, int] = (1, 2)
    questions: int = 4
    domain: ClassVar[Domain] = "text"
    name: str = "told/attributes"

    def _write(self, plan: Asked, name: str) -> Record:
        return _told(plan, name)


@dataclass(frozen=True, kw_only=True)
class ToldCounting(Counting):
    """How many there are."""

    figures: tuple[int, int] = (1, 5)
    domain: ClassVar[Domain] = "text"
    name: str = "told/counting"

    def _write(self, plan: Asked, name: str) -> Record:
        return _told(plan, name)


@dataclass(frozen=True, kw_only=True)
class ToldGrounding(Grounding):
    """Boxes by name, and names by box."""

    figures: tuple[int, int] = (1, 2)
    questions: int = 2
    tasks: tuple[str, ...] = ("box", "named")
    domain: ClassVar[Domain] = "text"
    name: str = "told/grounding"

    def _write(self, plan: Asked, name: str) -> Record:
        return _told(plan, name, boxes=True)


@dataclass(frozen=True, kw_only=True)
class ToldDigits(Digits):
    """Numbers that are printed."""

    domain: ClassVar[Domain] = "text"
    name: str = "told/digits"

    def _write(self, plan: Line, name: str) -> Record:
        return Record(name, (asked(f"{plan.text}\n{self.question}"), answered(plan.text)), truth=plan.text)


def _told(plan: Asked, name: str, *, boxes: bool = False) -> Record:
    """The record of a scene that is told."""
    size = Size(plan.scene.width, plan.scene.height)
    told = "; ".join(_named(figure, size, boxes=boxes) for figure in plan.scene.figures)
    turns: list[Turn] = []
    for number, (ask, answer) in enumerate(plan.questions):
        opening = "" if number else f"{told}\n"
        turns += [asked(opening + said(ask, size)), answered(said(answer, size))]
    return Record(name, tuple(turns), truth=said(plan.questions[-1].answer, size))


def _named(figure: Figure, size: Size, *, boxes: bool) -> str:
    name = article(figure.label)
    return f"{name} {said((figure.box,), size)}" if boxes else name


KINDS: tuple[type[Generator], ...] = (ToldAttributes, ToldDigits, ToldAttributes, ToldCounting, ToldGrounding)
"""In turns; what is scored most comes most."""


@dataclass(frozen=True, kw_only=True)
class ToldPictures:
    """A collection of dialogues; see the module.

    Attributes:
        size: number of dialogues.
        seed: another seed gives others of the same split.
        split: "train" or "test"; no content occurs in both.
        name: unique among sources.

    Raises:
        ConfigError: a size or split that is none.

    Example:
        >>> ToldPictures(size=9).dialogue(1).messages[0].text.splitlines()[1]
        'Read the number.'
    """

    size: int
    seed: int = 0
    split: Split = "train"
    name: str = "sft/told"
    _kinds: tuple[Generator, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ConfigError(f"{self.name}: size must be at least 0, got {self.size}")
        made = (kind(size=self.size, seed=self.seed + at, split=self.split) for at, kind in enumerate(KINDS))
        object.__setattr__(self, "_kinds", tuple(made))

    def __len__(self) -> int:
        return self.size

    def dialogue(self, index: int) -> Dialogue:
        """See `Dialogues`."""
        if not 0 <= index < self.size:
            raise IndexError(f"{self.name}: dialogue {index} of {self.size}")
        record = self._kinds[index % len(KINDS)].record(index)
        name = f"{self.name}/{self.split}/{index:06d}"
        return Dialogue(name, tuple(_message(turn) for turn in record.turns))


def _message(turn: Turn) -> Message:
    text = "".join(piece for piece in turn.pieces if isinstance(piece, str))
    return user(text) if turn.role == "user" else assistant(text)
