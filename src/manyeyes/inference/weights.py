"""A policy's weights as decoding wants them: joined where two products read the same input, packed for the CPU.

oneDNN multiplies 2 to 2.4 times as fast as the BLAS behind `F.linear` once its weights are packed and there are a few
rows (measured, fp32: 64 rows of 256 x 256 take 41 us instead of 79); with fewer rows the BLAS is faster. A matrix for
each head or expert is a convolution over one pixel with groups, one call for all (32 experts of 256 x 256 with 8 rows
each: 175 us; a loop over packed matrices 515, `grouped_mm` 880). So each matrix is kept twice on the CPU. The softmax
scale is part of the query's matrix.

Report: App. D.

Shapes: N rows, D width, H heads, C latent width, n and V head widths, E experts, I expert width, J = 2I, G groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from manyeyes.inference.kernels import Kernels, PackedExperts, packed_groups
from manyeyes.model.backbone import Layer
from manyeyes.model.feed_forward import FeedForward
from manyeyes.model.moe import Experts, MoE
from manyeyes.model.multimodal import K25
from manyeyes.model.rope import Rope

FEW_ROWS = 6
"""Fewer rows than this go through `F.linear`, if the matrix is small (measured)."""
SMALL = 1 << 17
"""Elements of a small matrix. Larger ones are read at the speed of memory only when packed, even for a single row."""

FEW_PIXELS = 24
"""Fewer rows times groups than this go through `bmm` (measured)."""
PACKED_FOR = 16
"""Rows of a group that grouped matrices are packed for (measured: packing for 64 doubles the time of few rows)."""

_LINEAR: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_PACK_LINEAR: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
_CONVOLUTION: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
_PACK_CONVOLUTION: Any = getattr(torch.ops.mkldnn, "_reorder_convolution_weight", None)


def packs(weight: Tensor) -> bool:
    """Whether oneDNN is at hand for this tensor, in a format that it multiplies fast."""
    ready = None not in (_LINEAR, _PACK_LINEAR, _CONVOLUTION, _PACK_CONVOLUTION)
    return ready and weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)


class Matrix:
    """x → x @ weight.T by whichever library is faster for the rows at hand.

    Args:
        alike: loops that multiply each row alike, whatever is beside it; libraries choose theirs by how many there are.
    """

    __slots__ = ("_alike", "packed", "weight")

    def __init__(self, weight: Tensor, alike: Kernels | None = None) -> None:
        self.weight, self.packed = columns_first(weight), None
        self._alike = None if alike is None else GroupedMatrix(weight[None], alike)
        if alike is None and packs(weight):
            self.packed = _PACK_LINEAR(weight.contiguous(), None)

    @property
    def tiles(self) -> Tensor | None:
        """As `kernels` reads it; None where libraries multiply."""
        return None if self._alike is None else self._alike.tiles

    def __call__(self, x_ND: Tensor) -> Tensor:
        """[N, in] → [N, out]."""
        if self._alike is not None:
            return self._alike(x_ND.contiguous()[:, None])[:, 0]
        if self.packed is None:
            return F.linear(x_ND, self.weight)
        if x_ND.shape[0] < FEW_ROWS and self.weight.numel() < SMALL:
            return F.linear(x_ND, self.weight)
        return _LINEAR(x_ND, self.packed, None, "none", [], "")


def columns_first(weight: Tensor) -> Tensor:
    """The same matrix, its columns behind each other on the CPU: the BLAS reads it nearly twice as fast for few rows
    (256 x 256 from memory: 10 us instead of 18)."""
    return weight.mT.contiguous().mT if packs(weight) else weight


class GroupedMatrix:
    """A matrix for each head or expert: x[:, g] → x[:, g] @ weight[g].T."""

    __slots__ = ("_kernels", "packed", "tiles", "weight_GOI")

    def __init__(self, weight_GOI: Tensor, kernels: Kernels | None = None) -> None:
        self.weight_GOI = columns_first(weight_GOI)
        self.packed: Tensor | None = None
        self._kernels, self.tiles = kernels, None if kernels is None else packed_groups(weight_GOI)
        if kernels is None and packs(weight_GOI):
            groups, _, n_in = weight_GOI.shape
            flat = weight_GOI.reshape(-1, n_in, 1, 1)
            size = [1, groups * n_in, PACKED_FOR, 1]
            self.packed = _PACK_CONVOLUTION(flat, [0, 0], [1, 1], [1, 1], groups, size)

    def __call__(self, x_NGI: Tensor) -> Tensor:
        """[N, G, in] → [N, G, out]."""
        rows, groups, n_in = x_NGI.shape
        if self._kernels is not None and self.tiles is not None and x_NGI.stride(2) == 1:
            return self._kernels.grouped(x_NGI, self.tiles, x_NGI.new_empty(rows, groups, self.weight_GOI.shape[1]))
        if self.packed is None or rows * groups < FEW_PIXELS:
            return torch.bmm(x_NGI.transpose(0, 1), self.weight_GOI.transpose(1, 2)).transpose(0, 1)
        pixels = x_NGI.reshape(1, rows, 1, groups * n_in).permute(0, 3, 1, 2)
        y = _CONVOLUTION(pixels, self.packed, None, [0, 0], [1, 1], [1, 1], groups, "none", [], "")
        return y.permute(0, 2, 3, 1).view(rows, groups, -1)

    def beside(self, x_NGI: Tensor, more_NGM: Tensor) -> Tensor:
        """[N, G, out + M]: the product, and what stands beside it."""
        if self._kernels is None or self.tiles is None or x_NGI.stride(2) != 1:
            return torch.cat([self(x_NGI), more_NGM], dim=-1)
        outputs = self.weight_GOI.shape[1]
        both = x_NGI.new_empty(*x_NGI.shape[:2], outputs + more_NGM.shape[2])
        self._kernels.grouped(x_NGI, self.tiles, both[..., :outputs])
        both[..., outputs:] = more_NGM
        return both


@dataclass(slots=True)
class SwiGlu:
    """Gate and up as one matrix, and down: a dense layer's feed-forward or the shared expert."""

    gate_up: Matrix
    down: Matrix
    alike: Kernels | None = None

    @classmethod
    def of(cls, module: FeedForward, dtype: torch.dtype, alike: Kernels | None = None) -> "SwiGlu":
        """From the model's module."""
        gate_up = torch.cat([module.gate_proj.weight.to(dtype), module.up_proj.weight.to(dtype)])
        return cls(Matrix(gate_up, alike), Matrix(module.down_proj.weight.to(dtype), alike), alike)

    def __call__(self, x_ND: Tensor) -> Tensor:
        """[N, D] → [N, D]."""
        both_NJ = self.gate_up(x_ND)
        if self.alike is not None:
            return self.down(self.alike.activate(both_NJ))
        gate, up = both_NJ.chunk(2, dim=-1)
        return self.down(F.silu(gate).mul_(up))


@dataclass(slots=True)
class GroupedExperts:
    """All routed experts of a layer, gate and up as one, for libraries."""

    gate_up: GroupedMatrix
    down: GroupedMatrix

    @classmethod
    def of(cls, module: Experts, dtype: torch.dtype) -> "GroupedExperts":
        """From the model's module."""
        gate_up_EJD = torch.cat([module.gate_proj.to(dtype), module.up_proj.to(dtype)], dim=1)
        return cls(GroupedMatrix(gate_up_EJD), GroupedMatrix(module.down_proj.detach().to(dtype)))


@dataclass(slots=True)
class ExpertWeights:
    """Router, all routed experts of a layer, and the shared one."""

    gate_ED: Tensor
    bias_E: Tensor
    routed: PackedExperts | GroupedExperts
    shared: SwiGlu

    @classmethod
    def of(
        cls, module: MoE, dtype: torch.dtype, kernels: Kernels | None = None, alike: Kernels | None = None
    ) -> "ExpertWeights":
        """From the model's module."""
        bank = module.experts
        return cls(
            module.gate.weight.detach().float(),
            module.gate.e_score_correction_bias,
            GroupedExperts.of(bank, dtype)
            if kernels is None
            else PackedExperts.of(kernels, module.gate.weight, bank.gate_proj, bank.up_proj, bank.down_proj),
            SwiGlu.of(module.shared_experts, dtype, alike),
        )


@dataclass(slots=True)
class LayerWeights:
    """One block. `down_in` gives the query's compressed input (or the query itself) beside the latent and its key."""

    input_norm: Tensor
    down_in: Matrix
    query_norm: Tensor | None
    query: Matrix | None
    latent_norm: Tensor
    kv_up: Matrix
    up_k: GroupedMatrix
    up_v: GroupedMatrix
    out: Matrix
    feed_norm: Tensor
    feed: SwiGlu | ExpertWeights

    @classmethod
    def of(
        cls, layer: Layer, *, scale: float, dtype: torch.dtype, kernels: Kernels | None, alike: Kernels | None
    ) -> "LayerWeights":
        """From the model's block."""
        attention, config = layer.self_attn, layer.self_attn.config
        kv_a, kv_b = attention.kv_a_proj_with_mqa.weight.to(dtype), attention.kv_b_proj.weight.to(dtype)
        up_k_HnC, up_v_HVC = kv_b.unflatten(0, (config.num_attention_heads, -1)).split(
            [config.qk_nope_head_dim, config.v_head_dim], dim=1
        )
        if config.q_lora_rank is None:
            first, query, query_norm = attention.q_proj.weight.to(dtype) * scale, None, None
        else:
            first = attention.q_a_proj.weight.to(dtype)
            query = Matrix(attention.q_b_proj.weight.to(dtype) * scale, alike)
            query_norm = attention.q_a_layernorm.weight.detach().float()
        feed = layer.mlp
        return cls(
            input_norm=layer.input_layernorm.weight.detach().float(),
            down_in=Matrix(torch.cat([first, kv_a]), alike),
            query_norm=query_norm,
            query=query,
            latent_norm=attention.kv_a_layernorm.weight.detach().float(),
            kv_up=Matrix(kv_b, alike),
            up_k=GroupedMatrix(up_k_HnC.transpose(1, 2).contiguous(), kernels),
            up_v=GroupedMatrix(up_v_HVC.contiguous(), kernels),
            out=Matrix(attention.o_proj.weight.to(dtype), alike),
            feed_norm=layer.post_attention_layernorm.weight.detach().float(),
            feed=SwiGlu.of(feed, dtype, alike)
            if isinstance(feed, FeedForward)
            else ExpertWeights.of(feed, dtype, kernels, alike),
        )


@dataclass(slots=True)
class Weights:
    """All that a step reads of the language model, and the kernels that read it."""

    embedding: Tensor
    layers: list[LayerWeights]
    norm: Tensor
    head: Matrix
    rope: Rope
    kernels: Kernels | None = None

    @classmethod
    def of(cls, model: K25, kernels: Kernels | None = None, *, invariant: bool = False) -> "Weights":
        """From a model, in its compute format; made anew whenever the weights change.

        Args:
            invariant: all products by `kernels`, which must be there.
        """
        backbone = model.language_model.model
        dtype, scale, alike = model.compute_dtype, backbone.rope.softmax_scale, kernels if invariant else None
        with torch.inference_mode():
            return cls(
                embedding=backbone.embed_tokens.weight.detach(),
                layers=[
                    LayerWeights.of(layer, scale=scale, dtype=dtype, kernels=kernels, alike=alike)
                    for layer in _blocks(model)
                ],
                norm=backbone.norm.weight.detach().float(),
                head=Matrix(model.head_weight.detach().to(dtype), alike),
                rope=backbone.rope,
                kernels=kernels,
            )


def _blocks(model: K25) -> Iterator[Layer]:
    for layer in model.language_model.model.layers:
        assert isinstance(layer, Layer)
        yield layer
