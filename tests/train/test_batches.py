"""Rows become tensors: targets one to the left, nothing predicted over a sample's edge, media with their rows."""

import dataclasses

import numpy as np
import torch

from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import UNVERSIONED
from manyeyes.data.packing import pack, stack
from manyeyes.train.batches import media_of, micro_batches, samples_of

from .small_system import CPU, TOKENIZER, batch, sample


def test_the_target_is_the_next_token_of_the_same_sample() -> None:
    whole = batch(1)
    (part,) = micro_batches(whole, 4, device=CPU)
    for row in range(4):
        for t in range(part.ids_BT.shape[1]):
            edge = t + 1 == part.ids_BT.shape[1] or whole.segments_BT[row, t] != whole.segments_BT[row, t + 1]
            expected = 0.0 if edge else whole.weights_BT[row, t + 1]
            assert float(part.weights_BT[row, t]) == expected
            if expected:
                assert int(part.targets_BT[row, t]) == whole.ids_BT[row, t + 1]


def test_groups_of_rows_hold_all_rows_and_media_once() -> None:
    whole = batch(2, rows=5)
    parts = list(micro_batches(whole, 2, device=CPU))
    assert [len(part.ids_BT) for part in parts] == [2, 2, 1]
    np.testing.assert_array_equal(torch.cat([part.ids_BT for part in parts]).numpy(), whole.ids_BT)
    patches = torch.cat([part.media.patches_NCPP for part in parts if part.media is not None])
    np.testing.assert_array_equal(patches.numpy(), np.concatenate([item.patches for item in whole.media]))
    assert sum(part.tokens for part in parts) == whole.tokens
    for part in parts:
        pads = int((part.ids_BT == TOKENIZER.media_pad).sum())
        assert pads == (0 if part.media is None else sum(grid.tokens for grid in part.media.grids))


def test_vision_marks_exactly_the_samples_with_media() -> None:
    whole = batch(3, rows=6)
    (part,) = micro_batches(whole, 6, device=CPU)
    for row, counts in enumerate(whole.media_counts):
        for number, count in enumerate(counts):
            inside = torch.from_numpy(whole.segments_BT[row] == number)
            assert bool((part.vision_BT[row][inside] == (count > 0)).all())
        assert not bool(part.vision_BT[row][torch.from_numpy(whole.segments_BT[row] < 0)].any())


def test_rows_without_a_sample_are_left_out() -> None:
    rng = np.random.default_rng(0)
    rows = [pack([sample(rng, 5)], 16, pad_id=0), pack([], 16, pad_id=0), pack([], 16, pad_id=0)]
    assert len(list(micro_batches(stack(rows), 1, device=CPU))) == 1


def test_samples_come_back_out_of_a_batch() -> None:
    rng = np.random.default_rng(5)
    samples = [sample(rng, 6, pictures=number % 3, name=f"n{number}") for number in range(6)]
    rows = [pack(samples[:3], 64, pad_id=0), pack(samples[3:], 64, pad_id=0)]
    back = samples_of(stack(rows))
    assert [s.name for s in back] == [s.name for s in samples]
    for ours, theirs in zip(back, samples, strict=True):
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        assert len(ours.media) == len(theirs.media)
        assert all(a.patches is b.patches for a, b in zip(ours.media, theirs.media, strict=True))


def with_rl(one: Sample, seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    return dataclasses.replace(
        one,
        logprobs=rng.normal(size=one.length).astype(np.float32),
        advantages=rng.normal(size=one.length).astype(np.float32),
        versions=rng.integers(0, 9, one.length).astype(np.int32),
        routing=rng.integers(0, 4, (one.length, 1, 2)).astype(np.uint16),
    )


def test_columns_of_the_next_token_stand_at_its_place_and_routing_at_the_tokens_own() -> None:
    rng = np.random.default_rng(7)
    samples = [with_rl(sample(rng, 5 + n, pictures=n % 2, name=f"n{n}"), n) for n in range(6)]
    whole = stack([pack(samples[:3], 64, pad_id=0), pack(samples[3:], 64, pad_id=0)])
    for row, part in enumerate(micro_batches(whole, 1, device=CPU)):
        assert part.start == row and part.routing_BTLK is not None
        np.testing.assert_array_equal(part.routing_BTLK[0].numpy(), whole.routing_BTLK[row])
        for column, blank in (("logprobs", 0), ("advantages", 0), ("versions", UNVERSIONED)):
            given, found = getattr(whole, f"{column}_BT")[row], getattr(part, f"{column}_BT")[0].numpy()
            assert found.dtype == given.dtype
            for t in range(63):
                edge = whole.segments_BT[row, t] != whole.segments_BT[row, t + 1]
                assert found[t] == (blank if edge else given[t + 1])
            assert found[63] == blank
    for ours, theirs in zip(samples_of(whole), samples, strict=True):
        for column in ("logprobs", "advantages", "versions", "routing"):
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))


def test_without_reinforcement_there_are_no_columns() -> None:
    (part,) = micro_batches(batch(1), 4, device=CPU)
    assert (part.logprobs_BT, part.advantages_BT, part.versions_BT, part.routing_BTLK) == (None,) * 4


def test_media_are_laid_end_to_end() -> None:
    media = batch(4, rows=6).media
    together = media_of(media, CPU)
    assert together.grids == tuple(item.grid for item in media)
    assert len(together.patches_NCPP) == sum(item.grid.patches for item in media)
