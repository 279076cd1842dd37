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
        d_head_VD = torch.zeros_like(head_VD, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for start in range(0, hidden_ND.shape[0], chunk):
            part = slice(start, start + chunk)
            hidden_nD, targets_n1, weights_n = hidden_ND[part], targets_N[part, None], weights_N[part]
            log_p_nV = torch.log_softmax((hidden_nD @ head_VD.T).float(), dim=-1)
            loss -= weights_n @ log_p_nV.gather(1, targets_n1)[:, 0]
            if d_hidden_ND is None and d_head_VD is None:
                continue
            d_logits_nV = log_p_nV.exp_().mul_(weights_n[:, None])
            d_logits_nV.scatter_add_(1, targets_n1, -weights_n[:, None])
            d_logits_nV = d_logits_nV.to(hidden_nD.dtype)
            if d_hidden_ND is not None:
                torch.mm(d_logits_nV, head_VD, out=d_hidden_ND[part])
            if d_head_VD is not None:
                _add_product_(d_head_VD, d_logits_nV.T, hidden_nD)
        ctx.save_for_backward(d_hidden_ND, d_head_VD)
        ctx.head_dtype = head_VD.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        d_hidden_ND, d_head_VD = ctx.saved_tensors
        scaled_hidden = None if d_hidden_ND is None else d_hidden_ND * grads[0].to(d_hidden_ND.dtype)
        scaled_head = None if d_head_VD is None else (d_head_VD * grads[0]).to(ctx.head_dtype)
        return scaled_hidden, scaled_head, None, None, None


def _add_product_(total: Tensor, a: Tensor, b: Tensor) -> None:
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total.add_(a @ b)
