"""Frames and pictures as agents are shown them: upright, scaled down, written anew.

    frame      its longer side at most `side` pixels
    picture    as many pixels as a square of `side` has, whatever its shape: a tall page stays legible

Nothing is ever scaled up. JPEG for what a camera or a video gave, PNG for what was drawn, while that is small.

Report: App. E.4 (spatial resolution of frames).
"""

import io
import math

import av
import numpy as np
from PIL import Image

from manyeyes.core.picture import Pixels

LARGEST_PNG = 2**20
"""Bytes of a picture that is shown as PNG; a larger one is shown as JPEG."""
LONGEST_SHAPE = 4
"""How many times `side` the longer side of a picture may have."""


def upright(frame: av.VideoFrame, *, side: int) -> Pixels:
    """A frame as RGB [H, W, 3], upright, its longer side at most `side` pixels; never larger than it is."""
    width, height = fitted(frame.width, frame.height, side=side)
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.ascontiguousarray(np.rot90(pixels, quarters(frame)), dtype=np.uint8)


def fitted(width: int, height: int, *, side: int) -> tuple[int, int]:
    """A size whose longer side is at most `side`, never larger than it was.

    Example:
        >>> fitted(1920, 1080, side=448), fitted(320, 180, side=448)
        ((448, 252), (320, 180))
    """
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def jpeg(pixels: Pixels, *, quality: int = 88) -> bytes:
    """Pixels as a JPEG file."""
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", quality=quality)
    return written.getvalue()


def scaled(pixels: Pixels, *, side: int) -> Pixels:
    """A picture of at most `side` x `side` pixels in area, whatever its shape; never larger than it was."""
    height, width = pixels.shape[:2]
    longer = side * min(LONGEST_SHAPE, math.sqrt(max(width, height) / min(width, height)))
    size = fitted(width, height, side=int(longer))
    if size == (width, height):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def quarters(frame: av.VideoFrame) -> int:
    """Quarter turns to the left that make a frame upright."""
    return round(frame.rotation / 90)


def encoded(pixels: Pixels, *, lossless: bool) -> bytes:
    """A picture as a file: PNG for what was drawn (screens, plots), unless it is large; JPEG for photographs."""
    if lossless:
        written = io.BytesIO()
        Image.fromarray(pixels).save(written, "PNG")
        if written.tell() <= LARGEST_PNG:
            return written.getvalue()
    return jpeg(pixels)
