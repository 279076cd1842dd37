"""Clips with exact truth: motions, events and their order and times, counting, and long clips with needles.

Events begin on multiples of `beat` frames, so at two frames a second and four frames a chunk every event begins on a
chunk's timestamp, which stands in the prompt. Answers that name a time write it as the chunks do ("00:00:04.000").

Report: App. B.3 (video: hour-long understanding, fine-grained space and time), §4.2.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import timestamp
from manyeyes.core.picture import Picture
from manyeyes.core.video import Clip
from manyeyes.data.record import OF_SCENES, Box, Change, Oriented, Piece, Record, Shown, Turn
from manyeyes.data.synthesis import ocr, scene
from manyeyes.data.synthesis.caption import described
from manyeyes.data.synthesis.generator import (
    Generator,
    P,
    article,
    assistant,
    between,
    document,
    pick,
    some,
    user,
)
from manyeyes.data.synthesis.scene import EASY_COLOURS, EASY_SHAPES, Figure, Scene

WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
IN_ONE_CLIP: frozenset[Change] = OF_SCENES | frozenset[Change](("order",))


@dataclass(frozen=True, kw_only=True)
class VideoGenerator(Generator[P]):
    """Clips of `frames` frames.

    Attributes:
        width: of each frame, pixels.
        height: of each frame, pixels.
        frames: frames of a clip.
        fps: frames a second; the processor samples at most two.
        beat: frames between two moments at which something may happen.
        questions: turns a record; one in a test split.
        form: "question", or "document": the clip, then what happens.
    """

    width: int = 48
    height: int = 48
    frames: int = 12
    fps: float = 2.0
    beat: int = 4
    questions: int = 2
    form: Literal["question", "document"] = "question"
    kind: ClassVar[str] = "video"

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.frames, self.beat, self.questions) < 1 or self.frames < 2 * self.beat:
            raise ConfigError(f"{self.name}: frames must be at least two beats of {self.beat}, got {self.frames}")

    @property
    def asked(self) -> int:
        """Questions in a record of this split."""
        return 1 if self.split == "test" else self.questions

    @property
    def beats(self) -> int:
        """Moments at which something may happen."""
        return self.frames // self.beat

    def time(self, beat: int) -> str:
        """When a beat begins, as the timestamps of chunks are written."""
        return timestamp(beat * self.beat / self.fps)

    def _clip(self, plan: P) -> Clip:
        pictures = (Picture.lazy(self.width, self.height, partial(self.frame, plan, i)) for i in range(self.frames))
        return Clip(tuple(pictures), self.fps)

    @abstractmethod
    def frame(self, plan: P, index: int) -> NDArray[np.uint8]:
        """The pixels of one frame: uint8 [height, width, 3]."""

    def _conversation(self, plan: P, name: str, questions: list[tuple[str, str | Oriented]]) -> Record:
        turns: list[Turn] = []
        for i, (ask, answer) in enumerate(questions):
            turns += [user(*(() if i else (Shown(0),)), ask), assistant(answer)]
        last = questions[-1][1]
        truth = last.word if isinstance(last, Oriented) else last
        return Record(name, tuple(turns), (self._clip(plan),), allowed=IN_ONE_CLIP, truth=truth)


class Motion(NamedTuple):
    """A scene at its first frame, and the way that each figure takes; None stays."""

    start: Scene
    ways: tuple[str | None, ...]
    asked: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Motions(VideoGenerator[Motion]):
    """Figures that move left, right, up or down by about half of the picture, or stay.

    Attributes:
        figures: fewest and most figures.
    """

    figures: tuple[int, int] = (1, 2)
    frames: int = 8
    name: str = "synthetic/video/motions"

    def _draw(self, rng: np.random.Generator) -> Motion:
        count = between(rng, *self.figures)
        colours = some(rng, EASY_COLOURS, count)
        kinds = [(pick(rng, EASY_SHAPES), colour) for colour in colours]
        start = scene.scene(rng, kinds, self.width, self.height, largest=0.4)
        ways = tuple(self._way(rng, figure.box) for figure in start.figures)
        return Motion(start, ways, tuple(some(rng, range(count), self.asked)))

    def _way(self, rng: np.random.Generator, box: Box) -> str | None:
        """A way on which there is room for a clear motion, now and then none."""
        room = {
            "left": box.x0 / self.width,
            "right": 1 - box.x1 / self.width,
            "up": box.y0 / self.height,
            "down": 1 - box.y1 / self.height,
        }
        clear = [way for way, share in room.items() if share >= 0.3]
        return None if not clear or rng.random() < 0.15 else pick(rng, clear)

    def _content(self, plan: Motion) -> str:
        return repr((plan.start.figures, plan.ways))

    def frame(self, plan: Motion, index: int) -> NDArray[np.uint8]:
        """See `VideoGenerator.frame`."""
        return scene.drawn(self.scene_at(plan, index))

    def scene_at(self, plan: Motion, index: int) -> Scene:
        """Where everything is in frame `index`: all motions last the whole clip and end within the picture."""
        progress = index / (self.frames - 1)
        moved = []
        for figure, way in zip(plan.start.figures, plan.ways, strict=True):
            x0, y0, x1, y1 = figure.box
            dx, dy = WAYS[way] if way else (0, 0)
            across = dx * (x0 if dx < 0 else self.width - x1) * progress
            down = dy * (y0 if dy < 0 else self.height - y1) * progress
            across, down = round(across), round(down)
            moved.append(figure._replace(box=Box(x0 + across, y0 + down, x1 + across, y1 + down)))
        return plan.start._replace(figures=tuple(moved))

    def _write(self, plan: Motion, name: str) -> Record:
        if self.form == "document":
            pieces: list[Piece] = [Shown(0)]
            for i, (figure, way) in enumerate(zip(plan.start.figures, plan.ways, strict=True)):
                pieces.append(" and " if i else "")
                pieces += (
                    [f"{article(figure.label)} moves ", Oriented(way)] if way else [f"{article(figure.label)} stays"]
                )
            return Record(name, document(*(p for p in pieces if p)), (self._clip(plan),), allowed=OF_SCENES)
        questions: list[tuple[str, str | Oriented]] = []
        for number in plan.asked:
            way = plan.ways[number]
            ask = f"Which way does the {plan.start.figures[number].label} move?"
            questions.append((ask, Oriented(way) if way else "it stays"))
        return self._conversation(plan, name, questions)


class Appearances(NamedTuple):
    """Figures and the beat at which each appears."""

    end: Scene
    beats: tuple[int, ...]
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Events(VideoGenerator[Appearances]):
    """Figures appear one after the other: which, when, in which order, how many by a given time.

    Attributes:
        figures: fewest and most figures; no two appear together.
    """

    figures: tuple[int, int] = (2, 3)
    frames: int = 16
    name: str = "synthetic/video/events"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.figures[1] > self.beats:
            raise ConfigError(
                f"{self.name}: {self.figures[1]} figures need as many beats, {self.frames} frames have {self.beats}"
            )

    def _draw(self, rng: np.random.Generator) -> Appearances:
        count = between(rng, *self.figures)
        kinds = [(pick(rng, EASY_SHAPES), colour) for colour in some(rng, EASY_COLOURS, count)]
        end = scene.scene(rng, kinds, self.width, self.height)
        beats = tuple(sorted(some(rng, range(self.beats), count)))
        return Appearances(end, beats, tuple(some(rng, self._possible(end, beats, rng), self.asked)))

    def _possible(self, end: Scene, beats: tuple[int, ...], rng: np.random.Generator) -> list[tuple[str, str]]:
        labels = [figure.label for figure in end.figures]
        number = between(rng, 0, len(labels) - 1)
        questions = [
            ("How many shapes appear?", str(len(labels))),
            ("Which shape appears first?", article(labels[0])),
            ("Which shape appears last?", article(labels[-1])),
            ("In which order do the shapes appear?", ", ".join(map(article, labels))),
            (f"When does the {labels[number]} appear?", self.time(beats[number])),
            (f"Which shape appears at {self.time(beats[number])}?", article(labels[number])),
        ]
        if number:
            questions.append((f"What appears just before the {labels[number]}?", article(labels[number - 1])))
        return questions

    def _content(self, plan: Appearances) -> str:
        return repr((plan.end.figures, plan.beats))

    def frame(self, plan: Appearances, index: int) -> NDArray[np.uint8]:
        """See `VideoGenerator.frame`."""
        shown = [f for f, beat in zip(plan.end.figures, plan.beats, strict=True) if index >= beat * self.beat]
        return scene.drawn(plan.end._replace(figures=tuple(shown)))

    def _write(self, plan: Appearances, name: str) -> Record:
        if self.form == "question":
            return self._conversation(plan, name, list(plan.questions))
        pieces: list[Piece] = [Shown(0)]
        for i, (figure, beat) in enumerate(zip(plan.end.figures, plan.beats, strict=True)):
            pieces += [f"{chr(10) if i else ''}{self.time(beat)} ", *described(plan.end, figure)]
        return Record(name, document(*pieces), (self._clip(plan),), allowed=OF_SCENES)


class Blinks(NamedTuple):
    """A figure that is seen during some beats only."""

    scene: Scene
    beats: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Blinking(VideoGenerator[Blinks]):
    """How many times a figure is seen; between two times it is gone for at least a beat.

    Attributes:
        most: most times; needs twice as many beats.
    """

    frames: int = 24
    most: int = 3
    name: str = "synthetic/video/blinking"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beats < 2 * self.most - 1:
            needed = 2 * self.most - 1
            raise ConfigError(
                f"{self.name}: {self.most} blinks need {needed} beats, {self.frames} frames have {self.beats}"
            )

    def _draw(self, rng: np.random.Generator) -> Blinks:
        count = between(rng, 1, self.most)
        free = some(rng, range(self.beats - count + 1), count)
        beats = tuple(beat + i for i, beat in enumerate(sorted(free)))
        kind = pick(rng, EASY_SHAPES), pick(rng, EASY_COLOURS)
        return Blinks(scene.scene(rng, [kind], self.width, self.height, largest=0.6), beats)

    def _content(self, plan: Blinks) -> str:
        return repr((plan.scene.figures, plan.beats))

    def frame(self, plan: Blinks, index: int) -> NDArray[np.uint8]:
        """See `VideoGenerator.frame`."""
        seen = index // self.beat in plan.beats
        return scene.drawn(plan.scene if seen else plan.scene._replace(figures=()))

    def _write(self, plan: Blinks, name: str) -> Record:
        label, times = plan.scene.figures[0].label, len(plan.beats)
        if self.form == "document":
            text = f"{article(label)} is seen {times} time{'s' if times > 1 else ''}"
            return Record(name, document(Shown(0), text), (self._clip(plan),), allowed=OF_SCENES)
        return self._conversation(plan, name, [(f"How many times is the {label} seen?", str(times))])


class Needle(NamedTuple):
    """A number shown for one beat of a long clip; `drift` seeds what else is seen."""

    line: ocr.Line
    beat: int
    text: str


class Haystack(NamedTuple):
    """A long clip with needles in order of time."""

    needles: tuple[Needle, ...]
    drift: int
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class LongVideos(VideoGenerator[Haystack]):
    """Long clips in which numbers are shown for a moment while a shape wanders about; what, when, and in which order.

    Attributes:
        needles: fewest and most numbers.
        digits: of each number.
        font_sizes: smallest and largest font size of the numbers.
    """

    width: int = 48
    height: int = 32
    frames: int = 120
    needles: tuple[int, int] = (1, 2)
    digits: int = 2
    font_sizes: tuple[int, int] = (18, 24)
    name: str = "synthetic/video/long"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.needles[1] > self.beats:
            raise ConfigError(f"{self.name}: {self.needles[1]} needles need as many beats, got {self.beats}")

    def _draw(self, rng: np.random.Generator) -> Haystack:
        count = between(rng, *self.needles)
        beats = sorted(some(rng, range(self.beats), count))
        smallest, largest = self.font_sizes
        needles = []
        for beat in beats:
            text = f"{between(rng, 0, 10**self.digits - 1):0{self.digits}d}"
            line = ocr.typeset(
                rng, text, self.width, self.height, faces=("sans", "bold"), smallest=smallest, largest=largest
            )
            needles.append(Needle(line, beat, text))
        drift = between(rng, 0, 2**30)
        return Haystack(tuple(needles), drift, tuple(some(rng, self._possible(needles, rng), self.asked)))

    def _possible(self, needles: list[Needle], rng: np.random.Generator) -> list[tuple[str, str]]:
        texts = [needle.text for needle in needles]
        one = pick(rng, needles)
        questions = [("How many numbers are shown?", str(len(texts)))]
        if len(set(texts)) == len(texts):
            questions.append((f"When is {one.text} shown?", self.time(one.beat)))
            questions.append((f"Which number is shown at {self.time(one.beat)}?", one.text))
        if len(texts) > 1:
            questions.append(("Which numbers are shown, in order?", ", ".join(texts)))
        return questions[1:] if self.split == "test" and len(questions) > 1 else questions

    def _content(self, plan: Haystack) -> str:
        return repr([(needle.text, needle.beat) for needle in plan.needles])

    def frame(self, plan: Haystack, index: int) -> NDArray[np.uint8]:
        """See `VideoGenerator.frame`."""
        for needle in plan.needles:
            if needle.beat == index // self.beat:
                return ocr.drawn(needle.line)
        side = min(self.width, self.height) // 3
        x = _bounce(plan.drift + 2 * index, self.width - side)
        y = _bounce(plan.drift // 7 + 3 * index, self.height - side)
        colour = EASY_COLOURS[plan.drift // 11 % len(EASY_COLOURS)]
        shape = EASY_SHAPES[plan.drift // 97 % len(EASY_SHAPES)]
        wanderer = Figure(shape, colour, Box(x, y, x + side, y + side))
        return scene.drawn(Scene(self.width, self.height, (245, 245, 240), (wanderer,)))

    def _write(self, plan: Haystack, name: str) -> Record:
        if self.form == "document":
            text = "\n".join(f"{self.time(needle.beat)} {needle.text}" for needle in plan.needles)
            return Record(name, document(Shown(0), text), (self._clip(plan),))
        record = self._conversation(plan, name, list(plan.questions))
        return Record(
            name, record.turns, record.media, allowed=frozenset[Change](("order", "text")), truth=record.truth
        )


def _bounce(step: int, room: int) -> int:
    """A place between 0 and `room` that goes to and fro."""
    return room - abs(step % (2 * room) - room)
