"""A step of an invariant engine in one call: all layers by `kernels`, from embedded tokens to scores.

It is `forward` function for function, and gives the same numbers to the last bit. What it saves is the way between the
functions: sixty calls a step, each with tensors to make and Python's lock to wait for.

With several threads of torch, rows go in parts, each through all layers on one thread: they meet once a step, where
threads within a product meet once a product. Parts end between requests, because a token reads what those before it in
the same step have written. Where no such cut is even, as with one long prompt, threads share each product.

Report: §4.1, App. D.

Shapes: N tokens, D width, R rope pairs, M sampled rows, V vocabulary; B blocks of the cache; P parts.
"""

import ctypes
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.inference.batch import Batch
from manyeyes.inference.kernels import TILE, Kernels, PackedExperts, require_plain
from manyeyes.inference.latent_store import LatentStore
from manyeyes.inference.scheduler import Chunk
from manyeyes.inference.weights import ExpertWeights, LayerWeights, Matrix, SwiGlu, Weights
from manyeyes.model.config import TextConfig

LEAST = 4
"""Tokens of a part: from so many on parts pay (`benchmarks/engine_parts.py`). Fewer tokens make fewer parts, or one."""
UNEVEN = 1.25
"""The largest part beyond its share: more, and threads share each product."""

_INTEGERS = (
    "width heads nope rope latent value query_rank experts padded_experts top_k hidden padded_width normalise "
    "block_tokens"
).split()
_POINTERS = (
    "input_norm down query_norm query latent_norm up_k up_v out feed_norm router bias gate_up routed_down fed_in "
    "fed_out latents expert"
).split()


class _Model(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_float) for name in ("eps", "lora_eps", "scale")),
    ]


class _Layer(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_void_p) for name in _POINTERS), ("fed", ctypes.c_int64)]


class _Group(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("start", "rows", "block_row")),
        *((name, ctypes.c_void_p) for name in ("blocks", "length")),
    ]


class _Costs(NamedTuple):
    """Products of two numbers: of each token, more where something is sampled behind it, and for each token it sees."""

    token: int
    sample: int
    key: int

    @classmethod
    def of(cls, weights: Weights, c: TextConfig) -> "_Costs":
        routed = 3 * c.num_experts_per_tok * c.moe_intermediate_size * c.hidden_size
        attention = sum(
            one.weight.numel() if isinstance(one, Matrix) else one.weight_GOI.numel()
            for layer in weights.layers
            for one in (layer.down_in, layer.query, layer.up_k, layer.up_v, layer.out)
            if one is not None
        )
        fed = [
            _shared(one).gate_up.weight.numel() + _shared(one).down.weight.numel()
            + routed * isinstance(one.feed, ExpertWeights)
            for one in weights.layers
        ]  # fmt: skip
        seen = len(fed) * c.num_attention_heads * (2 * c.kv_lora_rank + c.qk_rope_head_dim)
        return cls(attention + sum(fed[:-1]), fed[-1] + weights.head.weight.numel(), seen)

    def of_chunk(self, chunk: Chunk) -> int:
        keys = chunk.count * (chunk.start + chunk.stop + 1) // 2
        return chunk.count * self.token + chunk.samples * self.sample + keys * self.key


class AllLayers:
    """For one set of weights and one store, both of which it holds.

    Args:
        weights: of an invariant engine: every product has its tiles.

    Raises:
        ValueError: a product of these weights has none.
        RuntimeError: the compiled loops are of another version.
    """

    def __init__(self, weights: Weights, kernels: Kernels, *, config: TextConfig, store: LatentStore) -> None:
        kernels.require_same_layout(_Model, _Layer, _Group)
        self._weights, self._kernels = weights, kernels
        self._held: list[Tensor] = []
        self._mixtures = [number for number, one in enumerate(weights.layers) if isinstance(one.feed, ExpertWeights)]
        layers = [self._layer(one, store.latents_LKB[number]) for number, one in enumerate(weights.layers)]
        self._layers = (_Layer * len(layers))(*layers)
        self._model = self._sizes(config, store.block_tokens)
        self._norm, self._head = self._at(weights.norm), self._at(weights.head.tiles)
        self._costs = _Costs.of(weights, config)

    def __call__(self, batch: Batch, x_ND: Tensor, chosen: list[Tensor] | None = None) -> Tensor:
        """Scores [M, V] behind the tokens `batch.last_M`; `x_ND` is overwritten.

        Args:
            batch: whose tokens are read each by itself.
            chosen: as in `forward`.

        Raises:
            MemoryError: there was none for what layers hand to each other.
        """
        rows, samples, layers = len(x_ND), len(batch.last_M), self._layers
        turns_NR = self._weights.rope.turns(batch.position_N[None])[0].contiguous()
        if chosen is not None:
            layers = type(layers).from_buffer_copy(layers)
            for number in self._mixtures:
                sent = samples if number == len(layers) - 1 else rows
                chosen.append(torch.empty(sent, self._model.top_k, dtype=torch.int64))
                layers[number].expert = chosen[-1].data_ptr()
        scores_MV = x_ND.new_empty(samples, self._weights.head.weight.shape[0])
        self._kernels.all_layers(
            self._model, layers, bounds=self.bounds(batch, torch.get_num_threads()), x_ND=x_ND, slot_N=batch.slot_N,
            turns_NR=turns_NR, groups=(_Group * len(batch.groups))(*_groups(batch)), sampled_M=batch.last_M,
            norm=self._norm, head=self._head, scores_MV=scores_MV,
        )  # fmt: skip
        return scores_MV

    def bounds(self, batch: Batch, threads: int) -> list[int]:
        """Where parts begin and end: rows 0..N in at most as many as there are threads, about even, or in one."""
        chunks, rows = batch.chunks, len(batch.slot_N)
        parts = min(threads, rows // LEAST)
        if parts < 2:
            return [0, rows]
        reached = [0, *accumulate(self._costs.of_chunk(one) for one in chunks)]
        share = reached[-1] / parts
        cuts = [_nearest(reached, number * share) for number in range(1, parts)]
        cuts = [0, *cuts, len(chunks)]
        if max(reached[stop] - reached[start] for start, stop in pairwise(cuts)) > UNEVEN * share:
            return [0, rows]
        starts = [0, *accumulate(one.count for one in chunks)]
        return [starts[cut] for cut in cuts]

    def _sizes(self, c: TextConfig, block_tokens: int) -> _Model:
        routed = next((one.feed.routed for one in self._weights.layers if isinstance(one.feed, ExpertWeights)), None)
        sizes = {"experts": 0, "padded_experts": 0, "hidden": 0, "padded_width": 0}
        if isinstance(routed, PackedExperts):
            sizes = {
                "experts": c.n_routed_experts, "padded_experts": routed.router.shape[1] * TILE,
                "hidden": routed.hidden, "padded_width": routed.outputs,
            }  # fmt: skip
        return _Model(
            width=c.hidden_size, heads=c.num_attention_heads, nope=c.qk_nope_head_dim, rope=c.qk_rope_head_dim,
            latent=c.kv_lora_rank, value=c.v_head_dim, query_rank=c.q_lora_rank or 0, top_k=c.num_experts_per_tok,
            normalise=c.norm_topk_prob, block_tokens=block_tokens, eps=c.rms_norm_eps, lora_eps=c.lora_norm_eps,
            scale=c.routed_scaling_factor, **sizes,
        )  # fmt: skip

    def _layer(self, layer: LayerWeights, latents_BW: Tensor) -> _Layer:
        at = self._at
        found = _Layer(
            input_norm=at(layer.input_norm), down=at(layer.down_in.tiles), latent_norm=at(layer.latent_norm),
            up_k=at(layer.up_k.tiles), up_v=at(layer.up_v.tiles), out=at(layer.out.tiles),
            feed_norm=at(layer.feed_norm), latents=at(latents_BW),
        )  # fmt: skip
        if layer.query is not None:
            found.query_norm, found.query = at(layer.query_norm), at(layer.query.tiles)
        feed = _shared(layer)
        if isinstance(layer.feed, ExpertWeights) and isinstance(layer.feed.routed, PackedExperts):
            routed = layer.feed.routed
            found.router, found.bias = at(routed.router), at(layer.feed.bias_E.float())
            found.gate_up, found.routed_down = at(routed.gate_up), at(routed.down)
        found.fed_in, found.fed_out, found.fed = at(feed.gate_up.tiles), at(feed.down.tiles), feed.down.weight.shape[1]
        return found

    def _at(self, tensor: Tensor | None) -> int:
        """Where it lies; it is held as long as this is."""
        if tensor is None:
            raise ValueError("these weights are not those of an invariant engine: a matrix has no tiles")
        require_plain(tensor)
        self._held.append(tensor)
        return tensor.data_ptr()


def _shared(layer: LayerWeights) -> SwiGlu:
    """What every token goes through."""
    return layer.feed.shared if isinstance(layer.feed, ExpertWeights) else layer.feed


def _nearest(reached: list[int], aim: float) -> int:
    """Which of some ascending numbers is nearest."""
    above = bisect_left(reached, aim)
    return min((above - 1, above), key=lambda place: abs(reached[place] - aim))


def _groups(batch: Batch) -> Iterator[_Group]:
    for group in batch.groups:
        if group.lengths is None or batch.long:
            raise ValueError("this batch has tokens that are not read each by itself")
        at = (group.blocks.data_ptr(), group.lengths.data_ptr())
        yield _Group(group.start, group.rows, group.blocks.stride(0), *at)
