"""`SceneGenerator`: collections whose examples are scenes of coloured shapes; captions and questions build on it.

The figures alone decide the split, so a held-out arrangement is held out from captions and from every kind of question.

Report: App. B.3.
"""

from dataclasses import dataclass

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.synthesis.generator import Generator, P, between, pick
from manyeyes.data.synthesis.scene import COLOURS, EASY_COLOURS, EASY_SHAPES, OUTLINES, Scene, scene


@dataclass(frozen=True, kw_only=True)
class SceneGenerator(Generator[P]):
    """Scenes of `figures[0]` to `figures[1]` shapes; what is said about them is up to the subclass.

    Attributes:
        width: of the picture, pixels.
        height: of the picture, pixels.
        figures: fewest and most shapes.
        shapes: keys of `scene.OUTLINES`; the default three are those of easy-VQA.
        colours: keys of `scene.COLOURS`; the default eight are those of easy-VQA.
        distinct: no two figures have both shape and colour in common, so that each can be named.
        largest: longest side of a lone figure, as a share of the picture's shorter side.
    """

    width: int = 64
    height: int = 64
    figures: tuple[int, int] = (1, 1)
    shapes: tuple[str, ...] = EASY_SHAPES
    colours: tuple[str, ...] = EASY_COLOURS
    distinct: bool = True
    largest: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.shapes if name not in OUTLINES]
        unknown += [name for name in self.colours if name not in COLOURS]
        if unknown:
            raise ConfigError(f"{self.name}: {', '.join(unknown)}: shapes are {[*OUTLINES]}, colours {[*COLOURS]}")
        low, high = self.figures
        room = len(self.shapes) * len(self.colours) if self.distinct else high
        if not 1 <= low <= high <= room:
            raise ConfigError(f"{self.name}: figures must be 1 <= fewest <= most <= {room}, got {self.figures}")
        if min(self.width, self.height) < 16:
            raise ConfigError(f"{self.name}: a scene needs at least 16x16 pixels, got {self.width}x{self.height}")

    def draw_scene(self, rng: np.random.Generator) -> Scene:
        """A scene within the limits of this generator."""
        count = between(rng, *self.figures)
        kinds: list[tuple[str, str]] = []
        while len(kinds) < count:
            kind = pick(rng, self.shapes), pick(rng, self.colours)
            if not (self.distinct and kind in kinds):
                kinds.append(kind)
        return scene(rng, kinds, self.width, self.height, largest=self.largest)
