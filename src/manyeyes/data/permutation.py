"""A shuffle that is computed, not stored: a keyed permutation of 0..N-1 for each (seed, source, epoch).

A Feistel network over the grid a x b, a = ceil(sqrt N), b = ceil(N / a): x = (left, right) and each round adds a keyed
hash of one half to the other, modulo its side. Every round can be undone, so it is a bijection of 0..ab-1; images at or
above N walk on along their cycle until they fall inside, which leaves a bijection of 0..N-1. The grid exceeds N by less
than sqrt N + 1, so walks are rare. Nothing is kept but (epoch, position): any draw of any epoch costs the same.

Report: App. C.1 (dynamic shuffling). Cipher: Black & Rogaway, "Ciphers with arbitrary finite domains", 2002.
"""

from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core import seeds

ROUNDS = 12
"""Four already do for large N; twelve make all orders of a source of 2 to 6 samples equally likely too (chi-square)."""

BLOCK = 1024
"""Positions permuted at a time while drawing in order: 1024 make the cost of numpy calls per draw negligible."""


class Permutation:
    """A bijection of 0..size-1 fixed by (seed, name, epoch).

    Example:
        >>> sorted(Permutation(5, seed=0, name="toy", epoch=0)(np.arange(5)).tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, size: int, *, seed: int, name: str, epoch: int) -> None:
        if size < 1:
            raise ValueError(f"a permutation needs at least one element, {name} has {size}")
        self.size = size
        rows = isqrt(size - 1) + 1
        self._sides = (np.uint64(rows), np.uint64(-(-size // rows)))
        keys = seeds.stream(seed, f"data/permutation/{name}", epoch)
        self._keys = keys.integers(0, 2**64, size=ROUNDS, dtype=np.uint64)

    def __call__(self, positions: NDArray[np.integer]) -> NDArray[np.int64]:
        """int64 [n] images of positions [n], each from 0 to size-1."""
        images = self._network(positions.astype(np.uint64))
        outside = np.flatnonzero(images >= self.size)
        while outside.size:
            images[outside] = self._network(images[outside])
            outside = outside[images[outside] >= self.size]
        return images.astype(np.int64)

    def _network(self, cells: NDArray[np.uint64]) -> NDArray[np.uint64]:
        rows, columns = self._sides
        left, right = cells // columns, cells % columns
        for number, key in enumerate(self._keys):
            if number % 2:
                right = (right + _hash(left, key) % columns) % columns
            else:
                left = (left + _hash(right, key) % rows) % rows
        return left * columns + right


def _hash(values: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al., 2014): mixes 64 keyed bits."""
    mixed = values + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class Place(NamedTuple):
    """Where in a source a draw falls."""

    epoch: int
    index: int


class Shuffle:
    """All epochs of one source, one after another: draw number n is (n // size, permutation of n % size).

    Example:
        >>> shuffle = Shuffle(3, seed=0, name="toy")
        >>> [sorted(shuffle[n].index for n in range(start, start + 3)) for start in (0, 3)]
        [[0, 1, 2], [0, 1, 2]]
    """

    def __init__(self, size: int, *, seed: int, name: str) -> None:
        self.size = size
        self._seed = seed
        self._name = name
        self._permutation = Permutation(size, seed=seed, name=name, epoch=0)
        self._epoch = 0
        self._start = -1
        self._block: list[int] = []

    def __getitem__(self, draw: int) -> Place:
        epoch, position = divmod(draw, self.size)
        start = position - position % BLOCK
        if (epoch, start) != (self._epoch, self._start):
            self._load(epoch, start)
        return Place(epoch, self._block[position - start])

    def _load(self, epoch: int, start: int) -> None:
        if epoch != self._epoch:
            self._permutation = Permutation(self.size, seed=self._seed, name=self._name, epoch=epoch)
        self._block = self._permutation(np.arange(start, min(start + BLOCK, self.size))).tolist()
        self._epoch, self._start = epoch, start
