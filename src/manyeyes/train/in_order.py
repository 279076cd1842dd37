"""Pieces of a step side by side on a CPU, each on one thread; their results in the order of the pieces.

A small model's operations are too short for several threads: forking and joining around each of them costs as much as
it gains. Whole micro-batches side by side have one join a piece, and since a piece never sees a second thread and
results are taken in order, the sum of several is the same bit for bit for any number of workers, or one thread of
torch. As many are in memory at once, each with gradients of its own, and no more than `MOST_ASIDE` allows.

A single piece is computed by all threads of torch, and its last bits may depend on their number.

Report: none (engineering); measured in `benchmarks/rl_step_pieces.py`.
"""

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from manyeyes.optim.side_by_side import take_one_thread

Piece = TypeVar("Piece")
Result = TypeVar("Result")


MOST_ASIDE = 2 << 30
"""Bytes of gradients that pieces hold beside those in `.grad`. Where two pieces would need more, they go one by one."""


def workers_for(device: torch.device, *, trained: Iterable[Tensor] = (), most: int | None = None) -> int:
    """How many pieces at once: as many as torch uses threads on a CPU, one elsewhere.

    Args:
        trained: parameters of which each piece has gradients of its own; see `MOST_ASIDE`.
        most: bounds it, where others do.
    """
    if device.type != "cpu":
        return 1
    held = sum(one.numel() * one.element_size() for one in trained)
    workers = min(torch.get_num_threads(), MOST_ASIDE // held if held else sys.maxsize, most or sys.maxsize)
    return max(workers, 1)


def in_order(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], *, workers: int
) -> Generator[Result, None, None]:
    """`work` of every piece, with gradients where they are on; no more pieces are begun than are worked on.

    Who may leave it before its end closes it (`contextlib.closing`): threads end, and torch has its own count again.

    Raises:
        Whatever `work` raises, when its piece's turn comes; the others that are under way end first.
    """
    if workers < 2:
        yield from map(work, pieces)
        return
    threads, graded = torch.get_num_threads(), torch.is_grad_enabled()

    def alone(piece: Piece) -> Result:
        with torch.set_grad_enabled(graded):
            return work(piece)

    ahead, rest = deque[Future[Result]](), iter(pieces)
    try:
        with ThreadPoolExecutor(workers, initializer=take_one_thread) as pool:
            ahead.extend(pool.submit(alone, piece) for piece in islice(rest, workers))
            while ahead:
                result = ahead.popleft().result()
                ahead.extend(pool.submit(alone, piece) for piece in islice(rest, 1))
                yield result
    finally:
        torch.set_num_threads(threads)  # the default for threads that begin later is global


def backward(loss: Tensor, aside: Sequence[Tensor] | None) -> tuple[Tensor | None, ...]:
    """Into `.grad`; or the gradients themselves where others are computed at once, as two must not add to one.

    Args:
        aside: parameters whose gradients are wanted; None adds them to `.grad`.
    """
    if not loss.requires_grad:
        return ()
    if aside is not None:
        return torch.autograd.grad(loss, aside, allow_unused=True)
    loss.backward()
    return ()


def add_gradients(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """What `backward` gave aside, into `.grad`; nothing where that was done."""
    for parameter, gradient in zip(parameters, gradients, strict=False):
        if gradient is not None:
            # A copy: what autograd gives may be one tensor for two parameters, and the next piece adds in place.
            parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
