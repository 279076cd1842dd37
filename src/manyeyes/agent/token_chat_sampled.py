"""`Sampled`: one turn token for token, as a node that holds only what it adds; a branch is a walk to the root.

    stream(turn) = stream(parent) + added + ids          added: what the template and the world said in between

Summaries, retries and sub-agents are other leaves of the same tree. A turn whose prompt does not begin with an older
turn's stream is a root of its own, so that no token is ever said to have been seen that was not.

Report: App. D (token in, token out; log-probabilities of every sampled token).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Media
from manyeyes.core.sampler import Draw, LogprobKind


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """One turn.

    Attributes:
        added: int32, ids of the prompt behind the parent's stream; all of it where there is no parent.
        ids: int32 [T], as sampled, the stop id included.
        logprobs: float32 [T], NaN where the sampler could not tell.
        versions: int32 [T], of the policy that sampled each id.
        logprob_kind: which distribution `logprobs` are of.
        media: one item for each run of `<|media_pad|>` in `added`.
        parent: the turn whose stream the prompt begins with.
        fork: why the prompt does not continue the turn before it; "" when it does, or when there is none.
        malformed: why the ids are no assistant turn; "" when they are one.
        routing: uint16 [added + ids, mixture layers, experts a token], or None; see `Completion.routing`.
        draw: what `ids` were drawn from; None where nobody knows.

    Example:
        >>> one = np.array([7, 8], np.int32)
        >>> root = Sampled(one, one, np.zeros(2, np.float32), np.zeros(2, np.int32))
        >>> Sampled(one, one, np.zeros(2, np.float32), np.zeros(2, np.int32), parent=root).prompt_ids.tolist()
        [7, 8, 7, 8, 7, 8]
    """

    added: NDArray[np.int32]
    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    versions: NDArray[np.int32]
    logprob_kind: LogprobKind = "sampled"
    media: tuple[Media, ...] = ()
    parent: "Sampled | None" = None
    fork: str = ""
    malformed: str = ""
    routing: NDArray[np.uint16] | None = None
    draw: Draw | None = None

    @property
    def branch(self) -> "tuple[Sampled, ...]":
        """The turns from the root to this one."""
        return tuple(self._upwards())[::-1]

    @property
    def prompt_ids_len(self) -> int:
        """Tokens that stood before the first sampled one."""
        return sum(len(turn.added) + len(turn.ids) for turn in self._upwards()) - len(self.ids)

    @property
    def prompt_ids(self) -> NDArray[np.int32]:
        """Every id that was sent."""
        return self.stream[: self.prompt_ids_len]

    @property
    def stream(self) -> NDArray[np.int32]:
        """Every id that was sent, and those that were sampled."""
        return np.concatenate([part for turn in self.branch for part in (turn.added, turn.ids)])

    @property
    def all_media(self) -> tuple[Media, ...]:
        """One item for each run of `<|media_pad|>` in `prompt_ids`."""
        return tuple(item for turn in self.branch for item in turn.media)

    def _upwards(self) -> "Iterator[Sampled]":
        turn: Sampled | None = self
        while turn is not None:
            yield turn
            turn = turn.parent
