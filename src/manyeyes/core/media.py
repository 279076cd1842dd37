"""What the vision tower eats: pictures and clips turned into patches by the exact rules of the K2.5 processor.

Resize: s = min(1, sqrt(L / (max(1, w//P) · max(1, h//P))), S·P/w, S·P/h), new = min(max(1, int(side·s)), S·P); never
upscales; PIL bicubic; zeros on the right and bottom up to a multiple of 2P. A 2x2 block of patches is one token.
Video: at most `sample_fps` frames a second, evenly spread from first to last; groups of at most four frames form a
chunk, which costs as many tokens as one frame and is announced by the time of its first frame.
Report: §4.2 (MoonViT-3D), App. B.3. The rules are those of the released processor; its limit counts patches before
padding, so slightly more are possible (3000x3000 gives 130x130 = 16,900 patches).

Shapes: t chunk frames, h, w patches down and across, P patch side, N = t·h·w patches in order t, row, column.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manyeyes.core.errors import ConfigError
from manyeyes.core.picture import MAX_PIXELS, MediaError, MediaReadError, Picture, Pixels
from manyeyes.core.video import Clip

__all__ = [
    "MAX_PIXELS", "Clip", "Grid", "Media", "MediaError", "MediaReadError", "MediaRules", "Picture", "Pixels", "Resize",
    "TimedVisual", "Visual", "frame_of", "image_plan", "image_visual", "sample_frames", "timestamp", "video_visuals",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MediaRules:
    """The numbers of the released `preprocessor_config.json` (`media_proc_cfg`); names as there where they exist.

    Example:
        >>> image_plan(3000, 3000, MediaRules()).grid.tokens
        4225
    """

    patch_size: int = 14
    merge: int = 2
    """Patches a side that the projector joins into one token. The architecture fixes it to 2."""
    in_patch_limit: int = 16384
    in_patch_limit_each_frame: int = 4096
    patch_limit_on_one_side: int = 512
    sample_fps: float = 2.0
    frames_per_chunk: int = 4
    """`temporal_merge_kernel_size`: frames that share one chunk's tokens."""
    max_num_frames_each_video: int | None = None
    """Cap on sampled frames; the released file has none, evaluation protocols set one."""
    max_pixels: int = MAX_PIXELS
    """Pictures with more pixels are refused before they are decoded."""

    def __post_init__(self) -> None:
        if self.merge != 2:
            raise ConfigError(f"merge must be 2 (the projector joins 2x2 patches), got {self.merge}")
        for name in ("patch_size", "in_patch_limit", "in_patch_limit_each_frame", "frames_per_chunk", "max_pixels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.patch_limit_on_one_side < 2 or self.patch_limit_on_one_side % self.merge:
            raise ConfigError(f"patch_limit_on_one_side must be even, got {self.patch_limit_on_one_side}")
        if not self.sample_fps > 0:
            raise ConfigError(f"sample_fps must be above 0, got {self.sample_fps}")
        if self.max_num_frames_each_video is not None and self.max_num_frames_each_video < 1:
            raise ConfigError(f"max_num_frames_each_video must be at least 1, got {self.max_num_frames_each_video}")

    @property
    def cell(self) -> int:
        """Pixels a side that one token covers."""
        return self.patch_size * self.merge


class Grid(NamedTuple):
    """Patches of one media item: t frames of h rows and w columns, h and w even.

    Example:
        >>> Grid(4, 16, 16).patches, Grid(4, 16, 16).tokens
        (1024, 64)
    """

    t: int
    h: int
    w: int

    @property
    def patches(self) -> int:
        """Rows of the vision tower's input."""
        return self.t * self.h * self.w

    @property
    def tokens(self) -> int:
        """Tokens of the language model: 2x2 patches each, time pooled away."""
        return self.h * self.w // 4


class Resize(NamedTuple):
    """Size after the resize and before the padding, and the grid after the padding."""

    width: int
    height: int
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Media:
    """Pixels of one image or video chunk as patches, not yet normalised (the model maps x to (x/255 - 0.5)/0.5).

    Attributes:
        patches_NCPP: uint8 [t·h·w, 3, P, P], order t, row, column; padding is 0.
        grid: how they lie.
    """

    patches: NDArray[np.uint8]
    grid: Grid

    def __post_init__(self) -> None:
        side = self.patches.shape[-1]
        if self.patches.dtype != np.uint8 or self.patches.shape != (self.grid.patches, 3, side, side):
            raise ValueError(
                f"expected uint8 patches [{self.grid.patches}, 3, P, P] for {self.grid}, got {self.patches.dtype} "
                f"{list(self.patches.shape)}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Visual:
    """Media whose grid is known and whose pixels are still encoded: what rendering a chat needs, and no more."""

    frames: tuple[Picture, ...]
    plan: Resize
    patch_size: int

    @property
    def grid(self) -> Grid:
        """Patches of the item."""
        return self.plan.grid

    @property
    def tokens(self) -> int:
        """`<|media_pad|>` tokens that the item fills."""
        return self.plan.grid.tokens

    def media(self) -> Media:
        """Decodes, resizes, pads and cuts. Raises MediaError on damaged pixels."""
        patches = [_patches(frame.pixels(), self.plan, self.patch_size) for frame in self.frames]
        return Media(patches[0] if len(patches) == 1 else np.concatenate(patches), self.grid)


class TimedVisual(NamedTuple):
    """A video chunk and the time of its first frame, "hh:mm:ss.fff"."""

    timestamp: str
    visual: Visual


def image_visual(picture: Picture, rules: MediaRules) -> Visual:
    """A still picture as the model sees it; decodes nothing."""
    _refuse_large(picture, rules)
    return Visual((picture,), image_plan(picture.width, picture.height, rules), rules.patch_size)


def video_visuals(clip: Clip, rules: MediaRules) -> tuple[TimedVisual, ...]:
    """The chunks of a clip in order; decodes nothing."""
    _refuse_large(clip.frames[0], rules)
    indices = sample_frames(len(clip.frames), clip.fps, rules)
    plan = image_plan(clip.width, clip.height, rules, limit=rules.in_patch_limit_each_frame)
    starts = range(0, len(indices), rules.frames_per_chunk)
    return tuple(_chunk(clip, indices[start : start + rules.frames_per_chunk], plan, rules) for start in starts)


def image_plan(width: int, height: int, rules: MediaRules, *, limit: int | None = None) -> Resize:
    """The size after the resize, and the grid after the padding.

    Args:
        width: original pixels, at least 1.
        height: original pixels, at least 1.
        rules: patch size and limits.
        limit: patches (before padding) instead of `rules.in_patch_limit`.

    Example:
        >>> image_plan(100, 60, MediaRules())
        Resize(width=100, height=60, grid=Grid(t=1, h=6, w=8))
    """
    if width < 1 or height < 1:
        raise MediaError(f"a picture needs at least 1x1 pixels, this one has {width}x{height}")
    patch, side = rules.patch_size, rules.patch_limit_on_one_side * rules.patch_size
    limit = rules.in_patch_limit if limit is None else limit
    count = max(1, width // patch) * max(1, height // patch)
    # The order of these operations is the official one: int() below feels the last bit.
    scale = min(1.0, math.sqrt(limit / count), side / width, side / height)
    new_width = min(max(1, int(width * scale)), side)
    new_height = min(max(1, int(height * scale)), side)
    rows, columns = -(-new_height // rules.cell), -(-new_width // rules.cell)
    return Resize(new_width, new_height, Grid(1, rows * rules.merge, columns * rules.merge))


def sample_frames(n_frames: int, fps: float, rules: MediaRules) -> list[int]:
    """Which frames of a video are looked at: at most `sample_fps` a second, evenly from the first to the last.

    Example:
        >>> sample_frames(25, 10.0, MediaRules())
        [0, 6, 12, 18, 24]
    """
    count = max(round(n_frames * min(rules.sample_fps, fps) / fps), 1)
    if rules.max_num_frames_each_video is not None:
        count = min(count, rules.max_num_frames_each_video)
    return np.linspace(0, n_frames - 1, count).round().astype(int).tolist()


def timestamp(seconds: float) -> str:
    """Time of day from 0: "hh:mm:ss.fff", milliseconds cut off, 24 hours wrap around.

    Example:
        >>> timestamp(3723.5)
        '01:02:03.500'
    """
    whole = datetime.fromtimestamp(seconds, tz=UTC).strftime("%H:%M:%S")
    return f"{whole}.{int((seconds % 1) * 1000):03d}"


def frame_of(media: "Media", index: int = 0) -> Pixels:
    """One frame as the model sees it, padding included: uint8 [H, W, 3]."""
    _, rows, columns = media.grid
    side = media.patches.shape[-1]
    patches = media.patches[index * rows * columns : (index + 1) * rows * columns]
    grid = patches.reshape(rows, columns, 3, side, side).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(grid.reshape(rows * side, columns * side, 3))


def _chunk(clip: Clip, indices: Sequence[int], plan: Resize, rules: MediaRules) -> TimedVisual:
    frames = tuple(clip.frames[index] for index in indices)
    timed = plan._replace(grid=plan.grid._replace(t=len(frames)))
    return TimedVisual(timestamp(indices[0] / clip.fps), Visual(frames, timed, rules.patch_size))


def _patches(pixels: Pixels, plan: Resize, patch: int) -> NDArray[np.uint8]:
    """One frame [H, W, 3] -> patches [h·w, 3, P, P]."""
    height, width = pixels.shape[:2]
    if (width, height) != (plan.width, plan.height):
        resized = Image.fromarray(pixels).resize((plan.width, plan.height), Image.Resampling.BICUBIC)
        pixels = np.asarray(resized)
    _, rows, columns = plan.grid
    padded = np.zeros((rows * patch, columns * patch, 3), np.uint8)
    padded[: plan.height, : plan.width] = pixels
    cut = padded.reshape(rows, patch, columns, patch, 3).transpose(0, 2, 4, 1, 3)
    return cut.reshape(rows * columns, 3, patch, patch)


def _refuse_large(picture: Picture, rules: MediaRules) -> None:
    count = picture.width * picture.height
    if count > rules.max_pixels:
        raise MediaError(
            f"a picture of {picture.width}x{picture.height} = {count:,} pixels is over the limit of "
            f"{rules.max_pixels:,} (max_pixels); shrink it first"
        )
