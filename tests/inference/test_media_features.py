"""Pictures are encoded once while there is room, and never under old weights."""

import numpy as np
import pytest
import torch

from manyeyes.core.media import Grid, Media
from manyeyes.inference import media_features
from manyeyes.inference.media_features import MediaFeatures
from manyeyes.inference.prefix_cache import content_key
from manyeyes.model.moonvit3d import MediaBatch

from .small_model import CLIP, SQUARE, TALL, small_model


def pictures(*grids: Grid) -> dict[bytes, Media]:
    rng = np.random.default_rng(0)
    items = [Media(rng.integers(0, 256, (g.patches, 3, 8, 8)).astype(np.uint8), g) for g in grids]
    return {content_key(item): item for item in items}


@pytest.fixture
def counted(monkeypatch):
    model, seen = small_model(), []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda media: seen.append(len(media.grids)) or encode(media))
    return model, seen


@torch.inference_mode()
def test_features_are_those_of_each_item_alone(counted) -> None:
    model, seen = counted
    wanted = pictures(SQUARE, CLIP, TALL, SQUARE)
    found = MediaFeatures(model, most_bytes=1 << 20).of(wanted)
    assert seen == [4] and found.keys() == wanted.keys()
    for key, item in wanted.items():
        alone = model.encode(MediaBatch(torch.from_numpy(item.patches), (item.grid,)))
        torch.testing.assert_close(found[key], alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_least_recently_used_go_first(counted) -> None:
    model, seen = counted
    (a, b, c) = wanted = pictures(SQUARE, TALL, CLIP)
    size = 32 * 4  # bytes of a token; 4 + 3 + 2 tokens in all
    features = MediaFeatures(model, most_bytes=7 * size)
    for keys in ((a,), (b,), (a,), (c,), (a,)):  # c pushes b out
        features.of({key: wanted[key] for key in keys})
    assert seen == [1, 1, 1]
    features.of({b: wanted[b]})
    assert seen == [1, 1, 1, 1]


@torch.inference_mode()
def test_new_weights_forget_and_nothing_fits_in_no_room(counted) -> None:
    model, seen = counted
    wanted = pictures(SQUARE)
    features = MediaFeatures(model, most_bytes=1 << 20)
    features.of(wanted)
    features.forget()
    features.of(wanted)
    assert seen == [1, 1]
    none = MediaFeatures(model, most_bytes=0)
    assert none.of(wanted).keys() == none.of(wanted).keys() == wanted.keys() and seen == [1, 1, 1, 1]


@torch.inference_mode()
def test_a_pile_of_pictures_is_encoded_in_parts(counted, monkeypatch) -> None:
    model, seen = counted
    monkeypatch.setattr(media_features, "PATCHES_AT_ONCE", 40)
    wanted = pictures(SQUARE, SQUARE, SQUARE, CLIP, TALL)  # 16, 16, 16, 32, 12 patches
    assert MediaFeatures(model, most_bytes=1 << 20).of(wanted).keys() == wanted.keys()
    assert seen == [2, 1, 1, 1]
