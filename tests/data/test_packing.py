import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.errors import DataError
from manyeyes.core.media import Grid, Media
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import UNROUTED, UNVERSIONED
from manyeyes.data.packing import PADDING, Pack, pack, pack_all, stack, unpack

PAD = 9


def make(length: int, number: int, *, media: int = 0, rl: bool = False) -> Sample:
    rng = np.random.default_rng(number)
    floats = rng.random((3, length)).astype(np.float32)
    floats[0, :1] = 0.0
    items = tuple(Media(patches=np.full((4, 3, 2, 2), number + n, np.uint8), grid=Grid(1, 2, 2)) for n in range(media))
    return Sample(
        ids=rng.integers(10, 1000, length).astype(np.int32),
        weights=floats[0],
        media=items,
        name=f"s/{number}",
        logprobs=floats[1] if rl else None,
        advantages=floats[2] if rl else None,
        versions=rng.integers(-1, 5, length).astype(np.int32) if rl else None,
        routing=rng.integers(0, 8, (length, 3, 2)).astype(np.uint16) if rl and number % 3 else None,
    )


samples_of_any_kind = st.tuples(
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2)), max_size=6), st.booleans()
).map(lambda drawn: [make(n, number, media=m, rl=drawn[1]) for number, (n, m) in enumerate(drawn[0])])


def assert_same(one: Sample, other: Sample) -> None:
    assert one.name == other.name and one.media == other.media
    for field in ("ids", "weights", "logprobs", "advantages", "versions"):
        a, b = getattr(one, field), getattr(other, field)
        assert (a is None) == (b is None) and (a is None or (np.array_equal(a, b) and a.dtype == b.dtype))
    if one.routing is not None:
        assert other.routing is not None and np.array_equal(one.routing, other.routing)
    else:  # unknown, beside samples whose routing is known
        assert other.routing is None or (other.routing == UNROUTED).all()


@given(samples=samples_of_any_kind, spare=st.integers(0, 9))
@settings(deadline=None)
def test_unpack_undoes_pack(samples: list[Sample], spare: int) -> None:
    row = pack(samples, sum(s.length for s in samples) + spare + 1, pad_id=PAD)
    back = unpack(row)
    assert len(back) == len(samples)
    for one, other in zip(samples, back, strict=True):
        assert_same(one, other)


@given(samples=samples_of_any_kind, spare=st.integers(1, 9))
@settings(deadline=None)
def test_boundaries_positions_and_segments_agree(samples: list[Sample], spare: int) -> None:
    row = pack(samples, sum(s.length for s in samples) + spare, pad_id=PAD)
    edges = row.boundaries
    assert edges.dtype == np.int32 and np.diff(edges).tolist() == [s.length for s in samples]
    for number, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
        assert (row.segments[start:end] == number).all()
        assert np.array_equal(row.positions[start:end], np.arange(end - start))
        assert row.weights[start] == 0.0
    tail = slice(int(edges[-1]), None)
    assert (row.segments[tail] == PADDING).all() and (row.ids[tail] == PAD).all()
    assert not row.weights[tail].any() and not row.positions[tail].any()
    assert row.tokens == edges[-1] and row.fill == edges[-1] / len(row.ids)


def test_types_are_those_of_the_contract() -> None:
    row = pack([make(3, 0, rl=True)], 4, pad_id=PAD)
    assert [row.ids.dtype, row.positions.dtype, row.segments.dtype] == [np.int32] * 3
    assert row.logprobs is not None and row.advantages is not None
    assert [row.weights.dtype, row.logprobs.dtype, row.advantages.dtype] == [np.float32] * 3


def test_a_first_token_that_weighs_is_silenced() -> None:
    loud = Sample(ids=np.array([1, 2], np.int32), weights=np.ones(2, np.float32))
    assert pack([loud, loud], 4, pad_id=PAD).weights.tolist() == [0, 1, 0, 1]


def test_an_empty_row_is_all_padding() -> None:
    row = pack([], 4, pad_id=PAD)
    assert row.ids.tolist() == [PAD] * 4 and row.tokens == 0 and row.boundaries.tolist() == [0] and unpack(row) == []


def test_a_row_that_overflows_names_the_samples() -> None:
    with pytest.raises(DataError, match=r"7 tokens cannot share a row of 6: s/0 \(3\), s/1 \(4\)"):
        pack([make(3, 0), make(4, 1)], 6, pad_id=PAD)


def test_rl_fields_come_with_all_samples_or_none() -> None:
    with pytest.raises(DataError, match="s/1 has no logprobs"):
        pack([make(3, 0, rl=True), make(3, 1)], 6, pad_id=PAD)
    silent = Sample(ids=np.array([1, 2], np.int32), weights=np.zeros(2, np.float32), name="stand-in")
    row = pack([make(3, 0, rl=True), silent], 6, pad_id=PAD)
    assert row.logprobs is not None and not row.logprobs[3:].any()
    assert row.versions is not None and (row.versions[3:] == UNVERSIONED).all()


def test_routing_is_of_one_model() -> None:
    wide = dataclasses.replace(make(3, 1, rl=True), routing=np.zeros((3, 3, 4), np.uint16))
    with pytest.raises(DataError, match=r"of one model.*\[3, 4\] \(s/1\), \[3, 2\] \(s/2\)"):
        pack([wide, make(3, 2, rl=True)], 8, pad_id=PAD)
    with pytest.raises(DataError, match="of one model"):
        stack([pack([one], 8, pad_id=PAD) for one in (wide, make(3, 2, rl=True))])


def test_stack_keeps_rows() -> None:
    rows = [pack([make(3, 0, media=2), make(2, 1)], 8, pad_id=PAD), pack([make(7, 2, media=1)], 8, pad_id=PAD)]
    batch = stack(rows)
    assert batch.ids_BT.shape == (2, 8) and batch.names == (("s/0", "s/1"), ("s/2",))
    assert batch.media == rows[0].media + rows[1].media and batch.media_counts == ((2, 0), (1,))
    for number, row in enumerate(rows):
        assert np.array_equal(batch.ids_BT[number], row.ids) and np.array_equal(batch.segments_BT[number], row.segments)
        assert np.array_equal(batch.positions_BT[number], row.positions)
        assert np.array_equal(batch.weights_BT[number], row.weights)
    assert batch.tokens == 12 and batch.fill == 12 / 16 and batch.logprobs_BT is None


def test_stack_fills_rl_fields_of_empty_rows() -> None:
    rl, empty = pack([make(3, 0, rl=True)], 4, pad_id=PAD), pack([], 4, pad_id=PAD)
    assert rl.logprobs is not None
    stacked = stack([rl, empty]).logprobs_BT
    assert stacked is not None and np.array_equal(stacked, [rl.logprobs, np.zeros(4)])
    versions = stack([rl, empty]).versions_BT
    assert versions is not None and (versions[1] == UNVERSIONED).all() and versions.dtype == np.int32


def test_stack_fills_routing_where_nobody_knows_it() -> None:
    known, unknown = pack([make(3, 1, rl=True)], 4, pad_id=PAD), pack([make(3, 3, rl=True)], 4, pad_id=PAD)
    batch = stack([known, unknown])
    assert known.routing is not None and unknown.routing is None and batch.routing_BTLK is not None
    assert batch.routing_BTLK.shape == (2, 4, 3, 2) and batch.routing_BTLK.dtype == np.uint16
    assert np.array_equal(batch.routing_BTLK[0], known.routing) and (batch.routing_BTLK[1] == UNROUTED).all()
    assert (known.routing[3:] == UNROUTED).all()


def test_stack_refuses_missing_rl_fields() -> None:
    rl, plain = pack([make(3, 0, rl=True)], 4, pad_id=PAD), pack([make(3, 1)], 4, pad_id=PAD)
    with pytest.raises(DataError, match="s/1 has no logprobs"):
        stack([rl, plain])


def test_stack_refuses_rows_of_several_lengths() -> None:
    rows: list[Pack] = [pack([], 4, pad_id=PAD), pack([], 5, pad_id=PAD)]
    with pytest.raises(DataError, match=r"rows of one length, got lengths \[4, 5\]"):
        stack(rows)
    with pytest.raises(DataError, match="rows of one length"):
        stack([])


def test_pack_all_loses_nothing() -> None:
    samples = [make(int(n), number) for number, n in enumerate(np.random.default_rng(1).integers(1, 25, 200))]
    rows = pack_all(samples, 64, pad_id=PAD, window=16)
    assert sorted(name for row in rows for name in row.names) == sorted(s.name for s in samples)
    assert sum(row.tokens for row in rows) == sum(s.length for s in samples)
    assert len(rows) <= 1.03 * sum(s.length for s in samples) / 64 + 2
    with pytest.raises(DataError, match="s/0 has 65 tokens"):
        pack_all([make(65, 0)], 64, pad_id=PAD)
