"""The largest attention logit of each head, at no cost while it is small: the gate of QK-Clip.

A row's log-sum-exp is at least its largest logit, and flash kernels return it. So max(LSE) of a head is kept; only if
it does not prove that the head stays below the threshold (`safe_below`, room for rounding) is the exact maximum
computed, for that head. QK-Clip therefore never misses a head above its threshold, and pays only while it clips.

Report: §4.1 (MuonClip, QK-Clip).

Shapes: B rows, H heads, T positions, Q query width.
"""

import torch
from torch import Tensor

from manyeyes.model.spans import Span

LSE_GUARD, RELATIVE_GUARD = 0.01, 1e-4
"""Rounding of an fp32 log-sum-exp near 100 is about 1e-5; near 10,000 it is 1e-3. The larger of both guards counts."""

_QUERY_BLOCK = 128
"""Few enough that a block's logits stay in cache and little of what is hidden is computed."""


def safe_below(clip_threshold: float) -> float:
    """A log-sum-exp below this proves that the largest logit is below the threshold, whatever was rounded.

    Example:
        >>> safe_below(100.0), safe_below(10_000.0)
        (99.99, 9999.0)
    """
    return min(clip_threshold - LSE_GUARD, clip_threshold * (1 - RELATIVE_GUARD))


def bounded_max_logit(
    q_BHTQ: Tensor, k_BHTQ: Tensor, lse_H: Tensor, *, spans: tuple[Span, ...], clip_threshold: float
) -> Tensor:
    """For each head `lse_H`, its largest LSE, where that is below the threshold, else the exact largest logit; [H].

    Queries come scaled.
    """
    heads = (~(lse_H < safe_below(clip_threshold))).nonzero().flatten()  # NaN proves nothing
    if heads.numel():
        lse_H = lse_H.clone()
        lse_H[heads] = max_logit(q_BHTQ[:, heads], k_BHTQ[:, heads], spans=spans)
    return lse_H


def max_logit(q_BHTQ: Tensor, k_BHTQ: Tensor, *, spans: tuple[Span, ...]) -> Tensor:
    """The exact largest causal, same-span product of each head [H], in blocks of queries."""
    best_H = torch.full((q_BHTQ.shape[1],), -torch.inf, dtype=torch.float32, device=q_BHTQ.device)
    for span in spans:
        rows = slice(span.row, span.row + span.rows)
        for start in range(span.start, span.stop, _QUERY_BLOCK):
            stop = min(start + _QUERY_BLOCK, span.stop)
            q_BHtQ, own_BHTQ = q_BHTQ[rows, :, start:stop].float(), k_BHTQ[rows]
            parts = [own_BHTQ[:, :, first:last] for first, last in (span.before, (span.start, stop)) if first < last]
            logits_BHts = q_BHtQ @ torch.cat(parts, 2).float().transpose(-1, -2)
            future_tt = torch.ones(stop - start, stop - start, dtype=torch.bool, device=q_BHTQ.device).triu_(1)
            logits_BHts[..., start - stop :].masked_fill_(future_tt, -torch.inf)
            best_H = torch.maximum(best_H, logits_BHts.amax((0, 2, 3)))
    return best_H
