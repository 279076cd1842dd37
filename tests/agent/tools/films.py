"""Video files whose frames tell their own number, so that a test knows which frame it was given."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

BITS, BLOCK, HEIGHT = 10, 16, 32


def numbered(number: int, *, width: int = BITS * BLOCK, height: int = HEIGHT) -> np.ndarray:
    """A frame with its number in ten blocks, white for 1."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            pixels[:, bit * width // BITS : (bit + 1) * width // BITS] = 255
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """The number that a frame tells, whatever size it has."""
    height, width = pixels.shape[:2]
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return sum(int(pixels[height // 2, column].mean() > 127) << bit for bit, column in enumerate(centres))


def film(
    path: Path,
    frames: int = 60,
    *,
    rate: int = 10,
    codec: str = "libx264",
    key_every: int = 25,
    times: list[float] | None = None,
    rotation: int = 0,
    pixel_format: str = "yuv420p",
    **size: int,
) -> Path:
    """Write a film; `times` are those of its frames in seconds, where they do not come evenly."""
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options={"g": str(key_every)})
        first = numbered(0, **size)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], pixel_format
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(number, **size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers_in(path: Path) -> list[tuple[float, int]]:
    """When each frame of a file is shown, and its number."""
    with av.open(path) as container:
        return [
            (float(frame.time or 0), number_of(frame.to_ndarray(format="rgb24"))) for frame in container.decode(video=0)
        ]


def picture(path: Path, width: int, height: int, *, format: str = "PNG", **saved: Any) -> Path:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    written = io.BytesIO()
    image.save(written, format, **saved)
    path.write_bytes(written.getvalue())
    return path
