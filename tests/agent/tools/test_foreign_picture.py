"""Pictures that a stranger's program sent: whole ones of the web's formats, or a reason why not."""

import io

import numpy as np
import pytest
from PIL import Image

from manyeyes.agent.tools.foreign_picture import foreign_picture
from manyeyes.agent.wire import data_url
from manyeyes.core.picture import MediaError

NOISE = np.random.Generator(np.random.Philox(1)).integers(0, 255, (64, 48, 3), dtype=np.uint8)


def written(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(NOISE).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_whole_pictures_pass_and_can_be_written_down(kind: str) -> None:
    picture = foreign_picture(written(kind), name="the plot")
    assert (picture.width, picture.height) == (48, 64) and data_url(picture).startswith("data:image/")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_damage_behind_the_header_is_found_at_once(kind: str) -> None:
    content = written(kind)
    with pytest.raises(MediaError):
        foreign_picture(content[: len(content) * 6 // 10], name="the plot")


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM", "JPEG2000", "ICO"])
def test_other_decoders_are_not_asked(kind: str) -> None:
    with pytest.raises(MediaError, match="expected a PNG"):
        foreign_picture(written(kind), name="the plot")


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    out = io.BytesIO()
    Image.new("1", (6_000, 6_000)).save(out, "PNG")
    with pytest.raises(MediaError, match="refused before decoding"):
        foreign_picture(out.getvalue(), name="the plot")
