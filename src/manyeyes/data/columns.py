"""The columns of reinforcement learning beside a row's ids: laid end to end like the samples, then row on row.

    logprobs, advantages, versions    all that is trained on has them, or nothing has
    routing                           may be missing: what nobody knows is routed freely

Shapes: T tokens, L mixture layers, K experts a token.
Report: §4.4.2 (log-probabilities of the policy that sampled), App. D.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import DataError
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import UNROUTED, UNVERSIONED

Number = TypeVar("Number", np.float32, np.int32, np.uint16)


class Columns(NamedTuple):
    """Of one row, [T]; each None where no sample has it.

    Attributes:
        logprobs, advantages: float32; 0 where a sample has none.
        versions: int32; `UNVERSIONED` where a sample has none.
        routing: uint16 [T, L, K]; `UNROUTED` where nobody knows.
    """

    logprobs: NDArray[np.float32] | None = None
    advantages: NDArray[np.float32] | None = None
    versions: NDArray[np.int32] | None = None
    routing: NDArray[np.uint16] | None = None


def end_to_end(samples: Sequence[Sample], row_length: int) -> Columns:
    """Those of samples that share a row.

    Raises:
        DataError: some have a column and others that are trained on do not; or routing of several models.
    """
    lengths = [sample.length for sample in samples]

    def laid(parts: list[NDArray[Number] | None], what: str, blank: int = 0) -> NDArray[Number] | None:
        _require_all_or_none(parts, samples, what)
        return _end_to_end(parts, lengths, row_length, blank)

    routing = [sample.routing for sample in samples]
    _require_one_model(routing, [sample.name for sample in samples])
    return Columns(
        laid([sample.logprobs for sample in samples], "logprobs"),
        laid([sample.advantages for sample in samples], "advantages"),
        laid([sample.versions for sample in samples], "versions", UNVERSIONED),
        _end_to_end(routing, lengths, row_length, UNROUTED),
    )


def row_on_row(rows: Sequence[Columns], names: Sequence[str], weighs: Sequence[bool]) -> Columns:
    """Those of a batch, with a leading [B].

    Args:
        names: of the rows, for messages.
        weighs: whether anything of a row is trained on.

    Raises:
        DataError: as `end_to_end`.
    """

    def stacked(column: list[NDArray[Number] | None], what: str, blank: int = 0) -> NDArray[Number] | None:
        for part, name, trained in zip(column, names, weighs, strict=True):
            if part is None and trained and any(other is not None for other in column):
                raise DataError(f"a row with {name} has no {what}, other rows of the batch do")
        return _row_on_row(column, blank)

    routing = [row.routing for row in rows]
    _require_one_model(routing, names)
    return Columns(
        stacked([row.logprobs for row in rows], "logprobs"),
        stacked([row.advantages for row in rows], "advantages"),
        stacked([row.versions for row in rows], "versions", UNVERSIONED),
        _row_on_row(routing, UNROUTED),
    )


def _require_all_or_none(parts: Sequence[NDArray[Number] | None], samples: Sequence[Sample], what: str) -> None:
    for part, sample in zip(parts, samples, strict=True):
        if part is None and sample.weights.any() and any(other is not None for other in parts):
            raise DataError(f"{sample.name} has no {what} but shares a row with samples that do: give all or none")


def _require_one_model(routing: Sequence[NDArray[np.uint16] | None], names: Sequence[str]) -> None:
    shapes = {part.shape[-2:]: name for part, name in zip(routing, names, strict=True) if part is not None}
    if len(shapes) > 1:
        found = ", ".join(f"{list(shape)} ({name})" for shape, name in shapes.items())
        raise DataError(f"routing must be of one model, [layers, experts a token], got {found}")


def _end_to_end(
    parts: Sequence[NDArray[Number] | None], lengths: Sequence[int], row_length: int, blank: int
) -> NDArray[Number] | None:
    known = next((part for part in parts if part is not None), None)
    if known is None:
        return None
    row = np.full((row_length, *known.shape[1:]), blank, known.dtype)
    start = 0
    for part, length in zip(parts, lengths, strict=True):
        if part is not None:
            row[start : start + length] = part
        start += length
    return row


def _row_on_row(rows: Sequence[NDArray[Number] | None], blank: int) -> NDArray[Number] | None:
    known = next((row for row in rows if row is not None), None)
    if known is None:
        return None
    return np.stack([np.full_like(known, blank) if row is None else row for row in rows])
