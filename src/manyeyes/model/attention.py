"""Multi-head latent attention (MLA) over packed rows, with the logit bound that QK-Clip needs and a compressed cache.

    q = q_b(rms(q_a(x))) = [q_nope | q_rope] a head        c = rms(kv_a(x)[:kv_lora]),  k_rope = kv_a(x)[kv_lora:]
    k_nope, v = kv_b(c) a head                             logits = (q_nope . k_nope + q_rope . k_rope) * scale

Keys and values follow from c and the one shared k_rope, so these are all that `MlaCache` keeps; while decoding, kv_b is
absorbed into queries and outputs and no key is ever rebuilt. Samples in a row see only themselves (`Span`s).

Report: §4.1 (K2 backbone, MLA); DeepSeek-V2, 2024.

Shapes: B rows, T positions, H heads, Q = nope + rope width, V value width, C latent width, R rope pairs, S cached.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from manyeyes.model.config import TextConfig
from manyeyes.model.packed_attention import Plan, packed_attention
from manyeyes.model.precision import Linear, linear
from manyeyes.model.rms_norm import RMSNorm
from manyeyes.model.rope import rotate


class AttentionOutput(NamedTuple):
    """Attention's part of the residual stream, and per head its largest logit (see `packed_attention.Attended`)."""

    y_BTD: Tensor
    max_logit_H: Tensor | None


@dataclass(slots=True)
class MlaCache:
    """The compressed past of B sequences in every layer: latents [L, B, S, C + rope] and how many positions are filled.

    Rows are left-aligned: position p of a sequence lies at index p. `forward` writes the new positions of each layer at
    `lengths_B` onwards; the backbone moves `lengths_B` on when all layers are done.

    Example:
        >>> from manyeyes.model.config import tiny
        >>> MlaCache.empty(tiny().text, 3, capacity=10).latents.shape
        torch.Size([4, 3, 10, 80])
    """

    latents: Tensor
    lengths_B: Tensor

    @classmethod
    def empty(
        cls,
        config: TextConfig,
        rows: int,
        *,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Room for `rows` sequences of at most `capacity` positions."""
        width = config.kv_lora_rank + config.qk_rope_head_dim
        latents = torch.zeros(config.num_hidden_layers, rows, capacity, width, dtype=dtype, device=device)
        return cls(latents, torch.zeros(rows, dtype=torch.int64, device=device))

    @property
    def capacity(self) -> int:
        """Most positions that a sequence may have."""
        return self.latents.shape[2]

    def select(self, rows: Tensor) -> "MlaCache":
        """A cache of these rows, copied: drops finished sequences, or repeats one to sample it several times."""
        return MlaCache(self.latents[:, rows], self.lengths_B[rows])

    def require_room(self, n_new: int) -> None:
        """Raises ValueError where `n_new` more positions would not fit."""
        filled = int(self.lengths_B.max()) if len(self.lengths_B) else 0
        if filled + n_new > self.capacity:
            raise ValueError(
                f"the cache holds at most {self.capacity} positions: {filled} are filled and {n_new} more do not fit; "
                "make it with a larger capacity"
            )

    def write(self, layer: int, latent_BTC: Tensor) -> None:
        """Puts new positions of one layer behind the filled ones."""
        rows, n_new, _ = latent_BTC.shape
        at_BT = self.lengths_B[:, None] + torch.arange(n_new, device=self.lengths_B.device)
        self.latents[layer].index_put_((torch.arange(rows, device=at_BT.device)[:, None], at_BT), latent_BTC)


class Rows(NamedTuple):
    """What attention must know about the rows of a batch, worked out once for all layers."""

    turns_BTR: Tensor
    plan: Plan
    softmax_scale: float
    clip_threshold: float | None
    """None: no logit bound is wanted."""


class Attention(nn.Module):
    """MLA with the parameter names of the released checkpoint."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.hidden_size, config.num_attention_heads
        if config.q_lora_rank is None:
            self.q_proj = Linear(width, heads * config.qk_head_dim, bias=False)
        else:
            self.q_a_proj = Linear(width, config.q_lora_rank, bias=False)
            self.q_a_layernorm = RMSNorm(config.q_lora_rank, config.lora_norm_eps)
            self.q_b_proj = Linear(config.q_lora_rank, heads * config.qk_head_dim, bias=False)
        self.kv_a_proj_with_mqa = Linear(width, config.kv_lora_rank + config.qk_rope_head_dim, bias=False)
        self.kv_a_layernorm = RMSNorm(config.kv_lora_rank, config.lora_norm_eps)
        self.kv_b_proj = Linear(config.kv_lora_rank, heads * (config.qk_nope_head_dim + config.v_head_dim), bias=False)
        self.o_proj = Linear(heads * config.v_head_dim, width, bias=False)

    def forward(self, x_BTD: Tensor, rows: Rows, *, cache: MlaCache | None = None, layer: int = 0) -> AttentionOutput:
        """Attends within each span, or, with a cache that holds a past, to that past and causally to itself."""
        q_BTHQ, latent_BTC, k_rope_BTr = self._compress(x_BTD)
        if cache is not None:
            latent = torch.cat([latent_BTC, rotate(k_rope_BTr, rows.turns_BTR)], dim=-1)
            cache.write(layer, latent.to(cache.latents.dtype))
            if bool(cache.lengths_B.any()):
                return AttentionOutput(self._decode(q_BTHQ, rows, cache, layer), None)
        kv_BTHE = self.kv_b_proj(latent_BTC).unflatten(-1, (self.config.num_attention_heads, -1))
        out = packed_attention(
            q_BTHQ,
            kv_BTHE,
            k_rope_BTr,
            turns_BTR=rows.turns_BTR,
            plan=rows.plan,
            scale=rows.softmax_scale,
            clip_threshold=rows.clip_threshold,
        )
        return AttentionOutput(self.o_proj(out.y_BTHV.flatten(-2)), out.max_logit_H)

    def _compress(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c = self.config
        kv_a = self.kv_a_proj_with_mqa.weight
        if c.q_lora_rank is None:
            q, kv = self.q_proj(x_BTD), self.kv_a_proj_with_mqa(x_BTD)
        else:
            both = linear(x_BTD, torch.cat([self.q_a_proj.weight, kv_a]))  # one product instead of two
            q_a, kv = both.split([c.q_lora_rank, kv_a.shape[0]], dim=-1)
            q = self.q_b_proj(self.q_a_layernorm(q_a))
        latent, k_rope = kv.split([c.kv_lora_rank, c.qk_rope_head_dim], dim=-1)
        return q.unflatten(-1, (c.num_attention_heads, -1)), self.kv_a_layernorm(latent), k_rope

    def _decode(self, q_BTHQ: Tensor, rows: Rows, cache: MlaCache, layer: int) -> Tensor:
        c = self.config
        up_k_HnC, up_v_HVC = (
            self.kv_b_proj.weight.to(q_BTHQ.dtype)
            .unflatten(0, (c.num_attention_heads, -1))
            .split([c.qk_nope_head_dim, c.v_head_dim], dim=1)
        )
        n_new = q_BTHQ.shape[1]
        reach = int(cache.lengths_B.max()) + n_new
        past_BSC = cache.latents[layer, :, :reach].to(q_BTHQ.dtype)
        q_nope, q_rope = q_BTHQ.split([c.qk_nope_head_dim, c.qk_rope_head_dim], dim=-1)
        q_rope = rotate(q_rope, rows.turns_BTR[:, :, None])
        absorbed_BTHC = torch.cat([torch.einsum("bthn,hnc->bthc", q_nope, up_k_HnC), q_rope], dim=-1)
        # In fp32 like the kernels of `packed_attention`: a logit near 100, rounded to bf16, is wrong by up to 0.25.
        logits_BHTS = torch.einsum("bthc,bsc->bhts", absorbed_BTHC.float(), past_BSC.float()) * rows.softmax_scale
        limit_BT = cache.lengths_B[:, None] + torch.arange(n_new, device=past_BSC.device)
        hidden_BTS = torch.arange(reach, device=past_BSC.device) > limit_BT[..., None]
        p_BHTS = logits_BHTS.masked_fill_(hidden_BTS[:, None], -torch.inf).softmax(-1).to(q_BTHQ.dtype)
        latent_BTHC = torch.einsum("bhts,bsc->bthc", p_BHTS, past_BSC[..., : c.kv_lora_rank])
        out_BTHV = torch.einsum("bthc,hvc->bthv", latent_BTHC, up_v_HVC)
        return self.o_proj(out_BTHV.flatten(-2))
