"""Laws of MoonViT-3D and the whole model with media."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from manyeyes.core.media import Clip, Grid, Picture, image_visual, video_visuals
from manyeyes.core.seeds import stream
from manyeyes.model.config import tiny
from manyeyes.model.moonvit3d import Group, MediaBatch, normalised
from manyeyes.model.multimodal import K25, build
from manyeyes.model.vision_positions import frame_vectors, grid_turns, table_at

from .nearness import assert_near


def model_of(compute_dtype: torch.dtype = torch.float32) -> K25:
    model = build(tiny(), seed=5, compute_dtype=compute_dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.0 if parameter.ndim == 1 else 4.0)
    return model


def media_of(*grids: Grid, seed: int = 0) -> MediaBatch:
    pixels = stream(seed, "test/media").integers(0, 256, (sum(g.patches for g in grids), 3, 8, 8), dtype=np.uint8)
    return MediaBatch(torch.from_numpy(pixels), grids)


def items(media: MediaBatch) -> list[MediaBatch]:
    parts = media.patches_NCPP.split([g.patches for g in media.grids])
    return [MediaBatch(part, (grid,)) for part, grid in zip(parts, media.grids, strict=True)]


MIXED = (Grid(1, 4, 6), Grid(3, 4, 4), Grid(1, 16, 16), Grid(1, 4, 6), Grid(4, 2, 8), Grid(1, 2, 2))


@torch.no_grad()
def test_a_mixed_batch_equals_its_items_alone() -> None:
    model, media = model_of(), media_of(*MIXED)
    together = model.encode(media)
    apart = torch.cat([model.encode(item) for item in items(media)])
    torch.testing.assert_close(together, apart, atol=2e-6, rtol=1e-4)


@torch.no_grad()
def test_a_mixed_batch_equals_its_items_alone_in_half_precision() -> None:
    model, media = model_of(torch.bfloat16), media_of(*MIXED)
    together = model.encode(media)
    assert together.dtype == torch.bfloat16
    assert_near(together, torch.cat([model.encode(item) for item in items(media)]), 0.02)
    assert_near(together, model_of().encode(media), 0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_media_are_no_tokens(dtype: torch.dtype) -> None:
    model, nothing = model_of(dtype), MediaBatch(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), ())
    assert model.encode(nothing).shape == (0, model.config.text.hidden_size)
    assert model.vision_tower(nothing, dtype=dtype).shape == (0, 4, model.config.vision.vt_hidden_size)
    ids = torch.arange(6)[None]
    out = model(ids, media=nothing).hidden_BTD
    assert torch.equal(out, model(ids).hidden_BTD)
    out.float().sum().backward()


def test_chunks_that_are_too_long_are_refused() -> None:
    model = model_of()
    with pytest.raises(ValueError, match="a chunk has 5 frames, but the vision tower knows positions of 4"):
        model.encode(media_of(Grid(1, 2, 2), Grid(5, 2, 2)))


@torch.no_grad()
def test_a_chunk_costs_as_many_tokens_as_one_frame() -> None:
    model = model_of()
    for frames in (1, 2, 3, 4):
        assert model.encode(media_of(Grid(frames, 6, 8))).shape[0] == 6 * 8 // 4 == Grid(frames, 6, 8).tokens


@torch.no_grad()
def test_an_image_is_a_video_of_one_frame() -> None:
    pixels = stream(0, "test/frame").integers(0, 256, (40, 56, 3), dtype=np.uint8)
    config, model = tiny(), model_of()
    picture = Picture.of(pixels)
    image = image_visual(picture, config.rules)
    (chunk,) = video_visuals(Clip((picture,), fps=2.0), config.rules)
    encoded = [
        model.encode(MediaBatch(torch.from_numpy(visual.media().patches), (visual.grid,)))
        for visual in (image, chunk.visual)
    ]
    assert torch.equal(encoded[0], encoded[1])


@torch.no_grad()
def test_the_order_of_frames_matters() -> None:
    model, media = model_of(), media_of(Grid(2, 4, 4))
    swapped = MediaBatch(media.patches_NCPP.roll(16, 0), media.grids)
    assert not torch.allclose(model.encode(media), model.encode(swapped), atol=1e-3)


def test_gradients_reach_every_vision_parameter() -> None:
    model, media = model_of(), media_of(*MIXED)
    model.encode(media).square().mean().backward()
    for name, parameter in [*model.vision_tower.named_parameters(), *model.mm_projector.named_parameters()]:
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert bool((parameter.grad != 0).any()), name


@pytest.mark.parametrize("size", [(16, 16), (16, 10), (6, 11)])
@pytest.mark.parametrize(("h", "w"), [(16, 16), (4, 6), (2, 2), (30, 14), (16, 8), (16, 10), (64, 2)])
def test_position_table_equals_torch_bicubic(h: int, w: int, size: tuple[int, int]) -> None:
    table = torch.randn(*size, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours = table_at(table, h, w)
    theirs = F.interpolate(table.permute(2, 0, 1)[None], (h, w), mode="bicubic", align_corners=False)
    theirs = theirs[0].permute(1, 2, 0).reshape(h * w, 8)
    torch.testing.assert_close(ours, theirs, atol=1e-6 * float(table.detach().abs().max()), rtol=0)
    weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    grads = [torch.autograd.grad((x * weight).sum(), table)[0] for x in (ours, theirs)]
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_table_that_is_not_square_stands_as_it_is_at_its_own_size() -> None:
    vision = replace(tiny().vision, init_pos_emb_height=6, init_pos_emb_width=10)
    model = build(replace(tiny(), vision=vision), seed=5)
    table = model.vision_tower.patch_embed.pos_emb.weight
    assert table.shape == (6, 10, vision.vt_hidden_size)
    for grid in (Grid(1, 6, 10), Grid(1, 10, 6)):
        patches = torch.zeros(grid.patches, 3, 8, 8)
        found = model.vision_tower.patch_embed(patches, (Group(grid, 1),)) - model.vision_tower.patch_embed.proj.bias
        expected = F.interpolate(table.permute(2, 0, 1)[None], (grid.h, grid.w), mode="bicubic")[0].permute(1, 2, 0)
        torch.testing.assert_close(found, expected.flatten(0, 1), atol=1e-5, rtol=1e-5)


def test_rotary_turns_name_column_then_row() -> None:
    turns = grid_turns(Grid(2, 3, 4), 8, device=torch.device("cpu"))
    assert turns.shape == (24, 4)
    assert torch.equal(turns[:12], turns[12:])
    angle = turns[1 * 4 + 2].angle()
    torch.testing.assert_close(angle, torch.tensor([2.0, 1.0, 2.0 * 10000**-0.5, 1.0 * 10000**-0.5]))


def test_frame_vectors() -> None:
    here = torch.device("cpu")
    assert not frame_vectors(1, 8, device=here).any()
    vectors = frame_vectors(3, 8, device=here)
    torch.testing.assert_close(vectors[0], torch.tensor([0.0] * 4 + [1.0] * 4))
    torch.testing.assert_close(vectors[2, 1], torch.sin(torch.tensor(2 * 10000**-0.25)))


def test_pixels_are_normalised_on_the_device() -> None:
    values = torch.tensor([0, 128, 255], dtype=torch.uint8)
    torch.testing.assert_close(normalised(values, torch.float32), torch.tensor([-1.0, 128 / 127.5 - 1, 1.0]))


def pad_ids(config, *counts: int) -> Tensor:
    ids = torch.arange(2 + sum(counts) + len(counts))[None]
    at = 1
    for count in counts:
        ids[0, at : at + count] = config.media_placeholder_token_id
        at += count + 1
    return ids


@torch.no_grad()
def test_features_given_equal_media_given() -> None:
    model, media = model_of(), media_of(Grid(1, 4, 4), Grid(2, 2, 6))
    ids = pad_ids(model.config, 4, 3)
    direct = model(ids, media=media).hidden_BTD
    assert torch.equal(direct, model(ids, features_MD=model.encode(media)).hidden_BTD)
    other = MediaBatch(255 - media.patches_NCPP, media.grids)
    assert not torch.allclose(direct, model(ids, media=other).hidden_BTD, atol=1e-3)
    torch.testing.assert_close(direct[:, :1], model(ids, media=other).hidden_BTD[:, :1], atol=1e-5, rtol=1e-4)


def test_media_and_tokens_must_agree() -> None:
    model, media = model_of(), media_of(Grid(1, 4, 4))
    with pytest.raises(ValueError, match="3 <|media_pad|> tokens but 4"):
        model(pad_ids(model.config, 3), media=media)
    with pytest.raises(ValueError, match="1 <|media_pad|> tokens but 0"):
        model(pad_ids(model.config, 1))
    with pytest.raises(ValueError, match="patches of shape"):
        model.encode(MediaBatch(media.patches_NCPP[1:], media.grids))
