"""One matrix product per expert over rows that are sorted by expert, and the moves of rows to experts and back.

Rows go to experts by a gather and come back by a gather: every token has exactly K routed rows, so the way back is a
sum over K gathered rows, not a scatter-add. The gradient of each move is the other move. No atomics, same bits always.

Report: §4.1 (K2 backbone); App. C (DEP sends the same sorted rows to other devices).

Shapes: N tokens, K experts a token, M = N*K routed rows sorted by expert, E experts, D in, O out.
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


def grouped_linear(x_MD: Tensor, weight_EOD: Tensor, counts_E: Tensor) -> Tensor:
    """`x @ weight[e].T` for the rows of each expert e: [M, O]."""
    weight_EOD = weight_EOD.to(x_MD.dtype)
    if x_MD.device.type == "cpu" or x_MD.dtype != torch.bfloat16:
        y: Tensor = _GroupedLinear.apply(x_MD, weight_EOD, counts_E.tolist())  # pyright: ignore[reportAssignmentType]
        return y
    offsets_E = counts_E.cumsum(0).to(torch.int32)
    return F.grouped_mm(x_MD, weight_EOD.transpose(1, 2), offs=offsets_E)


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


class _GroupedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_MD: Tensor, weight_EOD: Tensor, counts: list[int]) -> Tensor:
        ctx.save_for_backward(x_MD, weight_EOD)
        ctx.counts = counts
        y_MO = x_MD.new_empty(x_MD.shape[0], weight_EOD.shape[1])
        for x, w, y in zip(x_MD.split(counts), weight_EOD.unbind(), y_MO.split(counts), strict=True):
            torch.mm(x, w.T, out=y)
        return y_MO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_MD, weight_EOD = ctx.saved_tensors
        dy_MO = grads[0].contiguous()
        dx_MD = torch.empty_like(x_MD) if ctx.needs_input_grad[0] else None
        dw_EOD = torch.empty_like(weight_EOD) if ctx.needs_input_grad[1] else None
        dy_E = dy_MO.split(ctx.counts)
        if dx_MD is not None:
            for dy, w, dx in zip(dy_E, weight_EOD.unbind(), dx_MD.split(ctx.counts), strict=True):
                torch.mm(dy, w, out=dx)
        if dw_EOD is not None:
            for dy, x, dw in zip(dy_E, x_MD.split(ctx.counts), dw_EOD.unbind(), strict=True):
                torch.mm(dy.T, x, out=dw)
        return dx_MD, dw_EOD, None
