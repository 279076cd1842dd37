"""Causal attention inside each sample of packed rows, and a bound on every head's largest logit that costs nothing.

A row's log-sum-exp is at least its largest logit, and flash kernels return it. So max(LSE) of a head is kept; only if
it reaches `clip_threshold - LSE_GUARD` (rounding) is the exact maximum computed, for that head. QK-Clip therefore
never misses a head above its threshold, and pays only while it clips.

On the CPU each span runs through the flash kernel inside one autograd function (values are zero-padded to the width of
queries, which that kernel asks for). Elsewhere FlexAttention runs all spans under one block mask.

Report: §4.1 (MuonClip, QK-Clip); packing: App. C.1.

Shapes: B rows, T positions, H heads, Q = n + r query width (nope + rope), V value width, E = n + V, R rope pairs.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention

from manyeyes.model.rope import rotate, rotate_

LSE_GUARD = 0.01
"""Rounding of an fp32 log-sum-exp near 100 is about 1e-5; near 10,000 it is 1e-3."""

_QUERY_BLOCK = 512


class Span(NamedTuple):
    """One sample in a batch: positions start..stop of a row (of `rows` rows from `row`, where nothing is packed)."""

    row: int
    rows: int
    start: int
    stop: int


class Attended(NamedTuple):
    """Attention's values, and for each head max(LSE) or, above the threshold, the exact largest logit."""

    y_BTHV: Tensor
    max_logit_H: Tensor | None


def spans_of(segments_BT: Tensor | None, *, rows: int, length: int) -> tuple[Span, ...]:
    """The samples of a batch: runs of equal segment ids in each row; id -1 is padding and belongs to no span.

    Example:
        >>> spans_of(torch.tensor([[0, 0, 1, -1]]), rows=1, length=4)
        (Span(row=0, rows=1, start=0, stop=2), Span(row=0, rows=1, start=2, stop=3))
    """
    if segments_BT is None:
        return (Span(0, rows, 0, length),)
    ids = segments_BT.cpu()
    changes = (ids[:, 1:] != ids[:, :-1]).nonzero().tolist()
    cuts: list[list[int]] = [[0] for _ in range(rows)]
    for row, at in changes:
        cuts[row].append(at + 1)
    runs = [(b, s, e) for b in range(rows) for s, e in zip(cuts[b], [*cuts[b][1:], length], strict=True)]
    return tuple(Span(b, 1, s, e) for b, s, e in runs if ids[b, s] >= 0)


def packed_attention(
    q_BTHQ: Tensor,
    kv_BTHE: Tensor,
    k_rope_BTr: Tensor,
    *,
    turns_BTR: Tensor,
    spans: tuple[Span, ...],
    scale: float,
    clip_threshold: float | None = None,
) -> Attended:
    """Rotates, attends causally within each span; positions outside every span give 0.

    Args:
        q_BTHQ: queries before rotation; on the CPU their rope part is rotated in place.
        kv_BTHE: for each head k_nope and v.
        k_rope_BTr: the rotary key that all heads share, before rotation.
        turns_BTR: from `Rope.turns`.
        clip_threshold: None for no logit bound.
    """
    if q_BTHQ.device.type == "cpu":
        packed: Any = _PackedFlash.apply(q_BTHQ, kv_BTHE, k_rope_BTr, turns_BTR, spans, scale, clip_threshold)
        return Attended(packed[0], None if clip_threshold is None else packed[1])
    return flex_packed(
        q_BTHQ, kv_BTHE, k_rope_BTr, turns_BTR=turns_BTR, spans=spans, scale=scale, clip_threshold=clip_threshold
    )


class _PackedFlash(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q_BTHQ: Tensor,
        kv_BTHE: Tensor,
        k_rope_BTr: Tensor,
        turns_BTR: Tensor,
        spans: tuple[Span, ...],
        scale: float,
        clip_threshold: float | None,
    ) -> tuple[Tensor, Tensor]:
        n_rope = k_rope_BTr.shape[-1]
        n_nope = q_BTHQ.shape[-1] - n_rope
        rotate_(q_BTHQ[..., n_nope:], turns_BTR[:, :, None])
        k_BTHQ = torch.empty_like(q_BTHQ)
        k_BTHQ[..., :n_nope] = kv_BTHE[..., :n_nope]
        k_BTHQ[..., n_nope:] = rotate(k_rope_BTr, turns_BTR)[:, :, None]
        v_BTHQ = F.pad(kv_BTHE[..., n_nope:], (0, q_BTHQ.shape[-1] + n_nope - kv_BTHE.shape[-1]))
        y_BTHQ = torch.empty_like(q_BTHQ) if _cover(spans, q_BTHQ) else torch.zeros_like(q_BTHQ)
        lse = []
        for span in spans:
            y, lse_bHt = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                _cut(q_BTHQ, span), _cut(k_BTHQ, span), _cut(v_BTHQ, span), 0.0, True, scale=scale
            )
            _cut(y_BTHQ, span).copy_(y)
            lse.append(lse_bHt)
        max_H = torch.empty(0)
        if clip_threshold is not None:
            max_H = bounded_max_logit(q_BTHQ, k_BTHQ, lse, spans=spans, scale=scale, clip_threshold=clip_threshold)
        ctx.save_for_backward(q_BTHQ, k_BTHQ, v_BTHQ, y_BTHQ, turns_BTR, *lse)
        ctx.spans, ctx.scale, ctx.n_nope, ctx.n_value = spans, scale, n_nope, kv_BTHE.shape[-1] - n_nope
        ctx.mark_non_differentiable(max_H)
        return y_BTHQ[..., : ctx.n_value], max_H

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None, None]:
        q_BTHQ, k_BTHQ, v_BTHQ, y_BTHQ, turns_BTR, *lse = ctx.saved_tensors
        n_nope, n_value = ctx.n_nope, ctx.n_value
        dy_BTHQ = F.pad(grads[0], (0, v_BTHQ.shape[-1] - n_value))
        fresh = torch.empty_like if _cover(ctx.spans, q_BTHQ) else torch.zeros_like
        dq_BTHQ, dk_BTHQ = fresh(q_BTHQ), fresh(k_BTHQ)
        dkv_BTHE = fresh(q_BTHQ[..., :1].expand(*q_BTHQ.shape[:-1], n_nope + n_value))
        for span, lse_bHt in zip(ctx.spans, lse, strict=True):
            q, k, v, y, dy = (_cut(x, span) for x in (q_BTHQ, k_BTHQ, v_BTHQ, y_BTHQ, dy_BTHQ))
            dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                dy, q, k, v, y, lse_bHt, 0.0, True, scale=ctx.scale
            )
            _cut(dq_BTHQ, span).copy_(dq)
            _cut(dk_BTHQ, span).copy_(dk)
            _cut(dkv_BTHE, span)[..., n_nope:].copy_(dv[..., :n_value])
        dkv_BTHE[..., :n_nope] = dk_BTHQ[..., :n_nope]
        rotate_(dq_BTHQ[..., n_nope:], turns_BTR.conj()[:, :, None])
        dk_rope_BTr = rotate_(dk_BTHQ[..., n_nope:].sum(2), turns_BTR.conj())
        return dq_BTHQ, dkv_BTHE, dk_rope_BTr, None, None, None, None


def bounded_max_logit(
    q_BTHQ: Tensor,
    k_BTHQ: Tensor,
    lse: list[Tensor],
    *,
    spans: tuple[Span, ...],
    scale: float,
    clip_threshold: float,
) -> Tensor:
    """For each head max(LSE) where that is below the threshold, else the exact largest scaled logit; fp32 [H]."""
    bound_H = q_BTHQ.new_full((q_BTHQ.shape[2],), -torch.inf, dtype=torch.float32)
    for lse_bHt in lse:
        bound_H = torch.maximum(bound_H, lse_bHt.amax(dim=(0, 2)))
    heads = (bound_H >= clip_threshold - LSE_GUARD).nonzero().flatten()
    if heads.numel():
        exact = max_logit(q_BTHQ[:, :, heads], k_BTHQ[:, :, heads], spans=spans, scale=scale)
        bound_H[heads] = exact
    return bound_H


def max_logit(q_BTHQ: Tensor, k_BTHQ: Tensor, *, spans: tuple[Span, ...], scale: float) -> Tensor:
    """The exact largest scaled, causal, same-span logit of each head [H], in blocks of queries."""
    best_H = q_BTHQ.new_full((q_BTHQ.shape[2],), -torch.inf, dtype=torch.float32)
    for span in spans:
        q, k = _cut(q_BTHQ, span).float(), _cut(k_BTHQ, span).float()
        for start in range(0, q.shape[2], _QUERY_BLOCK):
            stop = min(start + _QUERY_BLOCK, q.shape[2])
            logits_bHts = q[:, :, start:stop] @ k[:, :, :stop].transpose(-1, -2)
            future = torch.ones(stop - start, stop, dtype=torch.bool, device=q.device).triu_(start + 1)
            best_H = torch.maximum(best_H, logits_bHts.masked_fill_(future, -torch.inf).amax(dim=(0, 2, 3)))
    return best_H * scale


def flex_packed(
    q_BTHQ: Tensor,
    kv_BTHE: Tensor,
    k_rope_BTr: Tensor,
    *,
    turns_BTR: Tensor,
    spans: tuple[Span, ...],
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
    owner_BT = owners(spans, rows=q_BTHQ.shape[0], length=q_BTHQ.shape[1]).to(device)

    def visible(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (i >= j) & (owner_BT[b, i] == owner_BT[b, j]) & (owner_BT[b, i] >= 0)

    mask = create_block_mask(visible, q.shape[0], None, q.shape[2], k.shape[2], device=device)
    y, aux = flex_attention(q, k, v_BTHV.transpose(1, 2), scale=scale, block_mask=mask, return_aux=AuxRequest(lse=True))
    max_H = None
    if clip_threshold is not None and aux.lse is not None:
        lse_BHT = aux.lse.detach().masked_fill((owner_BT < 0)[:, None], -torch.inf)
        rotated = (q.detach().transpose(1, 2), k.detach().transpose(1, 2))
        max_H = bounded_max_logit(*rotated, [lse_BHT], spans=spans, scale=scale, clip_threshold=clip_threshold)
    return Attended(y.transpose(1, 2), max_H)


def owners(spans: tuple[Span, ...], *, rows: int, length: int) -> Tensor:
    """int32 [B, T]: the number of the span that a position belongs to, -1 for none."""
    owner_BT = torch.full((rows, length), -1, dtype=torch.int32)
    for number, span in enumerate(spans):
        owner_BT[span.row : span.row + span.rows, span.start : span.stop] = number
    return owner_BT


def _cover(spans: tuple[Span, ...], x_BTHQ: Tensor) -> bool:
    return sum(s.rows * (s.stop - s.start) for s in spans) == x_BTHQ.shape[0] * x_BTHQ.shape[1]


def _cut(x_BTHQ: Tensor, span: Span) -> Tensor:
    return x_BTHQ[span.row : span.row + span.rows, span.start : span.stop].transpose(1, 2)
