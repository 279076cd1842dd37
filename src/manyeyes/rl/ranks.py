"""Data-parallel ranks of an RL step: each learns from its rows, gradients are summed, all make the same update.

    count = over_ranks(mine, averaged=False);   rl_step(..., count=count, reduce=summed(model))

Every parameter that got a gradient anywhere has one everywhere afterwards, so optimisers stay alike.

Report: none; plain data parallelism, for models that fit one device.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from manyeyes.rl.observed import Observed


def summed(model: nn.Module, *, ranks: dist.ProcessGroup | None = None) -> Callable[[Observed], None]:
    """For `rl_step(reduce=...)`; a collective call.

    Args:
        ranks: that share the step; all when left out.
    """

    def reduce(seen: Observed) -> None:
        sum_gradients(model, ranks=ranks)
        # A rank without a sample observed nothing, and must say so in the others' shapes.
        seen.counts_LE = _joined(seen.counts_LE, 0, dist.ReduceOp.SUM, ranks)
        seen.max_logit_LH = _joined(seen.max_logit_LH, -torch.inf, dist.ReduceOp.MAX, ranks)

    return reduce


def sum_gradients(model: nn.Module, *, ranks: dist.ProcessGroup | None = None) -> None:
    """Each gradient is the sum over ranks; one that no rank has stays away."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    here = torch.tensor([p.grad is not None for p in learning], dtype=torch.int64, device=learning[0].device)
    dist.all_reduce(here, op=dist.ReduceOp.MAX, group=ranks)
    for parameter, anywhere in zip(learning, here.tolist(), strict=True):
        if anywhere:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            dist.all_reduce(parameter.grad, group=ranks)


def _joined(
    mine: Tensor | None, blank: float, op: dist.ReduceOp.RedOpType, ranks: dist.ProcessGroup | None
) -> Tensor | None:
    told: list[tuple[torch.Size, torch.dtype] | None] = [None] * dist.get_world_size(ranks)
    dist.all_gather_object(told, None if mine is None else (mine.shape, mine.dtype), group=ranks)
    known = next((one for one in told if one is not None), None)
    if known is None:
        return None
    joined = torch.full(known[0], blank, dtype=known[1]) if mine is None else mine.clone()
    dist.all_reduce(joined, op=op, group=ranks)
    return joined
