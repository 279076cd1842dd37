"""Perception with exact truth: counting, grounding boxes, pointing, contours, attributes and relations of shapes.

Coordinates in answers are `Located` pieces; the same numbers stand in `Record.truth`, written for the picture as drawn.
A record asks several questions about one picture; in a test split it asks one, so that a score is a share of pictures.

Report: App. B.3 (perception: grounding, counting, contour-level segmentation).
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.geometry import Size, written
from manyeyes.data.record import (
    OF_SCENES,
    Box,
    Change,
    Geometry,
    Located,
    Oriented,
    Piece,
    Point,
    Polygon,
    Record,
    Shape,
    Shown,
    Turn,
)
from manyeyes.data.synthesis.generator import article, assistant, document, pick, some, user
from manyeyes.data.synthesis.scene import Figure, Scene
from manyeyes.data.synthesis.scene_generator import SceneGenerator

ANY_ORDER: frozenset[Change] = OF_SCENES | frozenset[Change](("order",))
"""The questions on one scene do not lean on each other."""

Said: TypeAlias = tuple[str | Oriented | Box | Point | Polygon, ...]
"""Words in which a shape stands for its coordinates."""


class Question(NamedTuple):
    """One question on a scene, and its answer."""

    ask: Said
    answer: Said


class Asked(NamedTuple):
    """A scene and what is asked about it."""

    scene: Scene
    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True)
class SceneQuestions(SceneGenerator[Asked]):
    """A scene with up to `questions` different questions; in a test split with one.

    Attributes:
        questions: turns of question and answer on one picture.
    """

    questions: int = 3
    kind: ClassVar[str] = "perception"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.questions < 1:
            raise ConfigError(f"{self.name}: questions must be at least 1, got {self.questions}")

    @property
    def asked(self) -> int:
        """Questions in a record of this split."""
        return 1 if self.split == "test" else self.questions

    @abstractmethod
    def _possible(self, scene: Scene, rng: np.random.Generator) -> list[Question]:
        """Different questions on the scene, of which `asked` are taken."""

    def _draw(self, rng: np.random.Generator) -> Asked:
        scene = self.draw_scene(rng)
        return Asked(scene, tuple(some(rng, self._possible(scene, rng), self.asked)))

    def _content(self, plan: Asked) -> str:
        return repr(plan.scene.figures)

    def _write(self, plan: Asked, name: str) -> Record:
        return conversation(plan, name)


def conversation(plan: Asked, name: str) -> Record:
    """The record of a scene and its questions, the picture in the first; `truth` is the last answer."""
    geometry: list[Geometry] = []
    turns: list[Turn] = []
    for i, (ask, answer) in enumerate(plan.questions):
        shown = () if i else (Shown(0),)
        turns += [user(*shown, *pieces_of(ask, geometry)), assistant(*pieces_of(answer, geometry))]
    truth = said(plan.questions[-1].answer, Size(plan.scene.width, plan.scene.height))
    return Record(name, tuple(turns), (plan.scene.picture,), tuple(geometry), allowed=ANY_ORDER, truth=truth)


def pieces_of(words: Said, geometry: list[Geometry]) -> list[Piece]:
    """Puts each shape into `geometry` and a `Located` in its place."""
    pieces: list[Piece] = []
    for word in words:
        if isinstance(word, (str, Oriented)):
            pieces.append(word)
        else:
            geometry.append(Geometry(word))
            pieces.append(Located(len(geometry) - 1))
    return pieces


def said(words: Said, size: Size) -> str:
    """The words as text, for the picture as drawn."""
    return "".join(_text(word, size) for word in words)


def _text(word: str | Oriented | Shape, size: Size) -> str:
    if isinstance(word, str):
        return word
    return word.word if isinstance(word, Oriented) else written(word, size)


@dataclass(frozen=True, kw_only=True)
class Counting(SceneQuestions):
    """How many shapes, circles, or red shapes there are; now and then of a kind that is absent.

    Attributes:
        subjects: what is counted: "all" shapes, one "shape", one "colour".
    """

    figures: tuple[int, int] = (1, 6)
    distinct: bool = False
    subjects: tuple[str, ...] = ("all", "shape", "colour")
    name: str = "synthetic/perception/counting"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.subjects or not set(self.subjects) <= {"all", "shape", "colour"}:
            raise ConfigError(f"{self.name}: subjects are all, shape and colour; got {self.subjects}")

    def _possible(self, scene: Scene, rng: np.random.Generator) -> list[Question]:
        nouns = {"all": ["shapes"], "shape": [f"{shape}s" for shape in self.shapes]}
        nouns["colour"] = [
            f"{colour} shapes" for colour in {*(f.colour for f in scene.figures), *some(rng, self.colours, 1)}
        ]
        counts = {"shapes": len(scene.figures)}
        for figure in scene.figures:
            for noun in (f"{figure.shape}s", f"{figure.colour} shapes"):
                counts[noun] = counts.get(noun, 0) + 1
        asked = [noun for subject in self.subjects for noun in sorted(nouns[subject])]
        return [Question((f"How many {noun} are there?",), (str(counts.get(noun, 0)),)) for noun in asked]


def _box(scene: Scene, figure: Figure) -> Question:
    return Question((f"Give the box of the {figure.label}.",), (figure.box,))


def _named(scene: Scene, figure: Figure) -> Question:
    return Question(("What is in the box ", figure.box, "?"), (article(figure.label),))


def _every(scene: Scene, figure: Figure) -> Question:
    alike = sorted((f for f in scene.figures if f.shape == figure.shape), key=lambda f: f.box)
    commas = tuple(part for f in alike for part in (f.box, "; "))[:-1]
    return Question((f"Give the box of every {figure.shape}.",), commas)


def _point(scene: Scene, figure: Figure) -> Question:
    return Question((f"Point to the {figure.label}.",), (figure.centre,))


def _pointed(scene: Scene, figure: Figure) -> Question:
    return Question(("What is at the point ", figure.centre, "?"), (article(figure.label),))


def _contour(scene: Scene, figure: Figure) -> Question:
    return Question((f"Outline the {figure.label}.",), (figure.contour,))


TASKS: dict[str, Callable[[Scene, Figure], Question]] = {
    "box": _box,
    "named": _named,
    "every": _every,
    "point": _point,
    "pointed": _pointed,
    "contour": _contour,
}


@dataclass(frozen=True, kw_only=True)
class Grounding(SceneQuestions):
    """From words to places and back.

    Attributes:
        tasks: keys of `TASKS`. "box", "every", "point", "contour" ask for coordinates; "named" and "pointed" give some
            and ask what is there.
    """

    figures: tuple[int, int] = (1, 4)
    tasks: tuple[str, ...] = ("box", "named", "every")
    name: str = "synthetic/perception/grounding"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tasks or not set(self.tasks) <= set(TASKS):
            raise ConfigError(f"{self.name}: tasks are {', '.join(TASKS)}; got {self.tasks}")
        if not self.distinct:
            raise ConfigError(f"{self.name}: figures must be distinct, else the words could mean either of two")

    def _possible(self, scene: Scene, rng: np.random.Generator) -> list[Question]:
        questions = [TASKS[task](scene, figure) for figure in scene.figures for task in self.tasks]
        return list(dict.fromkeys(questions))


@dataclass(frozen=True, kw_only=True)
class BoxesAsText(SceneGenerator[Scene]):
    """Documents: a picture, then every figure with its box, from top to bottom and left to right."""

    figures: tuple[int, int] = (1, 3)
    name: str = "synthetic/perception/boxes_text"
    kind: ClassVar[str] = "perception"

    def _draw(self, rng: np.random.Generator) -> Scene:
        return self.draw_scene(rng)

    def _content(self, plan: Scene) -> str:
        return repr(plan.figures)

    def _write(self, plan: Scene, name: str) -> Record:
        geometry: list[Geometry] = []
        pieces: list[Piece] = []
        for figure in sorted(plan.figures, key=lambda figure: (figure.centre.y, figure.centre.x)):
            between_figures = "; " if pieces else ""
            pieces += [f"{between_figures}{article(figure.label)} ", *pieces_of((figure.box,), geometry)]
        return Record(name, document(Shown(0), *pieces), (plan.picture,), tuple(geometry), allowed=OF_SCENES)


@dataclass(frozen=True, kw_only=True)
class Pointing(Grounding):
    """Grounding by points: the middle of a figure."""

    tasks: tuple[str, ...] = ("point", "pointed")
    name: str = "synthetic/perception/pointing"


@dataclass(frozen=True, kw_only=True)
class Contours(Grounding):
    """Segmentation as text: the outline of a figure as a polygon (16 points for round ones)."""

    figures: tuple[int, int] = (1, 3)
    tasks: tuple[str, ...] = ("contour",)
    questions: int = 2
    name: str = "synthetic/perception/contours"


@dataclass(frozen=True, kw_only=True)
class Attributes(SceneQuestions):
    """Questions in the words of easy-VQA: the colour of a shape, its kind, and whether there is such a thing.

    With several figures, only questions with one right answer are asked.
    """

    name: str = "synthetic/perception/attributes"

    def _possible(self, scene: Scene, rng: np.random.Generator) -> list[Question]:
        figure = pick(rng, scene.figures)
        questions = [self._yes_or_no(scene, rng) for _ in range(2)]
        if sum(f.shape == figure.shape for f in scene.figures) == 1:
            noun = pick(rng, (figure.shape, "shape")) if len(scene.figures) == 1 else figure.shape
            ask = pick(rng, ("what color is the {}?", "what is the color of the {}?")).format(noun)
            questions.append(Question((ask,), (figure.colour,)))
        if len(scene.figures) == 1:
            questions.append(Question((pick(rng, _WHAT_SHAPE),), (figure.shape,)))
        return list(dict.fromkeys(questions))

    def _yes_or_no(self, scene: Scene, rng: np.random.Generator) -> Question:
        if rng.random() < 0.5:
            there, all_ = {f.shape for f in scene.figures}, self.shapes
        else:
            there, all_ = {f"{f.colour} shape" for f in scene.figures}, tuple(f"{c} shape" for c in self.colours)
        absent = [noun for noun in all_ if noun not in there]
        present = not absent or rng.random() < 0.5
        noun = pick(rng, sorted(there) if present else absent)
        ask, negative = pick(rng, _YES_OR_NO)
        return Question((ask.format(noun, article(noun)),), ("yes" if present != negative else "no",))


_WHAT_SHAPE = ("what shape is present?", "what shape is in the image?", "what shape does the image contain?")
_YES_OR_NO = (
    ("is there {1}?", False),
    ("is there {1} in the image?", False),
    ("does the image contain {1}?", False),
    ("is {1} present?", False),
    ("is there not {1}?", True),
    ("is there not {1} in the image?", True),
    ("does the image not contain {1}?", True),
    ("is no {0} present?", True),
)


@dataclass(frozen=True, kw_only=True)
class Relations(SceneQuestions):
    """Which figure lies nearest to an edge, and which is the largest or smallest."""

    figures: tuple[int, int] = (2, 4)
    name: str = "synthetic/perception/relations"

    def _possible(self, scene: Scene, rng: np.random.Generator) -> list[Question]:
        x, y = (lambda f: f.centre.x), (lambda f: f.centre.y)
        edges = {"left": x, "right": lambda f: -x(f), "top": y, "bottom": lambda f: -y(f)}
        questions = [
            _extreme(scene, ("Which shape is nearest to the ", Oriented(w), " edge?"), k, 4.0) for w, k in edges.items()
        ]
        questions.append(_extreme(scene, ("Which shape is the largest?",), lambda f: -_area(f), 40.0))
        questions.append(_extreme(scene, ("Which shape is the smallest?",), _area, 40.0))
        clear = [question for question in questions if question is not None]
        return clear or [Question(("How many shapes are there?",), (str(len(scene.figures)),))]


def _area(figure: Figure) -> float:
    x0, y0, x1, y1 = figure.box
    return (x1 - x0) * (y1 - y0)


def _extreme(scene: Scene, ask: Said, key: Callable[[Figure], float], margin: float) -> Question | None:
    """The question for the figure with the smallest key; None when another comes within the margin."""
    first, second = sorted(scene.figures, key=key)[:2]
    return Question(ask, (article(first.label),)) if key(second) - key(first) >= margin else None
