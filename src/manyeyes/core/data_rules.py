"""`Rules`: what is expected of recorded data, and a `Finding`: what does not hold of it.

Report: App. D.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Media
from manyeyes.core.trajectory import NOBODY

Severity = Literal["error", "warning"]


class Finding(NamedTuple):
    """Something that does not hold.

    Attributes:
        severity: "error" must not be trained on; "warning" is for people.
        check: name of the check.
        name: of the trajectory, group or sample.
        node: number of the node; `NOBODY` where it is about no node.
        words: what was expected and what came.

    Example:
        >>> str(Finding("error", "vocabulary", "maze/1/0", 2, "id 9000 lies outside 0..2047"))
        'error: maze/1/0, node 2: id 9000 lies outside 0..2047 (vocabulary)'
    """

    severity: Severity
    check: str
    name: str
    node: int
    words: str

    def __str__(self) -> str:
        where = f", node {self.node}" if self.node != NOBODY else ""
        return f"{self.severity}: {self.name}{where}: {self.words} ({self.check})"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is expected; None asks for nothing.

    Attributes:
        vocab_size: ids lie below it.
        media_pad: id of `<|media_pad|>`.
        version: of the newest policy.
        most_tokens: of a branch.
        parts: names that every verdict must have.
        tolerance: how far above 0 a log-probability may come out: float32 sums are not exact.
        group_size: attempts of a group.
        quorum: judged attempts that a group needs.

    Example:
        >>> Rules(vocab_size=2048).tolerance
        0.0001
    """

    vocab_size: int | None = None
    media_pad: int | None = None
    version: int | None = None
    most_tokens: int | None = None
    parts: frozenset[str] = frozenset()
    tolerance: float = 1e-4
    group_size: int | None = None
    quorum: int | None = None

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise ConfigError(f"tolerance must be at least 0, got {self.tolerance}")


Said = tuple[Severity, int, str]
"""A finding's severity, node and words."""


def outside(ids: NDArray[np.int32], vocab_size: int) -> str:
    """Words for the first id that is not in the vocabulary; "" for none."""
    wrong = ids[(ids < 0) | (ids >= vocab_size)]
    return f"id {wrong[0]} lies outside 0..{vocab_size - 1}" if len(wrong) else ""


def impossible(logprobs: NDArray[np.float32], tolerance: float) -> str:
    """Words for the first log-probability that none can have; "" for none."""
    wrong = logprobs[~(np.isfinite(logprobs) & (logprobs <= tolerance))]
    return f"{len(wrong)} log-probabilities are not finite or above 0, the first is {wrong[0]}" if len(wrong) else ""


def unmatched(ids: NDArray[np.int32], items: Sequence[Media], media_pad: int) -> str:
    """Words where runs of `<|media_pad|>` and items of media do not match; "" where they do."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], ids == media_pad, [False])).astype(np.int8)))
    runs, tokens = (edges[1::2] - edges[::2]).tolist(), [item.grid.tokens for item in items]
    if len(runs) != len(tokens):
        return f"{len(runs)} runs of <|media_pad|> and {len(tokens)} items of media"
    place = next((place for place, pair in enumerate(zip(runs, tokens, strict=True)) if pair[0] != pair[1]), None)
    return "" if place is None else f"item {place} of media fills {tokens[place]} tokens, its run has {runs[place]}"
