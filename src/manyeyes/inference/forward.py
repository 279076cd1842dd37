"""One step of the engine: one forward pass over ragged rows, new tokens in, states behind the sampled ones out.

The arithmetic is that of `model.backbone`; a test holds both to the same numbers. Differences: matrices are joined and
packed (`weights`), the past comes from blocks (`latent_store`), and in the last layer only tokens behind which
something is sampled go through the feed-forward.

Report: §4.1, App. D.

Shapes: N tokens, D width, H heads, C latent width, r rope width, R = r/2 pairs, M sampled rows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from manyeyes.inference.batch import Batch
from manyeyes.inference.kernels import Kernels
from manyeyes.inference.latent_store import LatentStore
from manyeyes.inference.mixture import mixture
from manyeyes.inference.paged_attention import attend
from manyeyes.inference.weights import ExpertWeights, LayerWeights, Weights
from manyeyes.model.config import TextConfig
from manyeyes.model.rope import rotate


def forward(
    weights: Weights,
    config: TextConfig,
    store: LatentStore,
    batch: Batch,
    x_ND: Tensor,
    chosen: list[Tensor] | None = None,
) -> Tensor:
    """States [M, D] after the final norm behind the tokens `batch.last_M`; writes the latents of all tokens.

    Args:
        x_ND: embedded tokens, media features in their places.
        chosen: the experts of each mixture layer are appended to it, [N, K] or in the last one [M, K].
    """
    turns_NR, kernels = weights.rope.turns(batch.position_N[None])[0], weights.kernels
    last = len(weights.layers) - 1
    for number, layer in enumerate(weights.layers):
        h_ND = rms_norm(x_ND, layer.input_norm, config.rms_norm_eps, kernels)
        x_ND = x_ND + _attention(layer, config, store, batch, number, h_ND, turns_NR, kernels)
        if number == last and len(batch.last_M) < len(x_ND):
            x_ND = x_ND[batch.last_M]
        if not len(x_ND):
            break  # all are parts of prompts
        x_ND = _fed(layer, config, x_ND, kernels, chosen)
    return rms_norm(x_ND, weights.norm, config.rms_norm_eps, kernels)


def rms_norm(x_ND: Tensor, weight_D: Tensor, eps: float, kernels: Kernels | None) -> Tensor:
    """With fp32 statistics, in the format of `x_ND`."""
    if kernels is not None:
        return kernels.rms_norm(x_ND, weight_D, eps)
    return F.rms_norm(x_ND.float(), weight_D.shape, weight_D, eps).to(x_ND.dtype)


def turn(x_NHr: Tensor, turns_NR: Tensor, kernels: Kernels | None) -> Tensor:
    """Each head's pairs to their row's position."""
    return rotate(x_NHr, turns_NR[:, None]) if kernels is None else kernels.turn(x_NHr, turns_NR)


def _attention(
    layer: LayerWeights,
    config: TextConfig,
    store: LatentStore,
    batch: Batch,
    number: int,
    x_ND: Tensor,
    turns_NR: Tensor,
    kernels: Kernels | None,
) -> Tensor:
    c = config
    down = layer.down_in(x_ND)
    query, latent_NC, key_Nr = down.split(
        [down.shape[-1] - c.kv_lora_rank - c.qk_rope_head_dim, c.kv_lora_rank, c.qk_rope_head_dim], dim=-1
    )
    if layer.query is not None and layer.query_norm is not None:
        query = layer.query(rms_norm(query, layer.query_norm, c.lora_norm_eps, kernels))
    q_NHQ = query.unflatten(-1, (c.num_attention_heads, -1))
    nope, rope = q_NHQ.split([c.qk_nope_head_dim, c.qk_rope_head_dim], dim=-1)
    turned = turn(torch.cat([rope, key_Nr[:, None]], dim=1), turns_NR, kernels)
    latent_NC = torch.cat([rms_norm(latent_NC, layer.latent_norm, c.lora_norm_eps, kernels), turned[:, -1]], dim=-1)
    store.write(number, batch.slot_N, latent_NC.to(store.latents_LKB.dtype))
    y_NHV = attend(layer, c, store, batch, number, nope, turned[:, :-1], latent_NC, kernels)
    return layer.out(y_NHV.flatten(-2))


def _fed(
    layer: LayerWeights, config: TextConfig, x_ND: Tensor, kernels: Kernels | None, chosen: list[Tensor] | None
) -> Tensor:
    h_ND = rms_norm(x_ND, layer.feed_norm, config.rms_norm_eps, kernels)
    if isinstance(layer.feed, ExpertWeights):
        return mixture(layer.feed, config, h_ND, chosen).add_(x_ND)
    return layer.feed(h_ND).add_(x_ND)
