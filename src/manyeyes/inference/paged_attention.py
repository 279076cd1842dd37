"""Latent attention of ragged rows over the block cache.

    one new token      on a CPU, in fp32: `kernels` reads blocks where they are; elsewhere as few new tokens. Where rows
                       must not depend on how prompts are cut, all tokens are read so, each by itself
    few new tokens     absorbed: q W_k against the latents themselves, then the mixed latent times W_v; nothing of the
                       past is rebuilt. Rows of about equal length are gathered and multiplied together.
    many new tokens    keys and values of the whole past are built once for all of them, queries go in tiles.

Report: §4.1, App. D; DeepSeek-V2, 2024 (absorbed projections).

Shapes: N tokens, A absorbed ones, g rows of T tokens in a group, S keys, H heads; C latent, r rope, n nope, V value
width.
"""

import torch
from torch import Tensor

from manyeyes.inference.batch import Batch, Group, LongChunk
from manyeyes.inference.kernels import Kernels
from manyeyes.inference.latent_store import LatentStore
from manyeyes.inference.weights import LayerWeights
from manyeyes.model.config import TextConfig

TILE = 128
"""Queries of a long chunk at a time; what is hidden by the causal mask is computed only inside a tile."""
SCORES = 1 << 26
"""Most scores at a time: 256 MB; a very long past has smaller tiles."""


def attend(
    layer: LayerWeights,
    config: TextConfig,
    store: LatentStore,
    batch: Batch,
    number: int,
    nope_NHn: Tensor,
    rope_NHr: Tensor,
    latent_NC: Tensor,
    kernels: Kernels | None = None,
) -> Tensor:
    """Values [N, H, V]; queries come scaled and turned, new latents are written already."""
    count = batch.absorbed
    y_NHV = nope_NHn.new_empty(len(nope_NHn), config.num_attention_heads, config.v_head_dim)
    if count:
        query_AHC = layer.up_k.beside(nope_NHn[:count], rope_NHr[:count])
        mixed_AHC = query_AHC.new_empty(count, config.num_attention_heads, config.kv_lora_rank)
        for group in batch.groups:
            if group.lengths is not None and kernels is not None:
                rows = slice(group.start, group.stop)
                kernels.attend(
                    query_AHC[rows], store.latents_LKB[number], group.blocks, group.lengths, mixed_AHC[rows],
                    block_tokens=store.block_tokens,
                )  # fmt: skip
                continue
            _group(group, store.read(number, group.blocks, group.rows), query_AHC, mixed_AHC)
        if not batch.long:
            return layer.up_v(mixed_AHC)
        y_NHV[:count] = layer.up_v(mixed_AHC)
    for chunk in batch.long:
        rows = slice(chunk.start, chunk.stop)
        past = latent_NC[rows] if chunk.past == 0 else _read_long(store, number, chunk)
        query_HTQ = torch.cat([nope_NHn[rows], rope_NHr[rows]], dim=-1).transpose(0, 1)
        _long(layer, config, past, query_HTQ, y_NHV[rows])
    return y_NHV


def _group(group: Group, past_gSC: Tensor, query_AHC: Tensor, mixed_AHC: Tensor) -> None:
    """Writes the mixed latents of one group."""
    query = query_AHC[group.start : group.stop]
    if group.padded is not None:
        query = query[group.padded].view(group.rows, -1, query.shape[-1])
    width = mixed_AHC.shape[-1]
    past_gSC = past_gSC.to(query.dtype)
    p_gqS = _softmax(group.mask, query, past_gSC.transpose(1, 2))
    if group.padded is None:
        torch.bmm(p_gqS, past_gSC[..., :width], out=mixed_AHC[group.start : group.stop])
        return
    mixed = torch.bmm(p_gqS, past_gSC[..., :width]).view(-1, *mixed_AHC.shape[1:])
    assert group.places is not None
    mixed_AHC[group.start : group.stop] = mixed[group.places]


def _softmax(mask: Tensor, query_gqC: Tensor, key_gCS: Tensor) -> Tensor:
    """Probabilities, from fp32 scores: a logit near 100, rounded to bf16, is wrong by up to 0.25."""
    scores = torch.baddbmm(mask, query_gqC.float(), key_gCS.float())
    return scores.softmax(-1).to(query_gqC.dtype)


def _read_long(store: LatentStore, number: int, chunk: LongChunk) -> Tensor:
    return store.read(number, chunk.blocks, 1)[0, : chunk.past + chunk.stop - chunk.start]


def _long(layer: LayerWeights, config: TextConfig, past_SC: Tensor, query_HTQ: Tensor, y_THV: Tensor) -> None:
    """Writes the values of one long chunk, whose last tokens are the queries."""
    c = config
    past_SC = past_SC.to(query_HTQ.dtype)
    kv_SHE = layer.kv_up(past_SC[:, : c.kv_lora_rank].contiguous()).unflatten(-1, (c.num_attention_heads, -1))
    k_rope = past_SC[:, None, c.kv_lora_rank :].expand(-1, c.num_attention_heads, -1)
    key_HSQ = torch.cat([kv_SHE[..., : c.qk_nope_head_dim], k_rope], dim=-1).transpose(0, 1)
    value_HSV = kv_SHE[..., c.qk_nope_head_dim :].transpose(0, 1)
    past = len(past_SC) - query_HTQ.shape[1]
    tile = max(1, min(TILE, SCORES // (c.num_attention_heads * len(past_SC))))
    for start in range(0, query_HTQ.shape[1], tile):
        query = query_HTQ[:, start : start + tile]
        seen = past + start + query.shape[1]
        mask = _causal(query.shape[1], seen, device=query.device)
        p = _softmax(mask, query, key_HSQ[:, :seen].transpose(1, 2))
        y_THV[start : start + tile] = torch.bmm(p, value_HSV[:, :seen]).transpose(0, 1)


def _causal(queries: int, keys: int, *, device: torch.device) -> Tensor:
    """0 or -inf [1, queries, keys]: the queries are the last of the keys."""
    mask = torch.zeros(queries, keys, device=device)
    hidden = torch.ones(queries, queries, dtype=torch.bool, device=device).triu_(1)
    mask[:, keys - queries :].masked_fill_(hidden, -torch.inf)
    return mask[None]
