"""Pictures and films that come inside a request, as data URLs; nothing is fetched.

A header says how many pixels there will be: more than the limit, and not one of them is decoded.

Report: §4.2 (what the model sees); the form is that of OpenAI's `image_url` and Moonshot's `video_url`.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from manyeyes.core.media import Clip, Grid, Media, MediaRules, Picture
from manyeyes.inference.serve_errors import bad


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Of one picture or film.

    Attributes:
        file_bytes: of the encoded file.
        pixels: of a picture, or of a film's frame, before it is decoded.
        frames: of a film.
        all_pixels: of all pictures of a request: some 20 seconds of decoding.
    """

    file_bytes: int = 32 * 2**20
    pixels: int = 50_000_000
    frames: int = 20_000
    all_pixels: int = 2_000_000_000

    def refuse_many(self, pictures: Iterable[Picture], param: str) -> None:
        """Raises ApiError for pictures that take too long to decode together."""
        pixels = sum(picture.width * picture.height for picture in pictures)
        if pixels > self.all_pixels:
            raise bad(f"pictures of {pixels:,} pixels in all; at most {self.all_pixels:,} are taken at once", param)


def picture_of(url: str, param: str, limits: MediaLimits) -> Picture:
    """The picture of a data URL; its pixels are not decoded yet. Raises ApiError or MediaError."""
    return Picture.from_bytes(_content(url, "image", param, limits), name=param, max_pixels=limits.pixels)


def clip_of(url: str, param: str, limits: MediaLimits) -> Clip:
    """The film of a data URL. Raises ApiError or MediaError."""
    clip = Clip.from_bytes(_content(url, "video", param, limits), name=param, max_pixels=limits.pixels)
    if len(clip.frames) > limits.frames:
        raise bad(f"a film of {len(clip.frames):,} frames; at most {limits.frames:,} are taken", param)
    return clip


def raw_media(grid: tuple[int, int, int], patches: str, param: str, rules: MediaRules) -> Media:
    """Patches that were cut elsewhere: base64 of uint8 [t·h·w, 3, P, P]. Raises ApiError."""
    shape = Grid(*grid)
    if min(shape) < 1 or shape.h % rules.merge or shape.w % rules.merge or shape.t > rules.frames_per_chunk:
        raise bad(
            f"grid [t, h, w] needs t of 1 to {rules.frames_per_chunk} and even h and w, got {list(grid)}",
            f"{param}.grid",
        )
    side = rules.patch_size
    content, expected = _base64(patches, f"{param}.patches"), shape.patches * 3 * side * side
    if len(content) != expected:
        raise bad(f"expected {expected:,} bytes of patches for this grid, got {len(content):,}", f"{param}.patches")
    return Media(np.frombuffer(content, np.uint8).reshape(shape.patches, 3, side, side), shape)


def _content(url: str, kind: str, param: str, limits: MediaLimits) -> bytes:
    head, comma, body = url.partition(",")
    if not head.startswith("data:"):
        raise bad("only data URLs are taken (data:image/png;base64,...): this server fetches nothing", param)
    if not comma or not head.startswith(f"data:{kind}/") or not head.endswith(";base64"):
        raise bad(f"expected data:{kind}/...;base64,... and got {head[:60]!r}", param)
    if len(body) > limits.file_bytes * 4 // 3 + 4:
        raise bad(f"a file of more than {limits.file_bytes:,} bytes", param)
    return _base64(body, param)


def _base64(text: str, param: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise bad("not base64", param) from None
