"""The trainer's log-probabilities of sampled tokens, under the distribution that they were sampled from.

    log pi(x_t | x_<t, media) = log softmax(logits_(t-1) / temperature)[x_t],  ids that were never allowed left out

An engine tells log-probabilities "sampled" (after temperature) or "raw" (plain softmax), and the trainer must mean the
same. Dividing a log-probability by the temperature is something else, and wrong. A nucleus cannot be had again: which
tokens it kept depends on the last bits of the engine's scores.

Logits exist for a chunk of rows at a time, and are computed again in the backward pass.

Report: §4.4.2, Eq. 1. Shapes: B rows, T tokens, N trained tokens, D width, V vocabulary, L mixture layers, K experts a
token.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import LogprobKind, SamplingParams
from manyeyes.core.trajectory import UNROUTED
from manyeyes.data.packing import Batch
from manyeyes.model.config import TextConfig
from manyeyes.model.multimodal import K25
from manyeyes.model.precision import linear
from manyeyes.rl.routing_replay import require_replayable, states
from manyeyes.train.batches import MicroBatch, micro_batches

CHUNK = 256
"""Rows whose logits exist at a time."""


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
        routing_BTLK: where each token was sent; `UNROUTED` in rows without a sample.
    """

    logprobs_BT: NDArray[np.float32]
    routing_BTLK: NDArray[np.uint16]

    @classmethod
    def empty(cls, batch: Batch, config: TextConfig) -> "BatchLogprobs":
        """For a model's log-probabilities of a batch."""
        shape = (*batch.ids_BT.shape, config.n_moe_layers, config.num_experts_per_tok)
        return cls(np.zeros(batch.ids_BT.shape, np.float32), np.full(shape, UNROUTED, np.uint16))

    def put(self, part: MicroBatch, found: TrainerLogprobs) -> None:
        """What was found for one micro-batch, in a step that learns too: nothing of it is kept but numbers."""
        rows = slice(part.start, part.start + len(part.ids_BT))
        self.logprobs_BT[rows, 1:] = found.logprobs_BT[:, :-1].detach().cpu().numpy()
        if found.routing_BTLK is not None:
            self.routing_BTLK[rows] = found.routing_BTLK.cpu().numpy()


def token_logprobs(
    model: K25, part: MicroBatch, source: SampledFrom, *, replay: bool = False, keep_routing: bool = False
) -> TrainerLogprobs:
    """With gradient, where gradients are on.

    Raises:
        DataError: replay is asked for and nothing was recorded.
    """
    out = states(model, part, replay=replay, keep_routing=keep_routing)
    at_N = part.weights_BT.flatten().nonzero().flatten()
    found_N = chosen_logprobs(
        out.hidden_BTD.flatten(0, 1)[at_N], model.head_weight, targets_N=part.targets_BT.flatten()[at_N], source=source
    )
    logprobs_BT = found_N.new_zeros(part.ids_BT.numel()).index_put((at_N,), found_N).view_as(part.ids_BT)
    return TrainerLogprobs(logprobs_BT, out.routing_BTLK)


@torch.no_grad()
def batch_logprobs(
    model: K25, batch: Batch, source: SampledFrom, *, micro_rows: int, device: torch.device, replay: bool = False
) -> BatchLogprobs:
    """Of every trained token of a batch, to be compared with what the sampler told (`mismatch.measure_batch`).

    Raises:
        DataError: replay is asked for, and what was recorded cannot be replayed (`require_replayable`).
    """
    if replay:
        require_replayable(batch, model.config.text)
    whole = BatchLogprobs.empty(batch, model.config.text)
    for part in micro_batches(batch, micro_rows, device=device):
        whole.put(part, token_logprobs(model, part, source, replay=replay, keep_routing=True))
    return whole


def chosen_logprobs(
    hidden_ND: Tensor, head_VD: Tensor, *, targets_N: Tensor, source: SampledFrom, chunk: int = CHUNK
) -> Tensor:
    """log p of one target a row: fp32 [N]."""
    return chosen(hidden_ND, head_VD, targets_N=targets_N, source=source, chunk=chunk).logprobs_N


class Chosen(NamedTuple):
    """Of one target a row.

    Attributes:
        logprobs_N: fp32.
        entropy_N: fp32, of the row's distribution in nats, without gradient; 0 where nobody asked.
    """

    logprobs_N: Tensor
    entropy_N: Tensor


def chosen(
    hidden_ND: Tensor,
    head_VD: Tensor,
    *,
    targets_N: Tensor,
    source: SampledFrom,
    chunk: int = CHUNK,
    entropy: bool = False,
) -> Chosen:
    """log p of one target a row, and how undecided the row is."""
    never = torch.tensor(sorted(source.never), dtype=torch.int64, device=hidden_ND.device)
    shared = (head_VD, never, source.temperature, entropy)
    found = [
        checkpoint(_chosen, *rows, *shared, use_reentrant=False, preserve_rng_state=False)
        if torch.is_grad_enabled()
        else _chosen(*rows, *shared)
        for rows in zip(hidden_ND.split(chunk), targets_N.long().split(chunk), strict=True)
    ]
    return Chosen(*(torch.cat(column) for column in zip(*found, strict=True)))


def _chosen(
    hidden_nD: Tensor, target_n: Tensor, head_VD: Tensor, never: Tensor, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor]:
    scores_nV = linear(hidden_nD, head_VD).float().index_fill(1, never, -torch.inf)
    below_nV = scores_nV - scores_nV.detach().amax(1, keepdim=True)  # a tiny temperature must not overflow
    log_p_nV = (below_nV / temperature).log_softmax(1)
    log_p_n = log_p_nV.gather(1, target_n[:, None])[:, 0]
    return log_p_n, _entropy(log_p_nV.detach()) if entropy else torch.zeros_like(log_p_n.detach())


def _entropy(log_p_nV: Tensor) -> Tensor:
    return -(log_p_nV.exp() * log_p_nV.clamp_min(_FAR)).sum(1)


_FAR = -1e4
"""A log-probability whose exp is 0 and which, unlike -inf, can be multiplied by that."""
