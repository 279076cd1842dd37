import errno
import importlib.util
import io
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Grid, Media, MediaError, MediaReadError, MediaRules, Picture, image_plan, image_visual

OFFICIAL = MediaRules()
TINY = MediaRules(patch_size=8, in_patch_limit=1024, in_patch_limit_each_frame=256, patch_limit_on_one_side=64)
sides = st.integers(1, 12_000)
rules = st.sampled_from([OFFICIAL, TINY])


def photo(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def smooth(width, height):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 31 + y / 17), np.cos(x / 23), np.sin(y / 41) * np.cos(x / 19)]
    return np.round(np.stack(waves, -1) * 110 + 128).astype(np.uint8)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def restated_size(width, height, patch, limit, side):
    """The published rule, written down a second time: size after the resize and number of tokens."""
    scale = min(
        1.0,
        math.sqrt(limit / (max(1.0, width // patch) * max(1.0, height // patch))),
        side * patch / width,
        side * patch / height,
    )
    new = [min(max(1, int(length * scale)), side * patch) for length in (width, height)]
    padded = [length + (2 * patch - length % (2 * patch)) % (2 * patch) for length in new]
    return new, padded


def restated_patches(array, patch, limit, side):
    """Resize, pad, normalise and cut as in the published processor, one patch at a time, float32."""
    height, width = array.shape[:2]
    new, padded = restated_size(width, height, patch, limit, side)
    resized = np.asarray(Image.fromarray(array).resize(tuple(new), resample=Image.Resampling.BICUBIC))
    canvas = np.pad(resized, ((0, padded[1] - new[1]), (0, padded[0] - new[0]), (0, 0)))
    normal = (canvas.astype(np.float32) / 255 - 0.5) / 0.5
    return np.stack([
        normal[top : top + patch, left : left + patch].transpose(2, 0, 1)
        for top in range(0, padded[1], patch)
        for left in range(0, padded[0], patch)
    ])  # fmt: skip


def normalised(media):
    return (media.patches.astype(np.float32) / 255 - 0.5) / 0.5


@pytest.mark.parametrize(
    ("size", "grid", "tokens"),
    [
        ((3000, 3000), (1, 130, 130), 4225),
        ((224, 224), (1, 16, 16), 64),
        ((100, 60), (1, 6, 8), 12),
        ((1, 1), (1, 2, 2), 1),
        ((7168, 1), (1, 2, 512), 256),
        ((20_000, 10), (1, 2, 512), 256),
        ((28, 29), (1, 4, 2), 2),
    ],
)
def test_known_grids(size, grid, tokens):
    plan = image_plan(*size, OFFICIAL)
    assert tuple(plan.grid) == grid and plan.grid.tokens == tokens


def test_tiny_rules_give_one_token_for_16_by_16_pixels():
    assert image_plan(64, 64, TINY).grid == Grid(1, 8, 8) and image_plan(64, 64, TINY).grid.tokens == 16


@given(sides, sides, rules)
def test_plan_equals_the_rule_restated(width, height, rules):
    plan = image_plan(width, height, rules)
    new, padded = restated_size(width, height, rules.patch_size, rules.in_patch_limit, rules.patch_limit_on_one_side)
    assert [plan.width, plan.height] == new
    assert [plan.grid.w * rules.patch_size, plan.grid.h * rules.patch_size] == padded


@given(sides, sides, rules)
def test_plan_laws(width, height, rules):
    plan = image_plan(width, height, rules)
    grid = plan.grid
    assert plan.width <= width and plan.height <= height  # never enlarges
    assert grid.h % 2 == 0 and grid.w % 2 == 0 and grid.tokens * 4 == grid.patches
    assert max(grid.h, grid.w) <= rules.patch_limit_on_one_side
    # The limit counts whole patches of the original: what they leave out at the edges comes on top.
    patch, limit = rules.patch_size, rules.in_patch_limit
    whole = max(1, width // patch) * max(1, height // patch)
    assert plan.width * plan.height <= limit * (width * height / whole) * (1 + 1e-9)
    assert 0 <= grid.w * rules.patch_size - plan.width < rules.cell
    assert 0 <= grid.h * rules.patch_size - plan.height < rules.cell
    turned = image_plan(height, width, rules)
    assert (turned.width, turned.height, turned.grid) == (plan.height, plan.width, Grid(1, grid.w, grid.h))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 9), rules)
@settings(max_examples=30, deadline=None)
def test_small_pictures_are_cut_bit_for_bit_as_restated(width, height, seed, rules):
    array = photo(width, height, seed)
    media = image_visual(Picture.of(array), rules).media()
    expected = restated_patches(array, rules.patch_size, rules.in_patch_limit, rules.patch_limit_on_one_side)
    assert np.array_equal(normalised(media), expected)


@pytest.mark.parametrize("size", [(700, 500), (513, 40), (600, 600)])
def test_large_pictures_are_shrunk_as_restated(size):
    array = photo(*size)
    visual = image_visual(Picture.of(array), TINY)
    media = visual.media()
    expected = restated_patches(array, 8, TINY.in_patch_limit, TINY.patch_limit_on_one_side)
    assert visual.plan.width < size[0]
    assert np.array_equal(normalised(media), expected)


@pytest.fixture
def official_processor():
    if not importlib.util.find_spec("torchvision"):
        pytest.skip("transformers' image processor needs torchvision")
    torch = pytest.importorskip("torch")
    # A torchvision built for CUDA does not register its own operators beside the CPU build of torch.
    stubs = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            stubs.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    module = pytest.importorskip("transformers.models.kimi_k25.image_processing_kimi_k25")
    yield module.Kimi_K25ImageProcessor()


def photograph(scale=1):
    """A Buddhist temple in Beijing, 640 x 427, CC BY 2.0, which scikit-learn carries."""
    array = pytest.importorskip("sklearn.datasets").load_sample_image("china.jpg")
    size = (array.shape[1] * scale, array.shape[0] * scale)
    return array if scale == 1 else np.asarray(Image.fromarray(array).resize(size, Image.Resampling.LANCZOS))


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda: smooth(224, 224), 0.0),
        (lambda: smooth(100, 60), 0.0),
        (lambda: smooth(1, 1), 0.0),
        (lambda: smooth(333, 77), 0.0),
        (lambda: smooth(3000, 2500), 2 / 255),
        (lambda: photo(333, 77), 0.0),
        (lambda: photo(2500, 1900), 2 / 255),
        (photograph, 0.0),
        (lambda: photograph(scale=6), 2 / 255),
    ],
    ids=["smooth", "padded", "dot", "wide", "shrunk", "noise", "noise shrunk", "photograph", "photograph shrunk"],
)
def test_patches_equal_transformers(official_processor, make, limit):
    """Needs torchvision, which the project does not install (it clashes with the CPU build of torch)."""
    array = make()
    output = official_processor(images=[Image.fromarray(array)], return_tensors="pt")
    media = image_visual(Picture.of(array), OFFICIAL).media()
    assert tuple(output["image_grid_thw"][0].tolist()) == tuple(media.grid)
    # transformers folds the rescale into mean and std: float rounding, far below one grey level.
    difference = np.abs(output["pixel_values"].numpy() - normalised(media)).max() / 2
    assert difference <= limit + 1e-6


def test_token_order_is_row_by_row_and_padding_is_zero():
    array = np.full((20, 30, 3), 200, np.uint8)
    array[:8, 8:16] = (1, 2, 3)
    media = image_visual(Picture.of(array), TINY).media()
    assert media.grid == Grid(1, 4, 4)
    assert (media.patches[1] == np.array([1, 2, 3], np.uint8)[:, None, None]).all()
    assert (media.patches[0] == 200).all()
    assert (media.patches[12:] == 0).all()  # rows 24..32 lie below the picture
    assert (media.patches[3][:, :, 6:] == 0).all() and (media.patches[3][:, :, :6] == 200).all()
    assert (media.patches[8][:, 4:] == 0).all() and (media.patches[8][:, :4] == 200).all()


def test_rendering_a_plan_decodes_nothing():
    def explode():
        raise AssertionError("decoded")

    visual = image_visual(Picture.lazy(100, 60, explode), OFFICIAL)
    assert visual.tokens == 12
    with pytest.raises(AssertionError, match="decoded"):
        visual.media()


def test_media_refuses_patches_that_do_not_fill_the_grid():
    with pytest.raises(ValueError, match="expected uint8 patches"):
        Media(np.zeros((3, 3, 8, 8), np.uint8), Grid(1, 2, 2))
    with pytest.raises(ValueError, match="float64"):
        Media(np.zeros((4, 3, 8, 8)), Grid(1, 2, 2))


@pytest.mark.parametrize(
    "change", [{"merge": 3}, {"patch_size": 0}, {"patch_limit_on_one_side": 511}, {"sample_fps": 0}]
)
def test_rules_refuse_nonsense(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        MediaRules(**change)


# Files


def test_png_round_trip_and_encoded(tmp_path):
    array = photo(31, 17)
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    picture = Picture.open(path)
    assert (picture.width, picture.height) == (31, 17)
    assert np.array_equal(picture.pixels(), array)
    assert picture.encoded == path.read_bytes()
    assert np.array_equal(Picture.from_bytes(path.read_bytes()).pixels(), array)
    assert Picture.of(array).encoded is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_to_size_and_pixels(orientation, kind):
    stored = Image.fromarray(np.repeat(np.repeat(photo(4, 3), 16, axis=0), 16, axis=1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    picture = Picture.from_bytes(data)
    flips = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    plain = Picture.from_bytes(encoded(stored, kind, **({"lossless": True} if kind == "WEBP" else {}))).pixels()
    expected = flips.get(orientation, lambda a: a)(plain)
    assert (picture.height, picture.width) == expected.shape[:2]
    assert np.array_equal(picture.pixels(), expected)


def test_transparent_pixels_lie_over_white_or_over_nothing():
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (10, 20, 30, 255)
    data = encoded(Image.fromarray(rgba), "PNG")
    assert (Picture.from_bytes(data).pixels()[2:] == 255).all()
    assert (Picture.from_bytes(data, background=(1, 2, 3)).pixels()[3, 3] == (1, 2, 3)).all()
    official = Picture.from_bytes(data, background=None).pixels()
    assert np.array_equal(official, np.asarray(Image.fromarray(rgba).convert("RGB")))
    assert (official[0, 0] == (10, 20, 30)).all()


def test_palette_grey_bilevel_cmyk_and_animation():
    red = Image.new("RGB", (5, 4), (200, 30, 40))
    transparent = Image.new("P", (5, 4), 1)
    transparent.putpalette([0, 0, 0, 200, 30, 40])
    assert (Picture.from_bytes(encoded(red.quantize(4), "PNG")).pixels() == (200, 30, 40)).all()
    assert (Picture.from_bytes(encoded(transparent, "GIF", transparency=1)).pixels() == 255).all()
    assert (Picture.from_bytes(encoded(Image.new("L", (5, 4), 77), "PNG")).pixels() == 77).all()
    assert (Picture.from_bytes(encoded(Image.new("LA", (5, 4), (77, 255)), "PNG")).pixels() == 77).all()
    assert (Picture.from_bytes(encoded(Image.new("1", (5, 4), 1), "PNG")).pixels() == 255).all()
    cmyk = Picture.from_bytes(encoded(red.convert("CMYK"), "JPEG", quality=100)).pixels()
    assert np.abs(cmyk.astype(int) - (200, 30, 40)).max() <= 4
    frames = encoded(red, "GIF", save_all=True, append_images=[Image.new("RGB", (5, 4), (0, 0, 255))])
    assert (Picture.from_bytes(frames).pixels() == (200, 30, 40)).all()


def test_16_bit_grey_keeps_its_upper_bits():
    deep = np.array([[0, 255, 256, 0x1234], [0x8000, 0xABCD, 0xFF00, 0xFFFF]], np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = Picture.from_bytes(encoded(Image.fromarray(deep), kind)).pixels()
        assert np.array_equal(pixels[..., 0], deep >> 8), kind


def test_float_pixels_are_refused():
    picture = Picture.from_bytes(encoded(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF"))
    with pytest.raises(MediaError, match="8 bits"):
        picture.pixels()


def bomb(width, height):
    """A PNG whose header promises width x height and whose pixels are missing."""
    data = bytearray(encoded(Image.new("L", (1, 1)), "PNG"))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def test_image_bomb_is_refused_before_decoding_with_the_limit_named():
    with pytest.raises(
        MediaError, match=r"400,000,000 pixels, refused before decoding: the limit is 89,478,485"
    ) as info:
        Picture.from_bytes(bomb(20_000, 20_000))
    assert "\n" not in str(info.value)
    with pytest.raises(MediaError, match=r"50x40 = 2,000 pixels.*the limit is 1,999"):
        Picture.from_bytes(bomb(50, 40), max_pixels=1_999)
    assert Picture.from_bytes(bomb(50, 40), max_pixels=2_000).width == 50
    with pytest.raises(MediaError, match="over the limit of 1,000"):
        image_visual(Picture.lazy(50, 40, lambda: photo(50, 40)), MediaRules(max_pixels=1_000))


def test_files_that_are_no_pictures_are_named_in_one_line(tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("Dear diary,\ntoday it rained. Größe 12.\n" * 9, encoding="utf-8")
    (tmp_path / "empty.png").touch()
    (tmp_path / "noise.png").write_bytes(bytes(range(256)))
    for name, words in {
        "notes.png": "it holds text \\('Dear diary,",
        "empty.png": "0 bytes",
        "noise.png": "unknown",
    }.items():
        with pytest.raises(MediaError, match=words) as info:
            Picture.open(tmp_path / name)
        assert "\n" not in str(info.value) and name in str(info.value)


def test_missing_files_get_a_hint(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "kitten.png")
    with pytest.raises(MediaError, match="no such picture; did you mean kitten.png"):
        Picture.open(tmp_path / "kiten.png")
    with pytest.raises(MediaError, match="this is a folder"):
        Picture.open(tmp_path)
    with pytest.raises(MediaError, match="does not exist"):
        Picture.open(tmp_path / "nowhere" / "a.png")
    with pytest.raises(MediaError, match="no such picture .File name too long") as caught:
        Picture.open("What is in this picture? " * 50)
    assert not isinstance(caught.value, OSError), "no second attempt would go better"
    gone = Picture.open(tmp_path / "kitten.png")
    (tmp_path / "kitten.png").unlink()
    for read in (lambda: gone.encoded, gone.pixels):
        with pytest.raises(MediaError, match="cannot be read .No such file") as caught:
            read()
        assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("number", "passes"),
    [
        (errno.ENOENT, False), (errno.ENOTDIR, False), (errno.EISDIR, False), (errno.ENAMETOOLONG, False),
        (errno.ELOOP, False), (errno.EINVAL, False), (errno.EIO, True), (errno.ESTALE, True), (errno.EACCES, True),
        (errno.EMFILE, True),
    ],
)  # fmt: skip
def test_only_what_may_pass_is_worth_another_attempt(tmp_path, monkeypatch, number: int, passes: bool):
    Image.new("RGB", (2, 2)).save(tmp_path / "kitten.png")
    picture = Picture.open(tmp_path / "kitten.png")

    def fails(*_, **__) -> None:
        raise OSError(number, os.strerror(number))

    for module, name in ((Path, "is_file"), (Image, "open"), (Path, "read_bytes")):
        with monkeypatch.context() as patch, pytest.raises(MediaError) as caught:
            patch.setattr(module, name, fails)
            _ = {"is_file": lambda: Picture.open(tmp_path / "kitten.png"), "open": picture.pixels,
                 "read_bytes": lambda: picture.encoded}[name]()  # fmt: skip
        assert isinstance(caught.value, MediaReadError) is passes


def test_a_truncated_webp_is_refused_at_once():
    data = encoded(Image.fromarray(photo(64, 64)), "WEBP")
    with pytest.raises(MediaError, match="half: not a picture, unknown or damaged format"):
        Picture.from_bytes(data[: len(data) // 2], name="half")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_truncated_files_open_and_fail_at_the_pixels(kind):
    data = encoded(Image.fromarray(photo(64, 64)), kind)
    picture = Picture.from_bytes(data[: len(data) // 2], name="half")
    assert picture.width == 64
    with pytest.raises(MediaError, match="half: the picture is damaged or cut short"):
        picture.pixels()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remarks about damaged EXIF
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_raise_nothing_but_media_error(kind, draw):
    data = bytearray(encoded(Image.fromarray(photo(24, 24)), kind))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    data = bytes(data[: draw.draw(st.integers(0, len(data)))])
    try:
        picture = Picture.from_bytes(data, max_pixels=100_000)
        pixels = picture.pixels()
    except MediaError as error:
        assert "\n" not in str(error)
    else:
        assert pixels.shape == (picture.height, picture.width, 3)


def test_arrays_and_loaders_are_checked():
    assert Picture.of(np.zeros((3, 5), np.uint8)).pixels().shape == (3, 5, 3)
    for bad in (np.zeros((3, 5, 4), np.uint8), np.zeros((3, 5, 3)), np.zeros((3,), np.uint8)):
        with pytest.raises(MediaError, match="expected uint8"):
            Picture.of(bad)
    with pytest.raises(MediaError, match="at least 1x1"):
        Picture.of(np.zeros((0, 5, 3), np.uint8))
    with pytest.raises(MediaError, match="at least 1x1"):
        image_plan(0, 4, OFFICIAL)
    with pytest.raises(MediaError, match="the loader returned"):
        Picture.lazy(4, 4, lambda: photo(5, 4)).pixels()


def test_core_media_needs_no_torch():
    import subprocess

    code = "import sys, manyeyes.core.media, manyeyes.core.runlog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
