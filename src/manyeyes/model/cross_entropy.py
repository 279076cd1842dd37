"""Cross-entropy over a large vocabulary without ever holding all logits.

For a chunk of rows the logits, their loss and the gradients of hidden states and head are formed at once, in the
forward pass; the logits' buffer turns into probabilities and then into their gradient in place. The backward pass only
scales. Rows that weigh 0 (media, prompts, padding) are left out before any product.

Report: App. C (memory of the output layer).

Shapes: N rows, D width, V vocabulary, n rows of a chunk.
"""

from typing import Any

import torch
from torch import Tensor

from manyeyes.model.precision import product


def chunked_cross_entropy(
    hidden_ND: Tensor, head_weight_VD: Tensor, *, targets_N: Tensor, weights_N: Tensor, chunk: int = 256
) -> Tensor:
    """sum_n weights[n] * -log softmax(hidden[n] @ head.T)[targets[n]], fp32 0-dim.

    Args:
        chunk: rows whose logits exist at a time.
    """
    rows = weights_N.nonzero().flatten()
    if rows.numel() < weights_N.numel():
        hidden_ND, targets_N, weights_N = hidden_ND[rows], targets_N[rows], weights_N[rows]
    head = head_weight_VD.to(hidden_ND.dtype)
    loss: Tensor = _ChunkedCrossEntropy.apply(  # pyright: ignore[reportAssignmentType]
        hidden_ND, head, targets_N.long(), weights_N.float(), chunk
    )
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor, weights_N: Tensor, chunk: int
    ) -> Tensor:
        loss = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        d_hidden_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        d_head_VD = torch.empty_like(head_VD, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        if d_head_VD is not None and not hidden_ND.shape[0]:
            d_head_VD.zero_()
        for start in range(0, hidden_ND.shape[0], chunk):
            part = slice(start, start + chunk)
            hidden_nD, targets_n1, weights_n1 = hidden_ND[part], targets_N[part, None], weights_N[part, None]
            nll_n1, p_nV = _loss_and_probabilities(product(hidden_nD, head_VD).float(), targets_n1)
            loss += (weights_n1 * nll_n1).sum()
            if d_hidden_ND is None and d_head_VD is None:
                continue
            # The gradient of logits is weight * (p - onehot); the weight multiplies where rows are narrow.
            d_logits_nV = p_nV.scatter_add_(1, targets_n1, -torch.ones_like(weights_n1)).to(hidden_nD.dtype)
            if d_hidden_ND is not None:
                torch.mm(d_logits_nV, head_VD, out=d_hidden_ND[part]).mul_(weights_n1)
            if d_head_VD is not None:
                weighted_nD = hidden_nD * weights_n1.to(hidden_nD.dtype)
                _add_product_(d_head_VD, d_logits_nV.T, weighted_nD, fresh=start == 0)
        ctx.save_for_backward(d_hidden_ND, d_head_VD)
        ctx.head_dtype = head_VD.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        d_hidden_ND, d_head_VD = (_times(x, grads[0]) for x in ctx.saved_tensors)
        return d_hidden_ND, None if d_head_VD is None else d_head_VD.to(ctx.head_dtype), None, None, None


def _loss_and_probabilities(logits_nV: Tensor, targets_n1: Tensor) -> tuple[Tensor, Tensor]:
    """-log p(target) [n, 1], and probabilities in the buffer of the logits.

    The largest probability is at least 1/V, so log-sum-exp = largest logit - log(largest probability) never underflows.
    """
    top_n1, target_n1 = logits_nV.amax(1, keepdim=True), logits_nV.gather(1, targets_n1)
    p_nV = torch.softmax(logits_nV, 1, out=logits_nV)
    return top_n1 - p_nV.amax(1, keepdim=True).log_() - target_n1, p_nV


def _times(x: Tensor | None, factor: Tensor) -> Tensor | None:
    if x is None or (factor.device.type == "cpu" and float(factor) == 1.0):
        return x
    return x * factor.to(x.dtype)


def _add_product_(total: Tensor, a: Tensor, b: Tensor, *, fresh: bool) -> None:
    """total += a @ b, or total = a @ b where `fresh`."""
    if a.dtype != total.dtype:
        total.copy_(a @ b) if fresh else total.add_(a @ b)
    elif fresh:
        torch.mm(a, b, out=total)
    else:
        total.addmm_(a, b)
