"""Typefaces that come inside wheels: Aileron in Pillow, DejaVu and STIX in matplotlib's wheel.

DejaVu and STIX have Latin, Greek and Cyrillic letters; Pillow's cut of Aileron has ASCII only. None has Chinese,
Japanese or Korean characters: `cjk` names Debian's fonts-noto-cjk, which recipe `small` fetches.

Report: App. B.3 (OCR in several languages).
"""

import importlib.util
import threading
from functools import cache, lru_cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

from manyeyes.core.errors import DataError

FILES = {
    "sans": "DejaVuSans.ttf",
    "bold": "DejaVuSans-Bold.ttf",
    "serif": "DejaVuSerif.ttf",
    "mono": "DejaVuSansMono.ttf",
    "times": "STIXGeneral.ttf",
    "italic": "DejaVuSerif-Italic.ttf",
}
ASCII = ("aileron", "sans", "bold", "serif", "mono", "times")
"""Faces for English and digits."""
EVERY_SCRIPT = ("sans", "bold", "serif", "mono", "times")
"""Faces with accented Latin, Greek and Cyrillic letters."""
NOTO_CJK = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
"""Where Debian's fonts-noto-cjk puts it."""

drawing = threading.Lock()
"""FreeType faces are shared between loader threads; hold this while text is drawn."""


@lru_cache(maxsize=512)
def font(face: str, size: int) -> ImageFont.FreeTypeFont:
    """A face at `size` pixels: "aileron", a key of `FILES`, or "cjk".

    Raises:
        DataError: the wheel or package that holds the face is not installed.
    """
    if face == "aileron":
        return ImageFont.load_default(size)  # pyright: ignore[reportReturnType]  # FreeType is in every Pillow wheel
    path = NOTO_CJK if face == "cjk" else dejavu(face)
    if not path.is_file():
        raise DataError(f"font {face!r} is not at {path}; install Debian's fonts-noto-cjk, or leave out zh, ja and ko")
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


@cache
def dejavu(face: str) -> Path:
    """The file of a face that ships in matplotlib's wheel (matplotlib itself is not imported)."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"font {face!r} ships in matplotlib's wheel; pip install 'manyeyes[demo]'")
    return Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / FILES[face]


@lru_cache(maxsize=65_536)
def extent(face: str, size: int, text: str) -> tuple[int, int, int, int]:
    """Where the ink of `text` falls when drawn at (0, 0), in pixels: left, top, right, bottom."""
    with drawing:
        left, top, right, bottom = font(face, size).getbbox(text)
    return int(left), int(top), int(right), int(bottom)


def put(canvas: ImageDraw.ImageDraw, at: tuple[float, float], text: str, *, face: str, size: int, fill) -> None:
    """Draw a line of text with its origin (left end of the ascender line) at `at`."""
    with drawing:
        canvas.text(at, text, font=font(face, size), fill=fill)
