from collections import Counter
from itertools import permutations
from math import factorial, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.data.permutation import BLOCK, Permutation, Shuffle


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**63), epoch=st.integers(0, 1000))
@settings(deadline=None, max_examples=80)
def test_a_permutation_hits_every_index_once(size: int, seed: int, epoch: int) -> None:
    images = Permutation(size, seed=seed, name="x", epoch=epoch)(np.arange(size))
    assert np.array_equal(np.sort(images), np.arange(size))


@pytest.mark.parametrize("size", [10**6, 2**20, 999_983, 1001**2 + 1])
def test_large_sizes_stay_bijective(size: int) -> None:
    images = Permutation(size, seed=3, name="x", epoch=0)(np.arange(size))
    assert np.bincount(images, minlength=size).max() == 1 and len(images) == size


def test_trillions_are_no_trouble() -> None:
    size = 15 * 10**12
    positions = np.arange(size - 5000, size)
    images = Permutation(size, seed=1, name="x", epoch=2)(positions)
    assert len(np.unique(images)) == 5000 and images.min() >= 0 and images.max() < size
    assert abs(images.mean() / size - 0.5) < 0.03


def test_one_at_a_time_equals_all_at_once() -> None:
    whole = Permutation(777, seed=5, name="x", epoch=1)
    assert [int(whole(np.array([n]))[0]) for n in range(777)] == whole(np.arange(777)).tolist()


@pytest.mark.parametrize(
    ("first", "second"), [((0, "a", 0), (1, "a", 0)), ((0, "a", 0), (0, "b", 0)), ((0, "a", 0), (0, "a", 1))]
)
def test_seed_source_and_epoch_each_give_another_order(first: tuple, second: tuple) -> None:
    one, other = (Permutation(1000, seed=s, name=n, epoch=e)(np.arange(1000)) for s, n, e in (first, second))
    assert np.count_nonzero(one == other) < 15  # one fixed point is expected by chance


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_orders_of_a_small_source_are_equally_likely(size: int) -> None:
    trials = 3000
    seen = Counter(tuple(Permutation(size, seed=s, name="x", epoch=0)(np.arange(size)).tolist()) for s in range(trials))
    kinds = factorial(size)
    expected = trials / kinds
    chi_square = sum((seen[order] - expected) ** 2 / expected for order in permutations(range(size)))
    assert chi_square < kinds - 1 + 4 * sqrt(2 * (kinds - 1))


def test_neighbours_do_not_stay_neighbours() -> None:
    images = Permutation(100_000, seed=0, name="x", epoch=0)(np.arange(100_000))
    assert abs(np.corrcoef(images[:-1], images[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(np.arange(100_000), images)[0, 1]) < 0.02


@given(size=st.integers(1, 3 * BLOCK), draws=st.lists(st.integers(0, 10 * BLOCK), max_size=30))
@settings(deadline=None, max_examples=30)
def test_a_shuffle_may_be_read_in_any_order(size: int, draws: list[int]) -> None:
    shuffle = Shuffle(size, seed=4, name="x")
    for draw in draws:
        epoch, position = divmod(draw, size)
        index = int(Permutation(size, seed=4, name="x", epoch=epoch)(np.array([position]))[0])
        assert shuffle[draw] == (epoch, index)


def test_an_empty_permutation_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one element"):
        Permutation(0, seed=0, name="x", epoch=0)
