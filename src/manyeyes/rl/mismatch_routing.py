"""`RoutingTally`: do trainer and sampler send tokens to the same experts, and is that where they disagree?

What stands at place t - 1 of a sample, and where it was routed there, makes the scores that token t was sampled from:
a token counts as routed equally when all mixture layers at t - 1 chose equal sets in both.

Report: §4.1 (the mixture of experts); Ma et al., 2025 (routing is where engines drift apart).
Shapes: T places, L mixture layers, K experts a token.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import DataError
from manyeyes.core.trajectory import UNROUTED
from manyeyes.rl.band import Band
from manyeyes.rl.mismatch_tally import Tally, tally

Routing = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class RoutingTally:
    """Sums over some tokens, by routing.

    Attributes:
        pairs: for each mixture layer the places where both choices are known, prompts included; what samples share is
            one place.
        differing: of them, where the sets differ.
        equal, different: tokens whose scores were made by equal sets in all layers, or by others in some layer.
        unknown: tokens of which one side's routing is not known.

    Example:
        >>> both = RoutingTally(pairs=(8, 8), differing=(0, 2))
        >>> (both + RoutingTally()).differing_share, (both + both).pairs
        (0.125, (16, 16))
    """

    pairs: tuple[int, ...] = ()
    differing: tuple[int, ...] = ()
    equal: Tally = Tally()
    different: Tally = Tally()
    unknown: Tally = Tally()

    def __add__(self, other: Self) -> "RoutingTally":
        return RoutingTally(
            _layer_by_layer(self.pairs, other.pairs),
            _layer_by_layer(self.differing, other.differing),
            self.equal + other.equal,
            self.different + other.different,
            self.unknown + other.unknown,
        )

    @property
    def differing_share(self) -> float:
        """Of (token, layer), 0 to 1; NaN where nothing is known."""
        return sum(self.differing) / sum(self.pairs) if sum(self.pairs) else float("nan")


class Compared(NamedTuple):
    """Two recordings of the same places, [T, L]: whether both are known, and whether the sets are equal then."""

    known_TL: NDArray[np.bool_]
    equal_TL: NDArray[np.bool_]


def compared(one_TLK: Routing, other_TLK: Routing) -> Compared:
    """Sets, so the order of experts does not matter.

    Raises:
        DataError: of different shape.
    """
    if one_TLK.shape != other_TLK.shape:
        raise DataError(
            f"routing of trainer and sampler must be of one model and of the same tokens, got {list(one_TLK.shape)} "
            f"and {list(other_TLK.shape)}"
        )
    known_TL = (one_TLK[..., 0] != UNROUTED) & (other_TLK[..., 0] != UNROUTED)
    equal_TL = (np.sort(one_TLK, -1) == np.sort(other_TLK, -1)).all(-1)
    return Compared(known_TL, known_TL & equal_TL)


def routing_tally(
    log_ratio_N: NDArray[np.float64], at_N: NDArray[np.int64], both: Compared | None, band: Band
) -> RoutingTally:
    """Sums over N tokens that stand at places `at_N`."""
    if both is None:
        return RoutingTally(unknown=tally(log_ratio_N, band))
    known_N, equal_N = both.known_TL[at_N - 1].all(-1) & (at_N > 0), both.equal_TL[at_N - 1].all(-1)
    return RoutingTally(
        tuple(both.known_TL.sum(0).tolist()),
        tuple((both.known_TL & ~both.equal_TL).sum(0).tolist()),
        tally(log_ratio_N[known_N & equal_N], band),
        tally(log_ratio_N[known_N & ~equal_N], band),
        tally(log_ratio_N[~known_N], band),
    )


def _layer_by_layer(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    if not one or not other:
        return one or other
    if len(one) != len(other):
        raise DataError(f"routing of models with {len(one)} and {len(other)} mixture layers cannot be added")
    return tuple(a + b for a, b in zip(one, other, strict=True))
