"""The trainer's log-probabilities of sampled tokens, under the distribution that they were sampled from.

    log pi(x_t | x_<t, media) = log softmax(logits_(t-1) / temperature)[x_t],  ids that were never allowed left out

An engine tells log-probabilities "sampled" (after temperature) or "raw" (plain softmax), and the trainer must mean the
same. Dividing a log-probability by the temperature is something else, and wrong. A nucleus cannot be had again: which
tokens it kept depends on the last bits of the engine's scores.

Report: §4.4.2, Eq. 1. Shapes: B rows, T tokens, N trained tokens, D width, V vocabulary, L mixture layers, K experts a
token.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import LogprobKind, SamplingParams
from manyeyes.core.trajectory import UNROUTED
from manyeyes.data.packing import Batch
from manyeyes.rl.chosen import CHUNK, Chosen, chosen_rows
from manyeyes.rl.policy_model import PolicyModel, Routed
from manyeyes.rl.routing_replay import require_replayable, states
from manyeyes.train.batches import MicroBatch, micro_batches


@dataclass(frozen=True, slots=True)
class SampledFrom:
    """The distribution that log-probabilities are of.

    Attributes:
        temperature: above 0.
        never: ids that could not be sampled.

    Example:
        >>> SampledFrom.of(SamplingParams(temperature=0.7, never=frozenset({5})))
        SampledFrom(temperature=0.7, never=frozenset({5}))
        >>> SampledFrom.of(SamplingParams(temperature=0.7, top_p=0.9), "raw")
        SampledFrom(temperature=1.0, never=frozenset())
    """

    temperature: float = 1.0
    never: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise ConfigError(f"a temperature to divide by must be above 0 and finite, got {self.temperature}")

    @classmethod
    def of(cls, params: SamplingParams, kind: LogprobKind = "sampled") -> "SampledFrom":
        """What a sampler that was asked with `params` tells log-probabilities of. Greedy ones are of the plain softmax.

        Raises:
            ConfigError: the distribution was cut (top_p, top_k, min_p, constraint), so it cannot be computed again.
        """
        if kind == "raw":
            return cls()
        cuts = {"top_p": params.top_p < 1.0, "top_k": params.top_k > 0, "min_p": params.min_p > 0.0}
        found = [name for name, cut in cuts.items() if cut and not params.greedy]
        found += ["constraint"] if params.constraint is not None else []
        if found:
            raise ConfigError(
                f"tokens were sampled with {', '.join(found)}, and which others could have come instead cannot be told "
                "again; sample for training with temperature alone, or from an engine whose log-probabilities are raw"
            )
        return cls(1.0 if params.greedy else params.temperature, params.never)


PLAIN = SampledFrom()
"""The plain softmax of everything."""


class TrainerLogprobs(NamedTuple):
    """Of a micro-batch.

    Attributes:
        logprobs_BT: fp32, of the *next* token, as `MicroBatch.weights_BT`; 0 where that weighs 0.
        routing_BTLK: where each token was sent, if asked for.
    """

    logprobs_BT: Tensor
    routing_BTLK: Tensor | None


class BatchLogprobs(NamedTuple):
    """Of a batch, in its own order: at each place of the token that stands there; filled as micro-batches go by.

    Attributes:
        logprobs_BT: 0 where the token weighs 0.
        routing_BTLK: where each token was sent; `UNROUTED` on padding.
    """

    logprobs_BT: NDArray[np.float32]
    routing_BTLK: NDArray[np.uint16]

    @classmethod
    def empty(cls, batch: Batch, config: Routed) -> "BatchLogprobs":
        """For a model's log-probabilities of a batch."""
        shape = (*batch.ids_BT.shape, config.n_moe_layers, config.num_experts_per_tok)
        return cls(np.zeros(batch.ids_BT.shape, np.float32), np.full(shape, UNROUTED, np.uint16))

    def put(self, part: MicroBatch, found: TrainerLogprobs) -> None:
        """What was found for one micro-batch, in a step that learns too: nothing of it is kept but numbers."""
        rows, width = slice(part.start, part.start + len(part.ids_BT)), part.ids_BT.shape[1]
        self.logprobs_BT[rows, 1:width] = found.logprobs_BT[:, :-1].detach().cpu().numpy()
        if found.routing_BTLK is not None:
            sent_bTLK, inside_bT = found.routing_BTLK.cpu().numpy(), part.segments_BT.cpu().numpy() >= 0
            self.routing_BTLK[rows, :width] = np.where(inside_bT[..., None, None], sent_bTLK, UNROUTED)


def token_logprobs(
    model: PolicyModel,
    part: MicroBatch,
    source: SampledFrom,
    *,
    replay: bool = False,
    keep_routing: bool = False,
    temperature_BT: Tensor | None = None,
) -> TrainerLogprobs:
    """With gradient, where gradients are on.

    Args:
        temperature_BT: of the *next* token (`of_next`); that of `source` when left out.

    Raises:
        DataError: replay is asked for and nothing was recorded.
    """
    out = states(model, part, replay=replay, keep_routing=keep_routing)
    at_N = part.weights_BT.flatten().nonzero().flatten()
    found_N = chosen(
        out.hidden_BTD.flatten(0, 1)[at_N],
        model.head_weight,
        targets_N=part.targets_BT.flatten()[at_N],
        source=source,
        temperature_N=None if temperature_BT is None else temperature_BT.flatten()[at_N],
    ).logprobs_N
    logprobs_BT = found_N.new_zeros(part.ids_BT.numel()).index_put((at_N,), found_N).view_as(part.ids_BT)
    return TrainerLogprobs(logprobs_BT, out.routing_BTLK)


@torch.no_grad()
def batch_logprobs(
    model: PolicyModel,
    batch: Batch,
    source: SampledFrom,
    *,
    micro_rows: int,
    device: torch.device,
    replay: bool = False,
    temperature_BT: NDArray[np.float32] | None = None,
) -> BatchLogprobs:
    """Of every trained token of a batch, to be compared with what the sampler told (`mismatch.measure_batch`).

    Args:
        temperature_BT: that each token was sampled at; that of `source` when left out.

    Raises:
        DataError: replay is asked for, and what was recorded cannot be replayed (`require_replayable`).
    """
    if replay:
        require_replayable(batch, model.config.text)
    whole = BatchLogprobs.empty(batch, model.config.text)
    for part in micro_batches(batch, micro_rows, device=device, trimmed=True):
        temperature_bT = None if temperature_BT is None else of_next(temperature_BT, part)
        found = token_logprobs(model, part, source, replay=replay, keep_routing=True, temperature_BT=temperature_bT)
        whole.put(part, found)
    return whole


def of_next(column_BT: NDArray[np.float32], part: MicroBatch) -> Tensor:
    """A micro-batch's rows of a column of the batch; at each position what belongs to the next token."""
    rows = column_BT[part.start : part.start + len(part.ids_BT), : part.ids_BT.shape[1]]
    return torch.from_numpy(np.roll(rows, -1, axis=1)).to(part.ids_BT.device)


def chosen_logprobs(
    hidden_ND: Tensor, head_VD: Tensor, *, targets_N: Tensor, source: SampledFrom, chunk: int = CHUNK
) -> Tensor:
    """log p of one target a row: fp32 [N]."""
    return chosen(hidden_ND, head_VD, targets_N=targets_N, source=source, chunk=chunk).logprobs_N


def chosen(
    hidden_ND: Tensor,
    head_VD: Tensor,
    *,
    targets_N: Tensor,
    source: SampledFrom,
    temperature_N: Tensor | None = None,
    chunk: int = CHUNK,
    entropy: bool = False,
) -> Chosen:
    """log p of one target a row, and how undecided the row is.

    Args:
        temperature_N: of each row; that of `source` when left out.
    """
    if temperature_N is None:
        temperature_N = hidden_ND.new_full((len(hidden_ND),), source.temperature, dtype=torch.float32)
    never = torch.tensor(sorted(source.never), dtype=torch.int64, device=hidden_ND.device)
    return chosen_rows(
        hidden_ND, head_VD, targets_N=targets_N, temperature_N=temperature_N, never=never, chunk=chunk, entropy=entropy
    )
