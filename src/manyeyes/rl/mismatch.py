"""`MismatchReport`: how far training and inference are apart, token by token, and where.

    the same tokens, twice:  log pi of the engine when it sampled, log pi of the trainer over the same ids
    counted as               ratios, KL estimators, share outside Eq. 1's band, each also by place in the completion,
                             by staleness of the policy, and by whether the experts were the same

A report is made of whole numbers: report(a + b) = report(a) + report(b) exactly, in whatever order batches and ranks
are added. Healthy at equal weights: mean |l| near the format's rounding, masked share well under 1 %.

Report: §4.4.2 (Eq. 1 is made for this mismatch), App. D. Shapes: T tokens (a [B, T] batch is read row after row), L
mixture layers, K experts a token.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.trajectory import UNVERSIONED
from manyeyes.data.packing import Batch
from manyeyes.rl.band import EQ_1, Band
from manyeyes.rl.mismatch_buckets import (
    LOG_RATIO_EDGES,
    PLACE_EDGES,
    STALENESS_EDGES,
    bucket_of,
    histogram,
    labels,
    places,
)
from manyeyes.rl.mismatch_routing import Routing, RoutingTally, compared, routing_tally
from manyeyes.rl.mismatch_tally import Tally, tallies, tally


@dataclass(frozen=True, slots=True)
class MismatchReport:
    """Sums over the trained tokens of some batches.

    Attributes:
        band: that `masked` counts against.
        all: every token.
        histogram: tokens by log-ratio, between `LOG_RATIO_EDGES`.
        by_place: by place in the completion, from `PLACE_EDGES`.
        by_staleness: by versions behind the trainer, from `STALENESS_EDGES`; empty tallies where nobody said.
        routing: by experts.

    Example:
        >>> one = measure(np.log([0.5, 0.2], dtype="f4"), np.log([0.5, 0.6], dtype="f4"), np.ones(2, "f4"))
        >>> one.all.tokens, one.all.masked, (one + one).all.masked_share, one + MismatchReport() == one
        (2, 1, 0.5, True)
    """

    band: Band = EQ_1
    all: Tally = Tally()
    histogram: tuple[int, ...] = (0,) * (len(LOG_RATIO_EDGES) + 1)
    by_place: tuple[Tally, ...] = (Tally(),) * len(PLACE_EDGES)
    by_staleness: tuple[Tally, ...] = (Tally(),) * len(STALENESS_EDGES)
    routing: RoutingTally = field(default_factory=RoutingTally)

    def __add__(self, other: Self) -> "MismatchReport":
        if self.band != other.band:
            raise ConfigError(f"reports against {self.band} and {other.band} cannot be added; measure with one band")
        return MismatchReport(
            self.band,
            self.all + other.all,
            tuple(a + b for a, b in zip(self.histogram, other.histogram, strict=True)),
            tuple(a + b for a, b in zip(self.by_place, other.by_place, strict=True)),
            tuple(a + b for a, b in zip(self.by_staleness, other.by_staleness, strict=True)),
            self.routing + other.routing,
        )

    @property
    def figures(self) -> dict[str, float]:
        """Flat, for logs and pages: "kl_k3", "kl_k3/place 64-255", "routing/differing_share"; nothing of the empty."""
        parts = {"": self.all}
        parts |= {f"/place {label}": part for label, part in zip(labels(PLACE_EDGES), self.by_place, strict=True)}
        parts |= {f"/stale {label}": p for label, p in zip(labels(STALENESS_EDGES), self.by_staleness, strict=True)}
        parts |= {f"/routed {name}": getattr(self.routing, name) for name in ("equal", "different", "unknown")}
        found = {name + where: value for where, part in parts.items() for name, value in part.figures.items()}
        if sum(self.routing.pairs):
            found["routing/differing_share"] = self.routing.differing_share
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data; whole numbers of any size, so nothing is lost."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        return msgspec.convert(data, cls)


def measure(
    logprobs_trainer_T: NDArray[np.float32],
    logprobs_sampled_T: NDArray[np.float32],
    weights_T: NDArray[np.float32],
    *,
    band: Band = EQ_1,
    place_T: NDArray[np.int64] | None = None,
    versions_T: NDArray[np.int32] | None = None,
    version: int | None = None,
    routing_trainer_TLK: Routing | None = None,
    routing_sampled_TLK: Routing | None = None,
) -> MismatchReport:
    """Compares the tokens whose weight is not 0.

    Args:
        place_T: in their completions (`mismatch_buckets.places`); left out, they are counted nowhere by place.
        versions_T, version: of the policy that sampled each token, and of the trainer.
        routing_trainer_TLK, routing_sampled_TLK: the experts that the token *at* each place was sent to.

    Raises:
        DataError: arrays of different length, log-probabilities of trained tokens that are NaN, versions newer than
            the trainer's.
    """
    lengths = {len(a) for a in (logprobs_trainer_T, logprobs_sampled_T, weights_T)}
    if len(lengths) != 1:
        raise DataError(f"trainer, sampler and weights must speak of the same tokens, got lengths {sorted(lengths)}")
    at_N = np.flatnonzero(weights_T)
    log_ratio_N = _log_ratio(logprobs_trainer_T[at_N], logprobs_sampled_T[at_N])
    both = None
    if routing_trainer_TLK is not None and routing_sampled_TLK is not None:
        both = compared(routing_trainer_TLK, routing_sampled_TLK)
    empty = MismatchReport()
    return MismatchReport(
        band,
        tally(log_ratio_N, band),
        histogram(log_ratio_N),
        empty.by_place if place_T is None else _by_place(log_ratio_N, place_T[at_N], band),
        empty.by_staleness
        if versions_T is None or version is None
        else _by_staleness(log_ratio_N, versions_T[at_N], version, band),
        routing_tally(log_ratio_N, at_N, both, band),
    )


def measure_batch(
    batch: Batch,
    logprobs_trainer_BT: NDArray[np.float32],
    *,
    version: int,
    band: Band = EQ_1,
    routing_trainer_BTLK: Routing | None = None,
) -> MismatchReport:
    """Compares what a batch's samples carry with what the trainer says (`rl.logprobs`).

    Args:
        version: of the trainer's weights.

    Raises:
        DataError: see `measure`; or the batch carries no log-probabilities or versions.
    """
    if batch.logprobs_BT is None or batch.versions_BT is None:
        raise DataError(
            "the batch carries no log-probabilities and versions of a sampler, so there is nothing to compare"
        )
    sampled_BT = (batch.versions_BT != UNVERSIONED) | (batch.weights_BT != 0)  # nobody may know a version
    place_T = places(sampled_BT.ravel(), batch.positions_BT.ravel())
    return measure(
        logprobs_trainer_BT.ravel(),
        batch.logprobs_BT.ravel(),
        batch.weights_BT.ravel(),
        band=band,
        place_T=place_T,
        versions_T=batch.versions_BT.ravel(),
        version=version,
        routing_trainer_TLK=_flat(routing_trainer_BTLK),
        routing_sampled_TLK=_flat(batch.routing_BTLK),
    )


def _log_ratio(trainer_N: NDArray[np.float32], sampled_N: NDArray[np.float32]) -> NDArray[np.float64]:
    log_ratio_N = trainer_N.astype(np.float64) - sampled_N.astype(np.float64)
    wrong = int(np.count_nonzero(np.isnan(log_ratio_N)))
    if wrong:
        raise DataError(
            f"{wrong} of {len(log_ratio_N)} trained tokens have log-probabilities that are no numbers (trainer "
            f"{np.isnan(trainer_N).sum()}, sampler {np.isnan(sampled_N).sum()}); tokens whose log-probability nobody "
            "knows must weigh 0"
        )
    return log_ratio_N


def _by_place(log_ratio_N: NDArray[np.float64], place_N: NDArray[np.int64], band: Band) -> tuple[Tally, ...]:
    return tallies(log_ratio_N, bucket_of(place_N, PLACE_EDGES), len(PLACE_EDGES), band)


def _by_staleness(
    log_ratio_N: NDArray[np.float64], versions_N: NDArray[np.int32], version: int, band: Band
) -> tuple[Tally, ...]:
    """Tokens of which nobody knows who sampled them are counted nowhere."""
    if len(versions_N) and int(versions_N.max()) > version:
        raise DataError(f"tokens were sampled by version {versions_N.max()}, newer than the trainer's {version}")
    known_N = versions_N != UNVERSIONED
    behind_N = version - versions_N[known_N].astype(np.int64)
    return tallies(log_ratio_N[known_N], bucket_of(behind_N, STALENESS_EDGES), len(STALENESS_EDGES), band)


def _flat(routing_BTLK: Routing | None) -> Routing | None:
    return None if routing_BTLK is None else routing_BTLK.reshape(-1, *routing_BTLK.shape[2:])
