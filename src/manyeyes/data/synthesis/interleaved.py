"""Pictures and text in turns: drawing lessons, albums with references back, new names learned on the spot, comparisons.

Report: App. B.3 (interleaved data from books, web pages and tutorials: several images, longer context).
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.record import Change, Piece, Record, Shown
from manyeyes.data.synthesis.caption import described, joined
from manyeyes.data.synthesis.generator import Generator, article, assistant, between, document, pick, some, user
from manyeyes.data.synthesis.scene import Scene, scene
from manyeyes.data.synthesis.scene_generator import SceneGenerator
from manyeyes.data.synthesis.words import LANGUAGES, pseudo_word

SERIES: frozenset[Change] = frozenset[Change](("scale",))
"""What may change when pictures depend on each other: nothing that would turn one and not the next."""


@dataclass(frozen=True, kw_only=True)
class DrawingLessons(SceneGenerator[Scene]):
    """A lesson: each step names one more figure and shows the picture so far."""

    figures: tuple[int, int] = (2, 4)
    name: str = "synthetic/interleaved/lessons"
    kind: ClassVar[str] = "interleaved"

    def _draw(self, rng: np.random.Generator) -> Scene:
        return self.draw_scene(rng)

    def _content(self, plan: Scene) -> str:
        return repr(plan.figures)

    def _write(self, plan: Scene, name: str) -> Record:
        steps = [plan._replace(figures=plan.figures[: i + 1]) for i in range(len(plan.figures))]
        pieces: list[Piece] = []
        for i, figure in enumerate(plan.figures):
            verb = "Add" if i else "Draw"
            pieces += [f"{'' if i == 0 else chr(10)}Step {i + 1}. {verb} "]
            pieces += [*described(plan, figure, media=i), ".", Shown(i)]
        return Record(name, document(*pieces), tuple(step.picture for step in steps), allowed=SERIES)


class Album(NamedTuple):
    """Scenes, one a page."""

    scenes: tuple[Scene, ...]


@dataclass(frozen=True, kw_only=True)
class Albums(SceneGenerator[Album]):
    """A picture book: numbered figures, each with a sentence, some looking back to the figure before.

    Attributes:
        pages: fewest and most pictures.
    """

    pages: tuple[int, int] = (2, 4)
    figures: tuple[int, int] = (1, 3)
    name: str = "synthetic/interleaved/albums"
    kind: ClassVar[str] = "interleaved"

    def _draw(self, rng: np.random.Generator) -> Album:
        return Album(tuple(self.draw_scene(rng) for _ in range(between(rng, *self.pages))))

    def _content(self, plan: Album) -> str:
        return repr([scene.figures for scene in plan.scenes])

    def _write(self, plan: Album, name: str) -> Record:
        pieces: list[Piece] = []
        for i, shown in enumerate(plan.scenes):
            phrases = [described(shown, figure, media=i) for figure in shown.figures]
            pieces += [Shown(i), f"Figure {i + 1} shows ", *joined(phrases), "."]
            if i:
                pieces.append(" " + _looking_back(plan.scenes[i - 1], shown, i))
            if i < len(plan.scenes) - 1:
                pieces.append("\n")
        return Record(name, document(*pieces), tuple(s.picture for s in plan.scenes), allowed=SERIES)


def _looking_back(before: Scene, now: Scene, number: int) -> str:
    more = len(now.figures) - len(before.figures)
    if more == 0:
        return f"It has as many shapes as figure {number}."
    return f"It has {abs(more)} {'more' if more > 0 else 'fewer'} than figure {number}."


class Lesson(NamedTuple):
    """Names for shapes, an example of each, and one more picture to be named."""

    names: tuple[str, ...]
    examples: tuple[Scene, ...]
    quiz: Scene
    right: int


@dataclass(frozen=True, kw_only=True)
class NewNames(Generator[Lesson]):
    """Invented names for shapes, learned from one example each, then asked for on a figure of another colour.

    Attributes:
        names: how many names a record teaches.
        width: of each picture, pixels.
        height: of each picture, pixels.
    """

    names: int = 3
    width: int = 48
    height: int = 48
    shapes: tuple[str, ...] = ("circle", "rectangle", "triangle", "star", "cross", "diamond")
    colours: tuple[str, ...] = ("red", "green", "blue", "black", "teal", "brown", "yellow")
    name: str = "synthetic/interleaved/new_names"
    kind: ClassVar[str] = "interleaved"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.names <= len(self.shapes):
            raise ConfigError(
                f"{self.name}: names must be 2 to {len(self.shapes)} (the number of shapes), got {self.names}"
            )

    def _draw(self, rng: np.random.Generator) -> Lesson:
        shapes = some(rng, self.shapes, self.names)
        names: list[str] = []
        while len(names) < self.names:
            word = pseudo_word(rng, LANGUAGES["en"], 5)
            names += [word] if len(word) > 2 and word not in names else []
        right = between(rng, 0, self.names - 1)
        colours = some(rng, self.colours, 2)
        examples = tuple(scene(rng, [(shape, colours[0])], self.width, self.height, largest=0.7) for shape in shapes)
        quiz = scene(rng, [(shapes[right], colours[1])], self.width, self.height, largest=0.7)
        return Lesson(tuple(names), examples, quiz, right)

    def _write(self, plan: Lesson, name: str) -> Record:
        pieces: list[Piece] = []
        for i, word in enumerate(plan.names):
            pieces += [Shown(i), f"This shape is {article(word)}.\n"]
        turns = user(*pieces, Shown(self.names), "What is this shape?"), assistant(article(plan.names[plan.right]))
        media = tuple(s.picture for s in (*plan.examples, plan.quiz))
        return Record(name, turns, media, allowed=SERIES, truth=article(plan.names[plan.right]))


class Comparison(NamedTuple):
    """Scenes, and what is compared."""

    scenes: tuple[Scene, ...]
    noun: str
    most: bool


@dataclass(frozen=True, kw_only=True)
class Comparisons(SceneGenerator[Comparison]):
    """Which of several pictures has the most, or the fewest, of something; one picture stands out.

    Attributes:
        pages: fewest and most pictures.
        working: write the counts before the answer.
    """

    pages: tuple[int, int] = (2, 3)
    figures: tuple[int, int] = (1, 5)
    distinct: bool = False
    working: bool = True
    name: str = "synthetic/interleaved/comparisons"
    kind: ClassVar[str] = "interleaved"

    def _draw(self, rng: np.random.Generator) -> Comparison:
        noun = pick(rng, ("shape", *self.shapes))
        most, count = rng.random() < 0.5, between(rng, *self.pages)
        while True:
            scenes = tuple(self.draw_scene(rng) for _ in range(count))
            counts = sorted((_count(s, noun) for s in scenes), reverse=most)
            if counts[0] != counts[1]:
                return Comparison(scenes, noun, most)

    def _content(self, plan: Comparison) -> str:
        return repr([s.figures for s in plan.scenes])

    def _write(self, plan: Comparison, name: str) -> Record:
        counts = [_count(s, plan.noun) for s in plan.scenes]
        right = counts.index(max(counts) if plan.most else min(counts)) + 1
        working = ", ".join(f"picture {i} has {n}" for i, n in enumerate(counts, 1))
        answer = f"{working[0].upper()}{working[1:]}. So picture {right}." if self.working else f"Picture {right}."
        pieces = [p for i in range(len(counts)) for p in (f"Picture {i + 1}:", Shown(i))]
        ask = f"Which picture has the {'most' if plan.most else 'fewest'} {plan.noun}s?"
        media = tuple(s.picture for s in plan.scenes)
        return Record(name, (user(*pieces, ask), assistant(answer)), media, allowed=SERIES, truth=f"picture {right}")


def _count(shown: Scene, noun: str) -> int:
    return sum(noun in ("shape", figure.shape) for figure in shown.figures)
