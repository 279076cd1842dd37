"""All kinds of sights by name, and sight number n of a kind.

    sight("count", 7, seed=0, split="train")        always the same one; no content occurs in both splits

Which capability a kind asks for, recipes say (`recipes.tiny_places.SIGHT_DOMAINS`).

Report: §2.3 (domains of outcome-based visual reinforcement learning).
"""

from collections.abc import Callable

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.core.seeds import stream
from manyeyes.data.collection import Split
from manyeyes.data.held_out import split_of
from manyeyes.data.synthesis.generator import HELD_OUT
from manyeyes.data.synthesis.zero_vision_charts import bars_sight, print_sight, tallest_sight
from manyeyes.data.synthesis.zero_vision_measures import dice_sight, gauge_sight, share_sight
from manyeyes.data.synthesis.zero_vision_shapes import count_sight, locate_sight
from manyeyes.data.synthesis.zero_vision_sight import Sight

SIDE = 64
"""Pixels of a side; sixteen tokens of the tiny model."""
SMALLEST = 64
"""Dice need room."""

KINDS: dict[str, Callable[[np.random.Generator, int], Sight]] = {
    "count": count_sight,
    "locate": locate_sight,
    "bars": bars_sight,
    "tallest": tallest_sight,
    "print": print_sight,
    "share": share_sight,
    "dice": dice_sight,
    "gauge": gauge_sight,
}


def sight(kind: str, number: int, *, seed: int = 0, split: Split = "train", side: int = SIDE) -> Sight:
    """Sight number `number` of a kind.

    Args:
        seed: another seed gives others of the same split.
        side: of the picture, pixels.

    Raises:
        ConfigError: there is no such kind, or the side is too short.
    """
    if kind not in KINDS or side < SMALLEST:
        raise ConfigError(f"sights are {', '.join(KINDS)} with sides from {SMALLEST}; got {kind!r} with {side}")
    rng = stream(seed, f"data/zero_vision/{kind}/{split}", number)
    while True:
        drawn = KINDS[kind](rng, side)
        if split_of(drawn.content, per_mille=HELD_OUT) == split:
            return drawn


def checked_kinds(kinds: tuple[str, ...], known: tuple[str, ...] = tuple(KINDS)) -> tuple[str, ...]:
    """Kinds that there are, at least one. Raises ConfigError."""
    if not kinds or (unknown := [kind for kind in kinds if kind not in known]):
        raise ConfigError(f"expected some of {', '.join(known)}; got {', '.join(unknown if kinds else ()) or 'none'}")
    return kinds
