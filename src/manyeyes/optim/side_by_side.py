"""Independent pieces of CPU work side by side: each piece on one thread, instead of each operation on all threads.

A batched product of small matrices takes about 50 µs a matrix; forking and joining threads around every one of them
costs as much as it gains. Whole pieces need one join in all, and since a piece never sees a second thread its result is
bit for bit the same for any number of threads.

Report: none (engineering); measured in `benchmarks/muon.py`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")


def side_by_side(work: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
    """Calls `work` on every piece without gradients, on as many threads as torch uses; order does not matter.

    torch counts its threads for each thread that asks; the workers ask for one. The default for threads that begin
    later is global and is put back afterwards.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not pieces:
        _run(work, pieces)
        return
    try:
        with ThreadPoolExecutor(min(threads, len(pieces)), initializer=take_one_thread) as pool:
            for done in [pool.submit(_run, work, [piece]) for piece in pieces]:
                done.result()
    finally:
        torch.set_num_threads(threads)


def take_one_thread() -> None:
    """For the thread that calls it."""
    torch.get_num_threads()  # a thread that has never asked takes over what others set, the next time it computes
    torch.set_num_threads(1)


@torch.no_grad()
def _run(work: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        work(piece)
