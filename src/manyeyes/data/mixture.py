"""Mixture: the ratio schedule as data, counted in tokens.

A run is cut into segments by the tokens drawn so far. Each has a target vision ratio (all tokens of a sample with media
count as vision) and weights of the sources within their domain; each source may have an epoch cap. K2.5 keeps one low
ratio from start to end; the ablations of Table 1 begin later with a higher one, for the same vision budget. How the
next source follows from it: `blend`.

Report: §2.1 and Table 1 (vision ratio, early / mid / late fusion), §4.3 (epoch caps), App. C.1 (adjustable ratios).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Segment:
    """The shares that hold from `start` on.

    Attributes:
        start: drawn tokens (all sources) at which the segment begins.
        vision: share of tokens that come from vision sources, 0 to 1.
        weights: relative share of each source within its domain; 1 where a source is not named, 0 switches it off.
    """

    start: int
    vision: float
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 <= self.vision <= 1.0:
            raise ConfigError(f"a segment's vision ratio must be 0 to 1, got {self.vision}")
        for name, weight in self.weights.items():
            if not 0.0 <= weight < inf:
                raise ConfigError(f"the weight of source {name!r} must be 0 or more and finite, got {weight}")


@dataclass(frozen=True, slots=True)
class Mixture:
    """The ratio schedule as data.

    Attributes:
        segments: by ascending `start`, the first at 0.
        epochs: how often each source may be gone through, such as 1, 2.5; without limit where not named.
        finite: stop when every source with a share is used up (then a domain that ends leaves its share to the other)
            instead of refusing to go on. For fine-tuning and validation; needs a cap for each source.
        synthetic_captions: largest share of the caption tokens that may be made by programs (`data.caption_cap`).
        captions: for each caption source whether it is synthetic; filled in by `caption_cap.within_caps`.

    Example:
        >>> late(1000).segments[1]
        Segment(start=800, vision=0.5, weights={})
    """

    segments: tuple[Segment, ...]
    epochs: Mapping[str, float] = field(default_factory=dict)
    finite: bool = False
    synthetic_captions: float = 1.0
    captions: Mapping[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        starts = [segment.start for segment in self.segments]
        if not starts or starts[0] != 0 or any(a >= b for a, b in zip(starts, starts[1:], strict=False)):
            raise ConfigError(f"segments must start at 0 tokens and ascend, got starts {starts}")
        if not 0.0 <= self.synthetic_captions <= 1.0:
            raise ConfigError(f"synthetic_captions must be 0 to 1, got {self.synthetic_captions}")
        for name, cap in self.epochs.items():
            if not cap > 0.0:
                raise ConfigError(
                    f"the epoch cap of source {name!r} must be above 0, got {cap}; weight 0 switches it off"
                )

    def segment_at(self, tokens: int) -> int:
        """Number of the segment that holds once `tokens` tokens have been drawn."""
        return sum(segment.start <= tokens for segment in self.segments) - 1

    def cap(self, name: str, size: int) -> float:
        """How many samples of a source of `size` may be drawn in the whole run."""
        cap = self.epochs.get(name, inf)
        return cap if cap == inf else max(1, int(cap * size))


def constant(
    vision: float,
    *,
    weights: Mapping[str, float] | None = None,
    epochs: Mapping[str, float] | None = None,
    synthetic_captions: float = 1.0,
) -> Mixture:
    """One ratio from the first token to the last, as K2.5 is trained."""
    return Mixture((Segment(0, vision, weights or {}),), epochs or {}, synthetic_captions=synthetic_captions)


def one_pass(names: Iterable[str], *, vision: float = 0.5) -> Mixture:
    """Every sample of the named sources once, then stop."""
    return Mixture((Segment(0, vision),), {name: 1.0 for name in names}, finite=True)


def fusion(tokens: int, *, begin: float, vision: float) -> Mixture:
    """Text alone for the share `begin` of a budget of `tokens`, then vision so that it makes up `vision` of the whole.

    The ratio after `begin` is vision / (1 - begin): the vision budget is the same whenever it begins.

    Raises:
        ConfigError: so late that vision cannot reach its budget.
    """
    if not 0.0 <= begin < 1.0 or vision > 1.0 - begin:
        raise ConfigError(
            f"vision of {vision:.0%} of the tokens does not fit behind {begin:.0%} of text: begin earlier"
        )
    ratio = round(vision / (1.0 - begin), 12)
    start = round(begin * tokens)
    if start == 0:
        return constant(ratio)
    return Mixture((Segment(0, 0.0), Segment(start, ratio)))


def early(tokens: int, *, vision: float = 0.1) -> Mixture:
    """Table 1, first row: vision from the start (10 : 90)."""
    return fusion(tokens, begin=0.0, vision=vision)


def mid(tokens: int, *, vision: float = 0.1) -> Mixture:
    """Table 1, second row: vision from half of the tokens on (20 : 80)."""
    return fusion(tokens, begin=0.5, vision=vision)


def late(tokens: int, *, vision: float = 0.1) -> Mixture:
    """Table 1, third row: vision from 80 % of the tokens on (50 : 50)."""
    return fusion(tokens, begin=0.8, vision=vision)
