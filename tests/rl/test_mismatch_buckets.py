"""Every token lies in exactly one bucket; places begin anew with every completion and every sample."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.rl.band import EQ_1
from manyeyes.rl.mismatch_buckets import (
    LOG_RATIO_EDGES,
    PLACE_EDGES,
    STALENESS_EDGES,
    bucket_of,
    histogram,
    labels,
    places,
)


@given(values=st.lists(st.floats(-25, 25) | st.sampled_from([*LOG_RATIO_EDGES, np.inf, -np.inf]), max_size=30))
def test_the_histogram_counts_each_token_once(values: list[float]) -> None:
    found = histogram(np.array(values, np.float64))
    assert len(found) == len(LOG_RATIO_EDGES) + 1 and sum(found) == len(values)
    edges = [-np.inf, *LOG_RATIO_EDGES, np.inf]
    for low, high, count in zip(edges, edges[1:], found, strict=False):
        assert count == sum(low <= value < high or (high == np.inf == value) for value in values)


def test_edges_are_even_and_hold_the_default_band() -> None:
    assert list(LOG_RATIO_EDGES) == sorted(LOG_RATIO_EDGES) == [-edge for edge in reversed(LOG_RATIO_EDGES)]
    assert {EQ_1.low, EQ_1.high} <= set(LOG_RATIO_EDGES)


def test_buckets_are_named_by_what_they_hold() -> None:
    for edges in (PLACE_EDGES, STALENESS_EDGES):
        assert len(labels(edges)) == len(edges)
        assert bucket_of(np.array(edges), edges).tolist() == list(range(len(edges)))
        assert bucket_of(np.array(edges[1:]) - 1, edges).tolist() == list(range(len(edges) - 1))


def test_branches_of_a_shared_beginning_are_completions_of_their_own() -> None:
    """The last common token was sampled, too; the first branch ends where the second one begins."""
    sampled_T = np.array([0, 0, 1, 1, 1, 1, 1, 1], bool)
    position_T = np.array([0, 1, 2, 3, 4, 3, 4, 5], np.int32)
    assert places(sampled_T, position_T)[2:].tolist() == [0, 1, 2, 0, 1, 2]


@given(samples=st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=5))
def test_places_are_counted_within_runs_of_samples(samples: list[list[bool]]) -> None:
    sampled_T = np.array([flag for sample in samples for flag in sample])
    position_T = np.concatenate([np.arange(len(sample)) for sample in samples]).astype(np.int32)
    expected = []
    for sample in samples:
        run = -1
        for flag in sample:
            run = run + 1 if flag else -1
            expected.append(run)
    found = places(sampled_T, position_T)
    assert found[sampled_T].tolist() == [place for place in expected if place >= 0]
