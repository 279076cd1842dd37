"""`Window`: cuts a queue of samples into rows of T tokens that are as full as can be.

Best fit: of the next W samples in drawn order the oldest goes in first (so nothing starves), then the subset that
leaves the least room. It is found exactly, not greedily: reachable sums are the bits of one integer,
    reach = reach | (reach << length)
and the highest bit at or below the free space is the best fill. W shifts of T bits a row: some 20 us at T = 4096.

Report: App. C.1 (packing happens while training).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from manyeyes.core.errors import DataError

WINDOW = 64
"""Samples looked at when a row is closed; 64 fill more than 99 % on log-normal lengths (tests/data/test_window.py)."""


class Measured(Protocol):
    """Anything with a length in tokens: a `Sample`, or a planned one."""

    @property
    def length(self) -> int:
        """Tokens."""
        ...


Item = TypeVar("Item", bound=Measured)


class Window(Generic[Item]):
    """A queue that is cut into rows, looking at most `size` items beyond those already certain to go in.

    The oldest item always goes in. While the next `size` items would all fit they are taken in order; the rest of the
    row is the best fit among them. So a row is a function of the queue alone, and no item waits more than `size` rows.

    Attributes:
        waiting: items drawn and not yet in a row, oldest first.

    Example:
        >>> from manyeyes.data.plan import Entry
        >>> queue = Window((Entry("toy", 0, n, n, n) for n in (60, 50, 30, 10)), 100)
        >>> [[item.length for item in row] for row in iter(queue.next_row, [])]
        [[60, 30, 10], [50]]
    """

    def __init__(
        self, items: Iterator[Item], row_length: int, *, size: int = WINDOW, waiting: Iterable[Item] = ()
    ) -> None:
        if size < 1 or row_length < 1:
            raise DataError(f"a row needs at least one token and a window one sample, got {row_length} and {size}")
        self.items = items
        self.row_length = row_length
        self.size = size
        self.waiting: list[Item] = list(waiting)
        for item in self.waiting:
            require_fits(item, row_length)

    def next_row(self) -> list[Item]:
        """The next row's items in drawn order; empty when nothing is left. Unchanged if drawing raises: call it again.

        Raises:
            DataError: an item is longer than the row.
        """
        if not self._reach(1):
            return []
        queue = self.waiting
        taken, space = 1, self.row_length - queue[0].length
        self._reach(taken + self.size)
        ahead = sum(item.length for item in queue[taken : taken + self.size])
        while taken < len(queue) and ahead <= space:
            length = queue[taken].length
            space -= length
            ahead -= length
            taken += 1
            if self._reach(taken + self.size):
                ahead += queue[taken + self.size - 1].length
        fitting = best_fit([item.length for item in queue[taken : taken + self.size]], space)
        row = queue[:taken] + [queue[taken + place] for place in fitting]
        for place in reversed(fitting):
            del queue[taken + place]
        del queue[:taken]
        return row

    def _reach(self, count: int) -> bool:
        """Draw until `count` items wait; False when the items end before."""
        while len(self.waiting) < count:
            item = next(self.items, None)
            if item is None:
                return False
            require_fits(item, self.row_length)
            self.waiting.append(item)
        return True


def require_fits(item: Measured, row_length: int) -> None:
    """Refuse an item that no row can hold.

    Raises:
        DataError: it has no token, or more than a row.
    """
    if not 1 <= item.length <= row_length:
        raise DataError(
            f"{getattr(item, 'name', item)} has {item.length} tokens and a row holds 1 to {row_length}: "
            f"let its source split, shorten or leave it out, or raise row_length"
        )


def best_fit(lengths: Sequence[int], space: int) -> list[int]:
    """Places, ascending, of the subset with the largest sum not above `space`; the older ones where several tie.

    Example:
        >>> best_fit([5, 4, 3], 7)
        [1, 2]
    """
    mask = (1 << (space + 1)) - 1
    reach = 1
    history = [reach]
    for length in lengths:
        reach |= (reach << length) & mask
        history.append(reach)
        if reach >> space:
            break
    total = reach.bit_length() - 1
    chosen: list[int] = []
    for place in range(len(history) - 2, -1, -1):
        if not (history[place] >> total) & 1:
            chosen.append(place)
            total -= lengths[place]
    return chosen[::-1]
