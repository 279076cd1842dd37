"""A step of an invariant engine in one call: all layers by `kernels`, from embedded tokens to scores.

It is `forward` function for function, and gives the same numbers to the last bit. What it saves is the way between the
functions: sixty calls a step, each with tensors to make and Python's lock to wait for. Parts of a step that go side by
side (`parts`) do not meet at all.

Report: §4.1, App. D.

Shapes: N tokens, D width, M sampled rows, V vocabulary, K experts a token.
"""

import ctypes
from collections.abc import Iterator

import torch
from torch import Tensor

from manyeyes.inference.batch import Batch
from manyeyes.inference.kernels import TILE, Kernels, PackedExperts
from manyeyes.inference.latent_store import LatentStore
from manyeyes.inference.weights import ExpertWeights, LayerWeights, Weights
from manyeyes.model.config import TextConfig

_INTEGERS = (
    "width heads nope rope latent value query_rank experts padded_experts each hidden padded_width normalise "
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
    ]  # fmt: skip


class _Layer(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_void_p) for name in _POINTERS), ("fed", ctypes.c_int64)]


class _Reading(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("start", "rows", "block_row")),
        *((name, ctypes.c_void_p) for name in ("blocks", "length")),
    ]  # fmt: skip


class AllLayers:
    """For one set of weights and one store, both of which it holds.

    Args:
        weights: of an invariant engine: every product has its tiles.
    """

    def __init__(self, weights: Weights, kernels: Kernels, config: TextConfig, store: LatentStore) -> None:
        self._weights, self._kernels = weights, kernels
        self._kept: list[Tensor] = []
        self._mixtures = [number for number, one in enumerate(weights.layers) if isinstance(one.feed, ExpertWeights)]
        self._each = config.num_experts_per_tok
        layers = [self._layer(one, store.latents_LKB[number]) for number, one in enumerate(weights.layers)]
        self._layers = (_Layer * len(layers))(*layers)
        self._model = self._sizes(config, store.block_tokens)
        self._norm, self._head = self._at(weights.norm), self._at(weights.head.tiles)

    def __call__(self, batch: Batch, x_ND: Tensor, chosen: list[Tensor] | None = None) -> Tensor:
        """Scores [M, V] behind the tokens `batch.last_M`; see `forward`. `x_ND` is overwritten.

        Args:
            batch: whose tokens are read each by itself.
        """
        rows, lasts, layers = len(x_ND), len(batch.last_M), self._layers
        turns_NR = self._weights.rope.turns(batch.position_N[None])[0].contiguous()
        if chosen is not None:
            layers = type(layers).from_buffer_copy(layers)
            for number in self._mixtures:
                sent = lasts if number == len(layers) - 1 else rows
                chosen.append(torch.empty(sent, self._each, dtype=torch.int64))
                layers[number].expert = chosen[-1].data_ptr()
        scores_MV = torch.empty(lasts, self._weights.head.weight.shape[0])
        self._kernels.all_layers(
            self._model, layers, x_ND, batch.slot_N, turns_NR, (_Reading * len(batch.groups))(*_readings(batch)),
            batch.last_M, self._norm, self._head, scores_MV,
        )  # fmt: skip
        return scores_MV

    def _sizes(self, c: TextConfig, block_tokens: int) -> _Model:
        routed = next((one.feed.routed for one in self._weights.layers if isinstance(one.feed, ExpertWeights)), None)
        assert routed is None or isinstance(routed, PackedExperts)
        return _Model(
            width=c.hidden_size, heads=c.num_attention_heads, nope=c.qk_nope_head_dim, rope=c.qk_rope_head_dim,
            latent=c.kv_lora_rank, value=c.v_head_dim, query_rank=c.q_lora_rank or 0,
            experts=c.n_routed_experts if routed else 0, padded_experts=routed.router.shape[1] * TILE if routed else 0,
            each=c.num_experts_per_tok, hidden=routed.hidden if routed else 0,
            padded_width=routed.outputs if routed else 0, normalise=c.norm_topk_prob, block_tokens=block_tokens,
            eps=c.rms_norm_eps, lora_eps=c.lora_norm_eps, scale=c.routed_scaling_factor,
        )  # fmt: skip

    def _layer(self, layer: LayerWeights, latents_KB: Tensor) -> _Layer:
        at, compressed = self._at, layer.query is not None
        found = _Layer(
            input_norm=at(layer.input_norm), down=at(layer.down_in.tiles), latent_norm=at(layer.latent_norm),
            query_norm=at(layer.query_norm) if compressed else None,
            query=at(layer.query.tiles) if layer.query is not None else None,
            up_k=at(layer.up_k.tiles), up_v=at(layer.up_v.tiles), out=at(layer.out.tiles),
            feed_norm=at(layer.feed_norm), latents=at(latents_KB),
        )  # fmt: skip
        feed = layer.feed
        if isinstance(feed, ExpertWeights):
            routed = feed.routed
            assert isinstance(routed, PackedExperts)
            found.router, found.bias = at(routed.router), at(feed.bias_E.float())
            found.gate_up, found.routed_down = at(routed.gate_up), at(routed.down)
            feed = feed.shared
        found.fed_in, found.fed_out, found.fed = at(feed.gate_up.tiles), at(feed.down.tiles), feed.down.weight.shape[1]
        return found

    def _at(self, tensor: Tensor | None) -> int:
        """Where it lies; it is held as long as this is."""
        assert tensor is not None and tensor.dtype == torch.float32 and tensor.is_contiguous()
        self._kept.append(tensor)
        return tensor.data_ptr()


def _readings(batch: Batch) -> Iterator[_Reading]:
    for group in batch.groups:
        assert group.lengths is not None and not batch.long, "each token is read by itself"
        at = (group.blocks.data_ptr(), group.lengths.data_ptr())
        yield _Reading(group.start, group.rows, group.blocks.stride(0), *at)
