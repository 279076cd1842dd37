"""Media on the wire: patches put together as a picture again, as a PNG in a data URL; nothing is lost.

A server cuts the picture into patches by the same rules. It is a whole number of cells large, so that no server resizes
or pads it, unless it is over the patch limit, which counts before padding (core.media): then the tokens do not match,
and the samplers say so.

Report: §4.2; the rules are those of the released processor.
"""

import base64
import io
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manyeyes.core.media import Media, frame_of
from manyeyes.core.sampler import RequestError


class Run(NamedTuple):
    """A run of `<|media_pad|>`: where it begins and how many there are."""

    start: int
    length: int


def png_url(media: Media) -> str:
    """A still picture as a data URL.

    Raises:
        RequestError: a chunk of a video, which is no picture.
    """
    if media.grid.t != 1:
        raise RequestError(
            f"a video chunk of {media.grid.t} frames cannot be sent to this server with its tokens; send single frames "
            "as pictures, or use the embedded engine or a manyeyes server"
        )
    buffer = io.BytesIO()
    Image.fromarray(frame_of(media)).save(buffer, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def runs_of(ids: NDArray[np.int32], media: Sequence[Media], pad: int) -> list[Run]:
    """The run that each item fills.

    Raises:
        RequestError: they do not fit each other.
    """
    at = np.flatnonzero(ids == pad)
    sizes = [item.grid.tokens for item in media]
    if len(at) != sum(sizes):
        raise RequestError(f"{len(at)} media tokens do not fit {len(media)} items of {sum(sizes)} tokens in all")
    runs = [Run(int(at[first]), size) for first, size in zip(accumulate([0, *sizes]), sizes, strict=False)]
    if any((ids[run.start : run.start + run.length] != pad).any() for run in runs):
        raise RequestError(f"runs of media tokens do not fit items of {sizes} tokens")
    return runs


def collapsed(ids: NDArray[np.int32], runs: Sequence[Run]) -> NDArray[np.int32]:
    """Ids with one media token for each item."""
    keep = np.ones(len(ids), bool)
    for run in runs:
        keep[run.start + 1 : run.start + run.length] = False
    return ids[keep]
