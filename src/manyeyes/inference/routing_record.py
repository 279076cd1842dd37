"""Which experts each token in the cache was sent to, for trainers that route alike (routing replay).

    step ──▶ rows by slot, of all tokens        a block that is found or shared again brings its routing along
    token sampled ──▶ its request keeps the rows up to here, and never changes them

So a request knows where each of its tokens went when the one behind it was sampled, whatever weights it is read again
with later. In the last layer, tokens behind which nothing is sampled go nowhere (`forward`): unknown, and nothing
depends on it.

Report: App. D; Ma et al., 2025.

Shapes: S slots of the cache, N tokens of a step, M that sample, T of a request, L mixture layers, K experts a token.
"""

from collections.abc import Sequence as Listed

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from manyeyes.core.sampler import UNROUTED, SampleRequest
from manyeyes.inference.batch import Batch
from manyeyes.inference.sequences import Sequence
from manyeyes.model.config import TextConfig


class RoutingRecord:
    """uint16 [S, L, K] in the memory of the host, from the first request on that asks for it; before that, nothing."""

    def __init__(self, config: TextConfig, *, blocks: int, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self._slots = blocks * block_tokens
        self._blank = np.full((config.n_moe_layers, config.num_experts_per_tok), UNROUTED, np.uint16)
        self._rows_SLK: NDArray[np.uint16] | None = None

    def expect(self, request: SampleRequest) -> None:
        """A request has come: recording begins with the first one that asks."""
        if request.params.record_routing and self._rows_SLK is None:
            self._rows_SLK = np.full((self._slots, *self._blank.shape), UNROUTED, np.uint16)

    def blank(self) -> list[Tensor] | None:
        """For `forward` to append to; None while nobody asks."""
        return None if self._rows_SLK is None else []

    def write(self, batch: Batch, expert_L: Listed[Tensor] | None) -> None:
        """What a step chose: for each mixture layer the experts of all tokens [N, K], or of those that sample [M, K].

        Layers that were not reached are unknown.
        """
        if self._rows_SLK is None or expert_L is None:
            return
        rows_NLK = np.full((len(batch.slot_N), *self._blank.shape), UNROUTED, np.uint16)
        for layer, expert_NK in enumerate(expert_L):
            at = slice(None) if len(expert_NK) == len(rows_NLK) else batch.last_M.cpu().numpy()
            rows_NLK[at, layer] = expert_NK.cpu().numpy()
        self._rows_SLK[batch.slot_N.cpu().numpy()] = rows_NLK

    def copy(self, pairs: Listed[tuple[int, int]]) -> None:
        """Blocks (from, to)."""
        if self._rows_SLK is None:
            return
        blocks = self._rows_SLK.reshape(self._slots // self.block_tokens, self.block_tokens, *self._blank.shape)
        for source, target in pairs:
            blocks[target] = blocks[source]

    def keep(self, sequence: Sequence) -> None:
        """A token is sampled behind all that a sequence has computed."""
        if self._rows_SLK is None or not sequence.request.params.record_routing:
            return
        size, blocks = self.block_tokens, sequence.blocks
        slots = [blocks[at // size] * size + at % size for at in range(sequence.routed, sequence.computed)]
        sequence.routing.append(self._rows_SLK[slots])
        sequence.routed = sequence.computed

    def of(self, sequence: Sequence) -> NDArray[np.uint16] | None:
        """[T, L, K] of all tokens of a sequence, the last one unknown: it was not read. None unless asked."""
        if not sequence.request.params.record_routing:
            return None
        rest = np.broadcast_to(self._blank, (len(sequence.ids) - sequence.routed, *self._blank.shape))
        return np.concatenate([*sequence.routing, rest])
