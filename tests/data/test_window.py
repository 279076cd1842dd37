from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.errors import DataError
from manyeyes.data.window import Window, best_fit


class Item(NamedTuple):
    number: int
    length: int


def queue(lengths: list[int]) -> list[Item]:
    return [Item(number, length) for number, length in enumerate(lengths)]


def rows_of(lengths: list[int], row_length: int, *, size: int) -> list[list[Item]]:
    window = Window(iter(queue(lengths)), row_length, size=size)
    return list(iter(window.next_row, []))


@given(lengths=st.lists(st.integers(1, 30), max_size=10), space=st.integers(0, 80))
def test_best_fit_equals_trying_all_subsets(lengths: list[int], space: int) -> None:
    chosen = best_fit(lengths, space)
    subsets = chain.from_iterable(combinations(lengths, n) for n in range(len(lengths) + 1))
    assert sum(lengths[place] for place in chosen) == max(total for s in subsets if (total := sum(s)) <= space)
    assert chosen == sorted(set(chosen))


@given(lengths=st.lists(st.integers(1, 64), max_size=200), size=st.integers(1, 40))
@settings(deadline=None)
def test_every_item_is_in_exactly_one_row_and_no_row_is_too_long(lengths: list[int], size: int) -> None:
    rows = rows_of(lengths, 64, size=size)
    assert sorted(chain.from_iterable(rows)) == queue(lengths)
    assert all(sum(item.length for item in row) <= 64 for row in rows)
    assert all(row == sorted(row) for row in rows)


@given(lengths=st.lists(st.integers(1, 64), min_size=1, max_size=200), size=st.integers(1, 20))
@settings(deadline=None)
def test_nothing_starves(lengths: list[int], size: int) -> None:
    window = Window(iter(queue(lengths)), 64, size=size)
    waited: dict[Item, int] = {}
    while window.waiting or not waited:
        oldest = window.waiting[0] if window.waiting else Item(0, lengths[0])
        row = window.next_row()
        if not row:
            break
        assert row[0] == oldest
        for item in window.waiting:
            waited[item] = waited.get(item, 0) + 1
            assert waited[item] <= size
        waited.setdefault(row[0], 0)


@pytest.mark.parametrize(("row_length", "mean"), [(4096, 700), (4096, 2000), (32768, 1500), (512, 60)])
def test_rows_of_realistic_lengths_are_full(row_length: int, mean: int) -> None:
    draws = np.random.default_rng(0).lognormal(np.log(mean) - 0.5, 1.0, 4000)
    rows = rows_of(np.clip(draws, 1, row_length).astype(int).tolist(), row_length, size=64)[:-3]
    fill = sum(item.length for row in rows for item in row) / (len(rows) * row_length)
    assert fill > 0.99


def test_a_row_looks_no_further_than_it_must() -> None:
    drawn: list[int] = []

    def endless():
        for number in range(10**9):
            drawn.append(number)
            yield Item(number, 10)

    window = Window(endless(), 100, size=16)
    window.next_row()
    assert len(drawn) <= 1 + 10 + 16
    assert len(window.waiting) <= 16


class Flaky:
    """Items of an iterator that fails before every third item, once each."""

    def __init__(self, items: list[Item]) -> None:
        self._items = items
        self._next = 0
        self._failed: set[int] = set()

    def __iter__(self) -> "Flaky":
        return self

    def __next__(self) -> Item:
        if self._next % 3 == 2 and self._next not in self._failed:
            self._failed.add(self._next)
            raise OSError("later")
        if self._next == len(self._items):
            raise StopIteration
        self._next += 1
        return self._items[self._next - 1]


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=100), size=st.integers(1, 10))
@settings(deadline=None)
def test_rows_do_not_depend_on_interruptions(lengths: list[int], size: int) -> None:
    window = Window(Flaky(queue(lengths)), 40, size=size)
    rows: list[list[Item]] = []
    while True:
        try:
            row = window.next_row()
        except OSError:
            continue
        if not row:
            break
        rows.append(row)
    assert rows == rows_of(lengths, 40, size=size)


@pytest.mark.parametrize("length", [0, 101])
def test_an_item_that_no_row_can_hold_is_refused(length: int) -> None:
    with pytest.raises(DataError, match=rf"has {length} tokens and a row holds 1 to 100.*raise row_length"):
        rows_of([5, length], 100, size=4)
