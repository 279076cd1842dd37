"""`WaitingLine`: sequences that queue, by priority, then by arrival; patience makes the oldest better.

Effective priority of the first of a class: priority - steps waited // patience. It is the best of its class, because
it came first, so only the first ones are compared. Who leaves early is skipped when its turn comes.

Report: App. D.
"""

import heapq

from manyeyes.inference.sequences import Sequence, Status

_SWEEP = 64
"""Left entries that are carried along before the line is cleared of them."""


class WaitingLine:
    """A queue of sequences; `number` is the order of arrival."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._classes: dict[int, list[tuple[int, Sequence]]] = {}
        self._length = 0
        self._left = 0

    def __len__(self) -> int:
        return self._length

    def add(self, sequence: Sequence, *, now: int) -> None:
        """Queue a sequence; one that was preempted has its old place."""
        if sequence.entered < 0:
            sequence.entered = now
        sequence.status = Status.WAITING
        heap = self._classes.setdefault(sequence.request.priority, [])
        heapq.heappush(heap, (sequence.number, sequence))
        self._length += 1

    def remove(self, sequence: Sequence) -> None:
        """A sequence that waits leaves."""
        sequence.status = Status.DONE
        self._length -= 1
        self._left += 1
        if self._left > max(_SWEEP, self._length):
            self._sweep()

    def best(self, *, now: int) -> Sequence | None:
        """Whose turn it is; None where nobody waits."""
        firsts = [first for heap in list(self._classes) if (first := self._first(heap)) is not None]
        return min(firsts, key=lambda one: self.rank(one, now=now), default=None)

    def take(self, sequence: Sequence, *, now: int) -> None:
        """The best one is admitted, and keeps the rank that it was admitted with."""
        heapq.heappop(self._classes[sequence.request.priority])
        self._length -= 1
        sequence.rank = self.rank(sequence, now=now)

    def rank(self, sequence: Sequence, *, now: int) -> tuple[int, int]:
        """(effective priority, arrival)."""
        return sequence.request.priority - (now - sequence.entered) // self.patience, sequence.number

    def _first(self, priority: int) -> Sequence | None:
        heap = self._classes[priority]
        while heap and heap[0][1].status is not Status.WAITING:
            heapq.heappop(heap)
            self._left -= 1
        if not heap:
            del self._classes[priority]
            return None
        return heap[0][1]

    def _sweep(self) -> None:
        for priority, heap in list(self._classes.items()):
            self._classes[priority] = [pair for pair in heap if pair[1].status is Status.WAITING]
            heapq.heapify(self._classes[priority])
        self._left = 0
