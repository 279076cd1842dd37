"""Pixels of a media item as one PNG and back: lossless, named by a hash of the pixels, and a browser shows it.

Report: none.
"""

import hashlib
import io

import numpy as np
from PIL import Image

from manyeyes.core.media import Grid, Media


def media_name(media: Media) -> str:
    """The hash of an item's pixels, grid and patch side."""
    digest = hashlib.sha256(b"media %d %d %d %d\n" % (*media.grid, media.patches.shape[-1]))
    digest.update(np.ascontiguousarray(media.patches).data)
    return digest.hexdigest()


def media_png(media: Media) -> bytes:
    """Patches put together again; the frames of a clip below each other."""
    (t, h, w), side = media.grid, media.patches.shape[-1]
    pixels = media.patches.reshape(t, h, w, 3, side, side).transpose(0, 1, 4, 2, 5, 3)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels).reshape(t * h * side, w * side, 3)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def media_of(png: bytes, grid: Grid) -> Media:
    """The patches of a picture that `media_png` made."""
    pixels = np.asarray(Image.open(io.BytesIO(png), formats=["PNG"]))
    t, h, w = grid
    side = pixels.shape[1] // w
    cut = pixels.reshape(t, h, side, w, side, 3).transpose(0, 1, 3, 5, 2, 4)
    return Media(np.ascontiguousarray(cut.reshape(t * h * w, 3, side, side)), grid)
