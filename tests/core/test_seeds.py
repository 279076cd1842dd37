"""The random streams: pinned numbers, since every run, plan and held-out set is written in them."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.seeds import key, stream, torch_seed

WHERE = (2026, "data/augment", 3, 7)
DIGEST = "9f15e2400771209b142362573235d4a8"
"""blake2b-128 of the bytes `2026 1f data/augment 1f 3 1f 7`, by `printf '2026\\x1fdata/augment\\x1f3\\x1f7' | b2sum -l
128`."""
seeds = st.integers(0, 2**63)
names = st.text("abc/", max_size=5)
indices = st.lists(st.integers(-5, 5), max_size=3)


def test_a_key_is_the_pinned_one() -> None:
    assert key(*WHERE) == 224412149182036205604556495331459732895
    assert key(*WHERE) == int.from_bytes(bytes.fromhex(DIGEST), "little")
    assert torch_seed(*WHERE) == 1954686514246063519 == key(*WHERE) % 2**63


def test_draws_are_the_pinned_ones() -> None:
    draws = stream(*WHERE).random(3)
    assert draws.tolist() == [0.31746265776886096, 0.22796496460929472, 0.9754613129135575]
    assert stream(*WHERE).integers(0, 1_000_000, 3).tolist() == [818498, 317462, 630718]


@given(seeds, names, indices)
def test_a_key_is_what_the_docstring_says(seed, name, indices) -> None:
    text = "\x1f".join([str(seed), name, *map(str, indices)]).encode()
    assert key(seed, name, *indices) == int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
    raw = np.random.Philox(key=key(seed, name, *indices)).random_raw(2)
    assert np.array_equal(stream(seed, name, *indices).bit_generator.random_raw(2), raw)


@given(seeds, st.lists(st.integers(0, 300), min_size=1, max_size=3))
def test_numpy_integers_name_the_same_stream(seed, indices) -> None:
    assert key(seed, "x", *indices) == key(np.uint64(seed), "x", *np.array(indices))


def test_neighbouring_streams_differ() -> None:
    keys = {key(seed, name, *rest) for seed in range(3) for name in ("a", "b") for rest in ((), (1,), (12,), (1, 2))}
    assert len(keys) == 24
