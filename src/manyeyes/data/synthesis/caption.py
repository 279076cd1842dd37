"""Captions of drawn scenes: what is shown and where, in short and always the same words.

    "a red circle at the top left and a blue triangle at the right"

Direction words are `Oriented` pieces, so a mirrored picture gets a mirrored caption. All of this is synthetic
(`Generator.synthetic`, names under "synthetic/caption"); `data.caption_cap` keeps it below a share of all captions.

Report: App. B.3 (caption data, strict limits on synthetic captions).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from manyeyes.data.record import OF_SCENES, Oriented, Piece, Record, Shown
from manyeyes.data.synthesis.generator import article, document
from manyeyes.data.synthesis.scene import Figure, Scene
from manyeyes.data.synthesis.scene_generator import SceneGenerator


@dataclass(frozen=True, kw_only=True)
class SceneCaptions(SceneGenerator[Scene]):
    """Documents: a picture, then one line that names every figure and its place, from top to bottom and left to right.

    Attributes:
        places: say where each figure is.

    Example:
        >>> SceneCaptions(size=3).record(0).turns[0].role
        'document'
    """

    places: bool = True
    name: str = "synthetic/caption/scenes"
    kind: ClassVar[str] = "caption"

    def _draw(self, rng: np.random.Generator) -> Scene:
        return self.draw_scene(rng)

    def _content(self, plan: Scene) -> str:
        return repr(plan.figures)

    def _write(self, plan: Scene, name: str) -> Record:
        listed = sorted(plan.figures, key=lambda figure: (figure.centre.y, figure.centre.x))
        pieces = joined([described(plan, figure, places=self.places) for figure in listed])
        return Record(name, document(Shown(0), *pieces), (plan.picture,), allowed=OF_SCENES)


def described(plan: Scene, figure: Figure, *, places: bool = True, media: int = 0) -> tuple[Piece, ...]:
    """A figure in words: "a red circle", then where it is: " at the " top left, or " in the middle"."""
    noun = article(figure.label)
    if not places:
        return (noun,)
    place = plan.place(figure)
    return (f"{noun} at the ", Oriented(place, media)) if place else (f"{noun} in the middle",)


def joined(phrases: Sequence[tuple[Piece, ...]]) -> tuple[Piece, ...]:
    """Phrases with commas between them, and "and" before the last."""
    pieces: list[Piece] = []
    for i, phrase in enumerate(phrases):
        if i:
            pieces.append(" and " if i == len(phrases) - 1 else ", ")
        pieces.extend(phrase)
    return tuple(pieces)
