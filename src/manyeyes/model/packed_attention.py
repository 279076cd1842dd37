"""Causal attention inside each sample of packed rows, and every head's largest logit.

On the CPU one autograd function rotates, attends and keeps what its backward pass needs: short samples go through
cached tiles, long ones through the flash kernel (values zero-padded to the width of queries, which that kernel asks
for). Elsewhere FlexAttention runs all samples under one block mask. The largest logit of a long sample (elsewhere: of
any) is bounded by its log-sum-exp while that is small, see `logit_bound`; of a short one it is exact in every format.

Report: §4.1 (MLA, QK-Clip); App. C.1 (packing).

Shapes: B rows, T positions, H heads, Q = n + r query width (nope + rope), V value width, E = n + V, R rope pairs.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention

from manyeyes.model.logit_bound import bounded_max_logit, max_logit
from manyeyes.model.rope import rotate, rotate_
from manyeyes.model.spans import NOTHING, Span, Tile, continued, owners, tiles_of
from manyeyes.model.tiled_attention import tiled_backward, tiled_forward

LONGEST_TILED = 1024
"""Longer samples use the flash kernel: kept probabilities would take 2 T^2 bytes a head."""


class Plan(NamedTuple):
    """Which samples go which way; worked out once for all layers."""

    spans: tuple[Span, ...]
    tiles: tuple[Tile, ...]
    flash: tuple[Span, ...]
    measured: tuple[Span, ...]
    """The first ones of `flash`, short enough that their largest logit is computed, not bounded."""
    covers_all: bool
    """No position is padding."""


class Attended(NamedTuple):
    """Attention's values, and each head's largest logit.

    `max_logit_H` is exact where it could exceed the threshold. Below, samples up to `LONGEST_TILED` still count with
    their largest logit on the CPU, in fp32 and in half precision; longer ones with their log-sum-exp, at most
    log(length) above it.
    """

    y_BTHV: Tensor
    max_logit_H: Tensor | None


def plan_of(spans: tuple[Span, ...], *, rows: int, length: int, dtype: torch.dtype = torch.float32) -> Plan:
    """Short samples in tiles, long ones (and all in half precision, whose sums flash keeps in fp32) by flash.

    Spans that continue another one go in tiles, whatever their length; flash knows of no such thing.
    """
    short = tuple(span for span in spans if span.length <= LONGEST_TILED or span.before != NOTHING)
    long = tuple(span for span in spans if span.length > LONGEST_TILED and span.before == NOTHING)
    covers_all = sum(span.rows * span.length for span in spans) == rows * length
    if dtype == torch.float32:
        return Plan(spans, tiles_of(short), flash=long, measured=(), covers_all=covers_all)
    return Plan(spans, (), flash=short + long, measured=short, covers_all=covers_all)


def packed_attention(
    q_BTHQ: Tensor,
    kv_BTHE: Tensor,
    k_rope_BTr: Tensor,
    *,
    turns_BTR: Tensor,
    plan: Plan,
    scale: float,
    clip_threshold: float | None = None,
) -> Attended:
    """Rotates, attends causally within each span; positions outside every span give 0.

    Args:
        q_BTHQ: queries before rotation.
        kv_BTHE: for each head k_nope and v.
        k_rope_BTr: the rotary key that all heads share, before rotation.
        turns_BTR: from `Rope.turns`.
        clip_threshold: None for no logit bound.
    """
    if q_BTHQ.device.type == "cpu":
        _require_no_continuation_by_flash(plan)
        packed: Any = _PackedAttention.apply(q_BTHQ, kv_BTHE, k_rope_BTr, turns_BTR, plan, scale, clip_threshold)
        return Attended(packed[0], None if clip_threshold is None else packed[1])
    return flex_packed(
        q_BTHQ, kv_BTHE, k_rope_BTr, turns_BTR=turns_BTR, plan=plan, scale=scale, clip_threshold=clip_threshold
    )


def _require_no_continuation_by_flash(plan: Plan) -> None:
    if any(span.before != NOTHING for span in plan.flash):
        raise ValueError(
            "in half precision on a CPU samples cannot share a beginning; pack each of them whole, or compute in fp32"
        )


class _PackedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q_BTHQ: Tensor,
        kv_BTHE: Tensor,
        k_rope_BTr: Tensor,
        turns_BTR: Tensor,
        plan: Plan,
        scale: float,
        clip_threshold: float | None,
    ) -> tuple[Tensor, Tensor]:
        n_nope = q_BTHQ.shape[-1] - k_rope_BTr.shape[-1]
        q_BHTQ, k_BHTQ, v_BHTV = _assembled(q_BTHQ, kv_BTHE, k_rope_BTr, turns_BTR, scale=scale)
        y_BTHV = (torch.empty if plan.covers_all else torch.zeros)(_like(v_BHTV), dtype=v_BHTV.dtype)
        max_H = torch.full((q_BHTQ.shape[1],), -torch.inf)
        largest_H = None if clip_threshold is None else max_H
        kept = tiled_forward(q_BHTQ, k_BHTQ, v_BHTV, tiles=plan.tiles, y_BHTV=y_BTHV.transpose(1, 2), max_H=largest_H)
        flashed = flash_forward(q_BHTQ, k_BHTQ, v_BHTV, spans=plan.flash, y_BHTV=y_BTHV.transpose(1, 2))
        if clip_threshold is not None and plan.flash:
            lse = [lse_BHt for _, lse_BHt in flashed]
            max_H = torch.maximum(max_H, _flash_max(q_BHTQ, k_BHTQ, lse, plan=plan, clip_threshold=clip_threshold))
        ctx.save_for_backward(q_BHTQ, k_BHTQ, v_BHTV, turns_BTR, *kept, *(x for pair in flashed for x in pair))
        ctx.plan, ctx.scale, ctx.n_nope = plan, scale, n_nope
        ctx.mark_non_differentiable(max_H)
        return y_BTHV, max_H

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None, None]:
        q_BHTQ, k_BHTQ, v_BHTV, turns_BTR, *rest = ctx.saved_tensors
        plan, n_nope = ctx.plan, ctx.n_nope
        kept, flashed = rest[: len(plan.tiles)], rest[len(plan.tiles) :]
        dy_BHTV = grads[0].transpose(1, 2).contiguous()
        dk_BHTQ, dv_BHTV = torch.zeros_like(k_BHTQ), torch.zeros_like(v_BHTV)
        dq_BTHQ = (torch.empty if plan.covers_all else torch.zeros)(_like(q_BHTQ), dtype=q_BHTQ.dtype)
        given = (dy_BHTV, q_BHTQ, k_BHTQ, v_BHTV)
        wanted = {"dq_BHTQ": dq_BTHQ.transpose(1, 2), "dk_BHTQ": dk_BHTQ, "dv_BHTV": dv_BHTV}
        tiled_backward(*given, tiles=plan.tiles, kept=kept, scale=ctx.scale, **wanted)
        flash_backward(*given, spans=plan.flash, kept=flashed, scale=ctx.scale, **wanted)
        rotate_(dq_BTHQ[..., n_nope:], turns_BTR.conj()[:, :, None])
        dk_rope_BTr = rotate_(dk_BHTQ[..., n_nope:].sum(1), turns_BTR.conj())
        dkv_BHTE = torch.cat([dk_BHTQ[..., :n_nope].transpose(1, 2), dv_BHTV.transpose(1, 2)], dim=-1)
        return dq_BTHQ, dkv_BHTE, dk_rope_BTr, None, None, None, None


def _flash_max(q_BHTQ: Tensor, k_BHTQ: Tensor, lse: list[Tensor], *, plan: Plan, clip_threshold: float) -> Tensor:
    """Each head's largest logit in the flash spans [H]: measured in the short ones, bounded in the long ones."""
    max_H = max_logit(q_BHTQ, k_BHTQ, spans=plan.measured)
    long = plan.flash[len(plan.measured) :]
    if not long:
        return max_H
    lse_H = torch.stack([lse_BHt.amax((0, 2)) for lse_BHt in lse[len(plan.measured) :]]).amax(0)
    bound_H = bounded_max_logit(q_BHTQ, k_BHTQ, lse_H, spans=long, clip_threshold=clip_threshold)
    return torch.maximum(max_H, bound_H)


def _assembled(
    q_BTHQ: Tensor, kv_BTHE: Tensor, k_rope_BTr: Tensor, turns_BTR: Tensor, *, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled and rotated queries, whole keys and values, each contiguous as [B, H, T, width]."""
    n_nope = q_BTHQ.shape[-1] - k_rope_BTr.shape[-1]
    q_BHTQ = torch.mul(q_BTHQ.transpose(1, 2), scale, out=torch.empty(_like(q_BTHQ), dtype=q_BTHQ.dtype))
    rotate_(q_BHTQ[..., n_nope:], turns_BTR[:, None])
    k_BHTQ = torch.empty_like(q_BHTQ)
    k_BHTQ[..., :n_nope] = kv_BTHE[..., :n_nope].transpose(1, 2)
    k_BHTQ[..., n_nope:] = rotate(k_rope_BTr, turns_BTR)[:, None]
    return q_BHTQ, k_BHTQ, kv_BTHE[..., n_nope:].transpose(1, 2).contiguous()


def _like(x_BHTX: Tensor) -> tuple[int, int, int, int]:
    b, h, t, width = x_BHTX.shape
    return b, t, h, width


def flash_forward(
    q_BHTQ: Tensor, k_BHTQ: Tensor, v_BHTV: Tensor, *, spans: tuple[Span, ...], y_BHTV: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Writes attention of these spans into `y_BHTV`; returns each one's padded output and log-sum-exp."""
    n_value, kept = v_BHTV.shape[-1], []
    for span in spans:
        q, k, v = (_cut(x, span) for x in (q_BHTQ, k_BHTQ, v_BHTV))
        v = F.pad(v, (0, q.shape[-1] - n_value))
        y, lse_BHt = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, True, scale=1.0)
        _cut(y_BHTV, span).copy_(y[..., :n_value])
        kept.append((y, lse_BHt))
    return kept


def flash_backward(
    dy_BHTV: Tensor,
    q_BHTQ: Tensor,
    k_BHTQ: Tensor,
    v_BHTV: Tensor,
    *,
    spans: tuple[Span, ...],
    kept: list[Tensor],
    scale: float,
    dq_BHTQ: Tensor,
    dk_BHTQ: Tensor,
    dv_BHTV: Tensor,
) -> None:
    """Writes the gradients of these spans."""
    n_value = v_BHTV.shape[-1]
    for span, y, lse_BHt in zip(spans, kept[::2], kept[1::2], strict=True):
        dy, q, k, v = (_cut(x, span) for x in (dy_BHTV, q_BHTQ, k_BHTQ, v_BHTV))
        dy, v = (F.pad(x, (0, q.shape[-1] - n_value)) for x in (dy, v))
        dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            dy, q, k, v, y, lse_BHt, 0.0, True, scale=1.0
        )
        torch.mul(dq, scale, out=_cut(dq_BHTQ, span))
        _cut(dk_BHTQ, span).copy_(dk)
        _cut(dv_BHTV, span).copy_(dv[..., :n_value])


def flex_packed(
    q_BTHQ: Tensor,
    kv_BTHE: Tensor,
    k_rope_BTr: Tensor,
    *,
    turns_BTR: Tensor,
    plan: Plan,
    scale: float,
    clip_threshold: float | None = None,
) -> Attended:
    """`packed_attention` by FlexAttention: one call for all spans, for devices that have its kernels."""
    n_rope = k_rope_BTr.shape[-1]
    n_nope = q_BTHQ.shape[-1] - n_rope
    heads, device = q_BTHQ.shape[2], q_BTHQ.device
    q_nope, q_rope = q_BTHQ.split([n_nope, n_rope], dim=-1)
    k_nope, v_BTHV = kv_BTHE.split([n_nope, kv_BTHE.shape[-1] - n_nope], dim=-1)
    k_rope = rotate(k_rope_BTr, turns_BTR)[:, :, None].expand(-1, -1, heads, -1)
    q = torch.cat([q_nope, rotate(q_rope, turns_BTR[:, :, None])], dim=-1).transpose(1, 2)
    k = torch.cat([k_nope, k_rope], dim=-1).transpose(1, 2)
    owner_BT = owners(plan.spans, rows=q_BTHQ.shape[0], length=q_BTHQ.shape[1]).to(device)
    continued_BT = continued(plan.spans, rows=q_BTHQ.shape[0], length=q_BTHQ.shape[1]).to(device)

    def visible(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        ours = (owner_BT[b, i] == owner_BT[b, j]) | (continued_BT[b, i] == owner_BT[b, j])
        return (i >= j) & ours & (owner_BT[b, i] >= 0) & (owner_BT[b, j] >= 0)

    mask = create_block_mask(visible, q.shape[0], None, q.shape[2], k.shape[2], device=device)
    y, aux = flex_attention(q, k, v_BTHV.transpose(1, 2), scale=scale, block_mask=mask, return_aux=AuxRequest(lse=True))
    max_H = None
    if clip_threshold is not None and aux.lse is not None:
        lse_H = aux.lse.detach().masked_fill((owner_BT < 0)[:, None], -torch.inf).amax((0, 2))
        q, k = q.detach() * scale, k.detach()
        max_H = bounded_max_logit(q, k, lse_H, spans=plan.spans, clip_threshold=clip_threshold)
    return Attended(y.transpose(1, 2), max_H)


def _cut(x_BHTX: Tensor, span: Span) -> Tensor:
    return x_BHTX[span.row : span.row + span.rows, :, span.start : span.stop]
