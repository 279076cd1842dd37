"""A step's requests in parts that a CPU computes side by side, one thread each.

Operations of a small model are too short for two threads to share. Parting the requests instead shares all of a step,
and the threads meet once in it. No request reads in a step what another one writes in it, so no part waits for another.

Report: none (engineering); measured in `benchmarks/engine_parts.py`.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch

from manyeyes.inference.scheduler import Chunk

Result = TypeVar("Result")

LEAST = 16
"""Tokens that a part must have to be worth it (measured)."""


def parts_for(tokens: int, device: torch.device) -> int:
    """As many as the thread that asks has of torch's threads, where there are tokens enough; one but on a CPU."""
    return max(1, min(torch.get_num_threads(), tokens // LEAST)) if device.type == "cpu" else 1


def parted(chunks: Sequence[Chunk], parts: int) -> list[list[Chunk]]:
    """Chunks in at most so many parts of about as many tokens: the largest first, each to the part that has least."""
    if parts == 1:
        return [list(chunks)]
    found, tokens = [list[Chunk]() for _ in range(parts)], [0] * parts
    for chunk in sorted(chunks, key=lambda one: -one.count):
        least = tokens.index(min(tokens))
        found[least].append(chunk)
        tokens[least] += chunk.count
    return [part for part in found if part]


class SideBySide:
    """Threads that compute parts; they begin with the first step that has several, and end with this object."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._threads = 0

    def all(self, work: Callable[..., Result], *given: Sequence[Any]) -> list[Result]:
        """`work` of each part, in order, without gradients.

        Raises:
            Whatever `work` raises for the first part that fails; all have ended by then.
        """
        if len(given[0]) == 1:
            return list(map(work, *given))
        pool = self._of(len(given[0]))
        futures = [pool.submit(torch.inference_mode(work), *part) for part in zip(*given, strict=True)]
        wait(futures)
        return [future.result() for future in futures]

    def _of(self, threads: int) -> ThreadPoolExecutor:
        if self._pool is None or self._threads < threads:
            self._pool, self._threads = _pool(threads), threads
        return self._pool


def _pool(threads: int) -> ThreadPoolExecutor:
    """All its threads have begun: the default for threads that begin later is global, and is put back."""
    before, begun = torch.get_num_threads(), threading.Barrier(threads)
    pool = ThreadPoolExecutor(threads, "manyeyes-part", initializer=_take_one_thread)
    wait([pool.submit(begun.wait) for _ in range(threads)])
    torch.set_num_threads(before)
    return pool


def _take_one_thread() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread that has never asked takes over what others set later
