"""`Picture`: an image whose size is known at once and whose pixels are decoded only when asked for.

A file gives its header first: format, size, orientation. A picture with more pixels than `max_pixels` is refused there,
before a byte of it is decoded. Pixels are always uint8 RGB [H, W, 3], upright (EXIF orientation applied).

Departures from the official processor, which calls PIL's `convert("RGB")` and nothing else: EXIF orientation is
applied (phone pictures lie on their side otherwise); transparent pixels are laid over white (their hidden colour,
mostly black, would show otherwise; `background=None` keeps the official behaviour); 16-bit grey keeps its upper 8 bits
(`convert` clips it to white).
"""

import difflib
import errno
import io
import re
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from manyeyes.core.errors import ManyeyesError

Pixels: TypeAlias = NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

MAX_PIXELS = 89_478_485
"""Default bound on width x height: 256 MiB of RGB, the number from which Pillow itself warns."""

WHITE: Colour = (255, 255, 255)

# What opens: no format that starts another program (EPS) or that Pillow cannot decode by itself.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "QOI")

# What Pillow's decoders raise on damaged files (found by flipping bytes), besides OSError.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, AssertionError,
    OverflowError, RuntimeError, MemoryError, struct.error, zlib.error,
)  # fmt: skip

# EXIF orientation -> what makes the picture upright (EXIF 2.3, tag 0x0112).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# What the file's name or place is to blame for: no attempt later would go better.
_OF_THE_RECORD = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


class MediaError(ManyeyesError):
    """A picture or clip that cannot be used."""


class MediaReadError(MediaError, OSError):
    """Storage or memory failed while a picture or clip was read. The file may be whole, so that who can waits and tries
    again: the loader does, as with every `OSError`."""


class Picture:
    """An image: eager size, lazy pixels. Make one with `of`, `open`, `from_bytes` or `lazy`.

    Pixels are not kept: every call of `pixels()` decodes (or renders) again.

    Example:
        >>> picture = Picture.of(np.zeros((60, 100, 3), np.uint8))
        >>> picture.width, picture.height, picture.pixels().shape
        (100, 60, (60, 100, 3))
    """

    __slots__ = ("width", "height", "_load", "_source")

    def __init__(self, width: int, height: int, load: Callable[[], Pixels], source: Path | bytes | None = None) -> None:
        if width < 1 or height < 1:
            raise MediaError(f"a picture needs at least 1x1 pixels, this one has {width}x{height}")
        self.width = int(width)
        self.height = int(height)
        self._load = load
        self._source = source

    @classmethod
    def of(cls, array: Pixels) -> "Picture":
        """A picture of an array: uint8 RGB [H, W, 3] or grey [H, W]. The array is not copied."""
        array = np.asarray(array)
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
            raise MediaError(f"expected uint8 [H, W, 3] or [H, W], got {array.dtype} {list(array.shape)}")
        if array.ndim == 2:
            array = np.repeat(array[:, :, None], 3, axis=2)
        return cls(array.shape[1], array.shape[0], partial(_same, array))

    @classmethod
    def open(cls, path: str | Path, *, max_pixels: int = MAX_PIXELS, background: Colour | None = WHITE) -> "Picture":
        """A picture of a file; reads the header only.

        Args:
            path: a file in one of `FORMATS`; of an animation the first frame counts.
            max_pixels: refuse anything larger before decoding it.
            background: lies under transparent pixels; None drops the alpha channel instead.

        Raises:
            MediaError: no such file, not a picture, or too large. Damage further on shows in `pixels()`.
            MediaReadError: (a MediaError) storage or memory failed, here or in `pixels()`.
        """
        path = existing_file(path, "picture")
        return cls._from(path, str(path), max_pixels, background)

    @classmethod
    def from_bytes(
        cls, data: bytes, *, name: str = "picture", max_pixels: int = MAX_PIXELS, background: Colour | None = WHITE
    ) -> "Picture":
        """A picture of an encoded file in memory, as `open`; `name` is what messages call it."""
        return cls._from(bytes(data), name, max_pixels, background)

    @classmethod
    def lazy(cls, width: int, height: int, load: Callable[[], Pixels]) -> "Picture":
        """A picture that `load` renders when asked: it returns uint8 [height, width, 3]."""
        return cls(width, height, load)

    @classmethod
    def _from(cls, source: Path | bytes, name: str, max_pixels: int, background: Colour | None) -> "Picture":
        header = _read_header(source, name, max_pixels)
        return cls(header.width, header.height, partial(_decode, source, name, header, background), source)

    def pixels(self) -> Pixels:
        """Decodes: uint8 RGB [height, width, 3], upright. Raises MediaError on damage."""
        array = self._load()
        if array.dtype != np.uint8 or array.shape != (self.height, self.width, 3):
            raise MediaError(
                f"expected pixels uint8 {[self.height, self.width, 3]}, the loader returned {array.dtype} "
                f"{list(array.shape)}"
            )
        return array

    @property
    def encoded(self) -> bytes | None:
        """The file's own bytes where the picture came from a file, else None."""
        if not isinstance(self._source, Path):
            return self._source
        try:
            return self._source.read_bytes()
        except OSError as error:
            raise read_error(error, str(self._source)) or MediaError(f"{self._source}: cannot be read") from error

    def __repr__(self) -> str:
        return f"Picture({self.width}x{self.height})"


class _Header(NamedTuple):
    width: int
    height: int
    orientation: int


def _same(array: Pixels) -> Pixels:
    return array


def _read_header(source: Path | bytes, name: str, max_pixels: int) -> _Header:
    try:
        with _opened(source) as image:
            _refuse_bomb(name, image.width, image.height, max_pixels)
            orientation = _orientation(image)
            width, height = image.size if orientation < 5 else image.size[::-1]
            return _Header(width, height, orientation)
    except Image.DecompressionBombError as error:
        found = re.search(r"(\d+) pixels", str(error))
        count = f"{int(found[1]):,} pixels" if found else "too many pixels"
        raise MediaError(_too_large(name, count, max_pixels)) from error
    except _DAMAGED as error:
        raise read_error(error, name) or MediaError(_not_a_picture(source, name)) from error


def _decode(source: Path | bytes, name: str, header: _Header, background: Colour | None) -> Pixels:
    try:
        with _opened(source) as image:
            rgb = _to_rgb(image, background)
            if header.orientation in _UPRIGHT:
                rgb = rgb.transpose(_UPRIGHT[header.orientation])
            return np.asarray(rgb)
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        damaged = MediaError(f"{name}: the picture is damaged or cut short ({_one_line(error)}); save it again")
        raise read_error(error, name) or damaged from error


def _opened(source: Path | bytes) -> Image.Image:
    return Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=FORMATS)


def _orientation(image: Image.Image) -> int:
    # TIFF: Pillow turns it upright itself. PNG: `getexif` would decode everything when EXIF does not stand before the
    # pixels, so only what the header holds counts.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in _UPRIGHT else 1


def _to_rgb(image: Image.Image, background: Colour | None) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.int32).clip(0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("32-bit float pixels have no defined brightness range, convert it to 8 bits")
    if background is not None and image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image)
    return image.convert("RGB")


def _refuse_bomb(name: str, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise MediaError(_too_large(name, f"{width}x{height} = {width * height:,} pixels", max_pixels))


def _too_large(name: str, count: str, max_pixels: int) -> str:
    return f"{name}: {count}, refused before decoding: the limit is {max_pixels:,} pixels (max_pixels); shrink it first"


def _not_a_picture(source: Path | bytes, name: str) -> str:
    try:
        start = source[:64] if isinstance(source, bytes) else _first_bytes(source)
    except OSError as error:
        return f"{name}: cannot be read ({error.strerror})"
    if not start:
        return f"{name}: not a picture, it is empty (0 bytes)"
    kind = f"it holds text ({_preview(start)})" if _is_text(start) else "unknown or damaged format"
    return f"{name}: not a picture, {kind}; expected {', '.join(FORMATS)}"


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", errors="ignore")
    cut_short = len(start) - len(text.encode())  # a character may straddle the end
    return cut_short <= 3 and "".join(text.split()).isprintable()


def _preview(start: bytes) -> str:
    text = " ".join(start.decode("utf-8", errors="ignore").split())
    return repr(text[:24] + ("..." if len(text) > 24 else ""))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def read_error(error: BaseException, name: str) -> MediaError | None:
    """What to raise instead of `error` when the file's contents are not to blame; None when they are.

    The kernel numbers its errors, decoders do not. A name that leads to no file is the record's own fault, a plain
    MediaError; any other number is a MediaReadError, which may pass. EINVAL is the exception: it answers a damaged
    file's jump to a place before its beginning.
    """
    if isinstance(error, MemoryError):
        return MediaReadError(f"{name}: not enough memory to decode it")
    if not isinstance(error, OSError) or error.errno in (None, errno.EINVAL):
        return None
    kind = MediaError if error.errno in _OF_THE_RECORD else MediaReadError
    return kind(f"{name[:200]}: cannot be read ({error.strerror})")


def existing_file(path: str | Path, kind: str) -> Path:
    """The path of a file, or a MediaError that says what lies there instead, or beside it under a similar name."""
    path = Path(path)
    try:
        if path.is_file():
            return path
        raise MediaError(_missing(path, kind))
    except OSError as error:  # a folder that may not be entered, a name that is too long
        storage = read_error(error, str(path))
        missing = MediaError(f"{str(path)[:200]}: no such {kind} ({error.strerror})")
        raise (storage if isinstance(storage, MediaReadError) else missing) from error


def _missing(path: Path, kind: str) -> str:
    if path.is_dir():
        return f"{path}: expected a {kind}, this is a folder"
    if not path.parent.is_dir():
        return f"{path}: no such {kind}, the folder {path.parent} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"{path}: no such {kind}" + (f"; did you mean {near[0]}?" if near else "")
