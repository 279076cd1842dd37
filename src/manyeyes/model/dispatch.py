"""Tokens to their experts and back: rows sorted by expert, moved by gathers only.

Every token has exactly K routed rows, so the way back is a sum over K gathered rows, not a scatter-add. The gradient of
each move is the other move. No atomics, same bits always.

Report: §4.1 (K2 backbone); App. C (expert parallelism sends the same sorted rows to other devices).

Shapes: N tokens, K experts a token, M = N*K routed rows sorted by expert, E experts, D width.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Routing(NamedTuple):
    """Which row goes where.

    Attributes:
        token_M: token of each sorted row.
        row_NK: the sorted row of each (token, choice).
        counts_E: rows of each expert.
    """

    token_M: Tensor
    row_NK: Tensor
    counts_E: Tensor


def sort_by_expert(expert_NK: Tensor, n_experts: int) -> Routing:
    """Sorts routed rows by expert, stable in token order.

    Example:
        >>> sort_by_expert(torch.tensor([[1, 0], [1, 2]]), 3).token_M
        tensor([0, 0, 1, 1])
    """
    flat_M = expert_NK.flatten()
    order_M = flat_M.argsort(stable=True)
    row_M = torch.empty_like(order_M)
    row_M[order_M] = torch.arange(order_M.numel(), device=order_M.device)
    counts_E = torch.bincount(flat_M, minlength=n_experts)
    return Routing(order_M // expert_NK.shape[1], row_M.view_as(expert_NK), counts_E)


def dispatch(x_ND: Tensor, routing: Routing) -> Tensor:
    """Rows of `x_ND` copied to their experts: [M, D]."""
    y: Tensor = _Dispatch.apply(x_ND, routing.token_M, routing.row_NK)  # pyright: ignore[reportAssignmentType]
    return y


def combine(y_MD: Tensor, routing: Routing) -> Tensor:
    """The sum of each token's K rows: [N, D]."""
    y: Tensor = _Combine.apply(y_MD, routing.token_M, routing.row_NK)  # pyright: ignore[reportAssignmentType]
    return y


def _gather_sum(y_MD: Tensor, row_NK: Tensor) -> Tensor:
    return F.embedding_bag(row_NK, y_MD, mode="sum") if y_MD.dtype == torch.float32 else y_MD[row_NK].sum(1)


class _Dispatch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, token_M: Tensor, row_NK: Tensor) -> Tensor:
        ctx.save_for_backward(row_NK)
        return x_ND.index_select(0, token_M)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _gather_sum(grads[0].contiguous(), *ctx.saved_tensors), None, None


class _Combine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y_MD: Tensor, token_M: Tensor, row_NK: Tensor) -> Tensor:
        ctx.save_for_backward(token_M)
        return _gather_sum(y_MD, row_NK)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(0, *ctx.saved_tensors), None, None
