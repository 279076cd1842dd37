"""Muon: momentum, orthogonalised matrix by matrix, at AdamW's scale.

    m ← lerp(m, g, 1−μ),  u = lerp(g, m, μ),  W ← (1 − ηλ) W − 0.2 √max(n, m) η NS(u)

The report's M = μM + G is m/(1−μ): the direction is the same, and NS sees directions only. With bf16 Newton-Schulz the
result is `torch.optim.Muon(adjust_lr_fn="match_rms_adamw")` bit for bit. All matrices of one shape go through
Newton-Schulz together, in batches that stay in the cache; a 3-D parameter is a stack of matrices (routed experts), a
fused one (wqkv) is `split` matrices below each other.

Report: §4.1; Moonlight report (0.2 √max: update RMS as AdamW's); Kimi K2 report, algorithm 1.
Shapes: B matrices of R rows and C columns.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manyeyes.core.errors import ConfigError
from manyeyes.optim.newton_schulz import orthogonalise
from manyeyes.optim.side_by_side import side_by_side

UPDATE_RMS = 0.2
CPU_BATCH, DEVICE_BATCH = 2**18, 2**27
"""Elements that Newton-Schulz takes at once. On the CPU a batch is one thread's work: 1 MB in fp32, an L2 cache
(measured); a matrix beyond that is worked on by all threads."""


class Muon(torch.optim.Optimizer):
    """Muon alone. Parameters are matrices or stacks of them; a group may set `split`.

    Args:
        params: parameters or groups, as of any torch optimiser.
        lr: learning rate, shared with AdamW.
        weight_decay: decoupled.
        momentum, nesterov: mu, and whether to look one step ahead.
        ns_steps: Newton-Schulz iterations.
        ns_dtype: their number format; None is bf16 where hardware multiplies it fast, else fp32.
        split: logical matrices below each other in each matrix.

    Raises:
        ConfigError: a parameter that is no matrix nor a stack, or that cannot be split so.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-4,
        *,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        ns_dtype: torch.dtype | None = None,
        split: int = 1,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
            "ns_dtype": ns_dtype,
            "split": split,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                check_matrix(param, group["split"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            step_group_(group, self.state)
        return loss


def check_matrix(param: Tensor, split: int) -> None:
    """Raises ConfigError unless `param` is a matrix or a stack whose rows divide by `split`."""
    if param.ndim not in (2, 3) or param.is_complex() or param.size(-2) % split:
        raise ConfigError(
            f"Muon expects real matrices [R, C] or stacks [E, R, C] with R a multiple of split={split}, "
            f"got {param.dtype} {list(param.shape)}; give this parameter to AdamW"
        )


def step_group_(group: dict[str, Any], state: Any) -> None:
    """Muon's update of one parameter group; `state[param]["momentum_buffer"]` is made on the first gradient."""
    params = [param for param in group["params"] if param.grad is not None]
    for param in params:
        if "momentum_buffer" not in state[param]:
            state[param]["momentum_buffer"] = torch.zeros_like(param, memory_format=torch.contiguous_format)
    muon_(
        params,
        [param.grad for param in params],
        [state[param]["momentum_buffer"] for param in params],
        lr=float(group["lr"]),
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        nesterov=group["nesterov"],
        ns_steps=group["ns_steps"],
        ns_dtype=group["ns_dtype"],
        split=group["split"],
    )


class Stack(NamedTuple):
    """Matrices [B, R, C] of one parameter: weights, gradient and momentum, as views."""

    weight: Tensor
    gradient: Tensor
    momentum: Tensor

    @property
    def matrix(self) -> tuple[Any, ...]:
        """What matrices of one batch have in common."""
        return (*self.weight.shape[1:], self.gradient.dtype, self.weight.device)

    def part(self, start: int, stop: int) -> "Stack":
        """Matrices start..stop."""
        return Stack(self.weight[start:stop], self.gradient[start:stop], self.momentum[start:stop])


@torch.no_grad()
def muon_(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    momenta: Sequence[Tensor],
    *,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    ns_steps: int = 5,
    ns_dtype: torch.dtype | None = None,
    split: int = 1,
) -> None:
    """Muon's update, in place, of weights and momenta; all matrices of one shape are orthogonalised together."""
    triples = zip(weights, gradients, momenta, strict=True)
    stacks = [Stack(*(_matrices(tensor, split) for tensor in triple)) for triple in triples]

    def update_(batch: list[Stack]) -> None:
        update_BRC = _momentum_step_(batch, momentum=momentum, nesterov=nesterov)
        update_BRC = orthogonalise(update_BRC, ns_steps, dtype=ns_dtype)
        rate = lr * UPDATE_RMS * sqrt(max(update_BRC.shape[1:]))
        for stack, part in zip(batch, update_BRC.split([len(stack.weight) for stack in batch]), strict=True):
            stack.weight.mul_(1.0 - lr * weight_decay).add_(part, alpha=-rate)

    batches = list(_batches(stacks))
    side_by_side(update_, [batch for batch in batches if _fits_one_core(batch)])
    for batch in batches:
        if not _fits_one_core(batch):
            update_(batch)


def _fits_one_core(batch: list[Stack]) -> bool:
    weight_BRC = batch[0].weight
    return weight_BRC.device.type == "cpu" and weight_BRC[0].numel() <= CPU_BATCH


def _matrices(tensor: Tensor, split: int) -> Tensor:
    stacked = tensor.unflatten(-2, (split, -1))
    return stacked if tensor.ndim == 2 else stacked.flatten(0, 1)


def _batches(stacks: Sequence[Stack]) -> Iterator[list[Stack]]:
    """Stacks of equal matrices, cut and gathered into batches of at most `_batch_size` matrices."""
    for matrix in dict.fromkeys(stack.matrix for stack in stacks):
        alike = [stack for stack in stacks if stack.matrix == matrix]
        limit = _batch_size(alike[0].weight)
        batch, room = [], limit
        for stack in alike:
            start = 0
            while start < len(stack.weight):
                stop = min(start + room, len(stack.weight))
                batch.append(stack.part(start, stop))
                room, start = room - (stop - start), stop
                if not room:
                    yield batch
                    batch, room = [], limit
        if batch:
            yield batch


def _batch_size(weight_BRC: Tensor) -> int:
    elements = CPU_BATCH if weight_BRC.device.type == "cpu" else DEVICE_BATCH
    return max(1, elements // weight_BRC[0].numel())


def _momentum_step_(batch: list[Stack], *, momentum: float, nesterov: bool) -> Tensor:
    """Moves every momentum towards its gradient; returns what is to be orthogonalised."""
    update_BRC = batch[0].gradient.new_empty((sum(len(s.weight) for s in batch), *batch[0].weight.shape[1:]))
    for stack, part in zip(batch, update_BRC.split([len(stack.weight) for stack in batch]), strict=True):
        stack.momentum.lerp_(stack.gradient, 1.0 - momentum)
        if nesterov:
            torch.lerp(stack.gradient, stack.momentum, momentum, out=part)
        else:
            part.copy_(stack.momentum)
    return update_BRC
