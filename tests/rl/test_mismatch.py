"""Reports add up exactly however tokens are split, and count where trainer and sampler disagree."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import UNROUTED, UNVERSIONED
from manyeyes.data.packing import pack, stack
from manyeyes.rl.band import Band
from manyeyes.rl.mismatch import MismatchReport, measure, measure_batch

LAYERS, EXPERTS, CHOSEN = 3, 8, 2


def routing(rng: np.random.Generator, length: int) -> np.ndarray:
    return rng.permuted(np.tile(np.arange(EXPERTS), (length, LAYERS, 1)), axis=-1)[..., :CHOSEN].astype(np.uint16)


def rollout(seed: int, *, name: str = "") -> Sample:
    """Given, sampled, given, sampled; versions 3 to 5; the routing of some places unknown."""
    rng = np.random.default_rng(seed)
    sampled = np.concatenate([np.arange(n) < 0 if part % 2 == 0 else np.arange(n) >= 0
                              for part, n in enumerate(rng.integers(1, 14, 4))])  # fmt: skip
    length = len(sampled)
    recorded = routing(rng, length)
    recorded[rng.random((length, LAYERS)) < 0.1] = UNROUTED
    return Sample(
        rng.integers(0, 99, length).astype(np.int32),
        (sampled & (rng.random(length) < 0.9)).astype(np.float32),
        name=name or f"r{seed}",
        logprobs=np.where(sampled, -rng.exponential(1.0, length), 0).astype(np.float32),
        advantages=rng.normal(size=length).astype(np.float32),
        versions=np.where(sampled, rng.integers(3, 6, length), UNVERSIONED).astype(np.int32),
        routing=recorded,
    )


def judged(samples: list[Sample], row_length: int = 60) -> MismatchReport:
    """Each in a row of its own; the trainer's say depends on the sample alone."""
    batch = stack([pack([sample], row_length, pad_id=0) for sample in samples])
    return report_of(batch, samples)


def report_of(batch, samples: list[Sample]) -> MismatchReport:
    trainer_BT = np.zeros(batch.ids_BT.shape, np.float32)
    routing_BTLK = np.zeros(batch.routing_BTLK.shape, np.uint16)
    by_name = {sample.name: sample for sample in samples}
    for row, names in enumerate(batch.names):
        for number, name in enumerate(names):
            inside, sample = batch.segments_BT[row] == number, by_name[name]
            rng = np.random.default_rng(int(name[1:]) + 1000)
            trainer_BT[row, inside] = sample.logprobs + rng.normal(0, 0.4, sample.length).astype(np.float32)
            changed = np.where(
                rng.random((sample.length, LAYERS, 1)) < 0.2, routing(rng, sample.length), sample.routing
            )
            routing_BTLK[row, inside] = changed[..., ::-1]
    return measure_batch(batch, trainer_BT, version=6, routing_trainer_BTLK=routing_BTLK)


@given(seeds=st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True), cut=st.integers(0, 6))
@settings(deadline=None, max_examples=40)
def test_reports_add_up_exactly(seeds: list[int], cut: int) -> None:
    samples = [rollout(seed) for seed in seeds]
    whole, parts = judged(samples), [judged([sample]) for sample in samples]
    front, back = sum(parts[:cut], MismatchReport()), sum(parts[cut:], MismatchReport())
    assert whole == front + back == back + front == sum(reversed(parts), MismatchReport())


@given(seeds=st.lists(st.integers(0, 99), min_size=2, max_size=5, unique=True))
@settings(deadline=None, max_examples=40)
def test_packed_is_unpacked(seeds: list[int]) -> None:
    samples = [rollout(seed) for seed in seeds]
    packed = stack([pack(samples, 60 * len(samples), pad_id=0)])
    assert report_of(packed, samples) == judged(samples)


@given(seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_every_split_of_the_tokens_is_whole(seed: int) -> None:
    report = judged([rollout(seed), rollout(seed + 100)])
    assert sum(report.histogram) == report.all.tokens
    by_routing = report.routing.equal + report.routing.different + report.routing.unknown
    by_place, by_staleness = (sum(parts[1:], parts[0]) for parts in (report.by_place, report.by_staleness))
    assert report.all == by_place == by_staleness == by_routing
    assert all(0 <= d <= p for d, p in zip(report.routing.differing, report.routing.pairs, strict=True))


def test_where_tokens_are_counted() -> None:
    """One sample of five tokens, two of them trained, by hand."""
    routed = np.zeros((5, 1, 2), np.uint16)
    routed[:] = [0, 1]
    other = routed[..., ::-1].copy()  # the same sets
    other[2] = [0, 2]
    routed[4] = UNROUTED
    found = measure(
        np.log([1, 1, 0.5, 0.5, 0.5]).astype(np.float32),
        np.log([1, 1, 0.5, 0.1, 0.5]).astype(np.float32),
        np.array([0, 0, 1, 1, 0], np.float32),
        place_T=np.array([0, 0, 0, 1, 2]),
        versions_T=np.array([-1, -1, 7, 6, 6], np.int32),
        version=7,
        routing_trainer_TLK=other,
        routing_sampled_TLK=routed,
    )
    assert (found.all.tokens, found.all.masked) == (2, 1)
    assert [part.tokens for part in found.by_place[:3]] == [1, 1, 0]
    assert [part.masked for part in found.by_staleness[:3]] == [0, 1, 0]
    assert found.routing.pairs == (4,) and found.routing.differing == (1,)
    assert (found.routing.equal.tokens, found.routing.different.tokens) == (1, 1)
    assert found.routing.different.mean_absolute == pytest.approx(math.log(5), rel=1e-6)
    assert found.figures["masked_share/routed different"] == 1.0 and found.figures["routing/differing_share"] == 0.25
    assert "kl_k3/stale 2" not in found.figures and found.figures["tokens/place 1-7"] == 1


def test_tokens_that_weigh_nothing_count_nowhere() -> None:
    sample = rollout(3)
    silent = dataclasses.replace(sample, weights=np.zeros_like(sample.weights))
    found = judged([silent])
    assert found.all.tokens == 0 and sum(found.routing.pairs) > 0
    assert "kl_k3" not in found.figures


def test_tokens_of_unknown_versions_have_their_places() -> None:
    """A server that tells no versions is a warning; its tokens are no place 16,384 of a completion."""
    samples = [rollout(seed) for seed in range(6)]
    unknown = [
        dataclasses.replace(
            s,
            versions=np.full(s.length, UNVERSIONED, np.int32),
            weights=np.where(s.versions != UNVERSIONED, 1, 0).astype(np.float32),
        )
        for s in samples
    ]
    known = [dataclasses.replace(s, weights=one.weights) for s, one in zip(samples, unknown, strict=True)]
    assert judged(unknown).by_place == judged(known).by_place
    assert sum(part.tokens for part in judged(unknown).by_staleness) == 0


def test_plain_data_and_back() -> None:
    report = judged([rollout(seed) for seed in range(4)])
    assert MismatchReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_reports_of_several_bands_are_not_added() -> None:
    with pytest.raises(ConfigError, match="one band"):
        MismatchReport() + MismatchReport(Band(0.8, 1.2))


def test_what_cannot_be_compared_is_refused() -> None:
    one, two = np.zeros(1, np.float32), np.zeros(2, np.float32)
    with pytest.raises(DataError, match=r"lengths \[1, 2\]"):
        measure(one, two, two)
    with pytest.raises(DataError, match="1 of 2 trained tokens"):
        measure(np.array([np.nan, 0], np.float32), two, two + 1)
    assert measure(np.array([np.nan, 0], np.float32), two, np.array([0, 1], np.float32)).all.tokens == 1
    with pytest.raises(DataError, match="version 9, newer than the trainer's 8"):
        measure(one, one, one + 1, versions_T=np.array([9], np.int32), version=8)
    a, b = np.zeros((1, 2, 2), np.uint16), np.zeros((1, 3, 2), np.uint16)
    with pytest.raises(DataError, match="of one model"):
        measure(one, one, one + 1, routing_trainer_TLK=a, routing_sampled_TLK=b)
    plain = stack([pack([Sample(np.array([1, 2], np.int32), np.array([0, 1], np.float32))], 4, pad_id=0)])
    with pytest.raises(DataError, match="nothing to compare"):
        measure_batch(plain, np.zeros((1, 4), np.float32), version=0)
