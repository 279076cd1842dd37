"""SVG files as lazy pictures of a known size: measured by their header, drawn when pixels are asked for.

Needs `resvg-py`, a renderer in one wheel without system libraries. Fonts of the system are not used, so that a drawing
looks alike everywhere.
"""

import functools
import importlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manyeyes.core.errors import DataError
from manyeyes.core.media import MediaError, Picture


def drawing(path: Path, *, side: int) -> Picture:
    """The drawing with its longer side `side` pixels long, on white.

    Raises:
        MediaError: from `pixels()`, when the file cannot be drawn.
    """
    share = aspect(path.read_text("utf-8", errors="replace"))
    width, height = (side, max(1, round(side / share))) if share >= 1 else (max(1, round(side * share)), side)
    return Picture.lazy(width, height, functools.partial(_drawn, path, width, height))


_ROOT = re.compile(r"<(?:\w+:)?svg\b[^>]*>", re.DOTALL)
_NUMBER = r"([0-9.]+(?:e[-+]?\d+)?)"


def aspect(source: str) -> float:
    """Width by height of an SVG document; 1 when it does not say.

    Example:
        >>> aspect('<svg viewBox="0 0 72 36">'), aspect('<svg width="210mm" height="297mm">') < 1
        (2.0, True)
    """
    root = match[0] if (match := _ROOT.search(source)) else ""
    sides = [re.search(rf'\b{name}\s*=\s*["\']\s*{_NUMBER}(?![0-9.]*\s*%)', root) for name in ("width", "height")]
    box = re.search(rf'viewBox\s*=\s*["\'][-0-9.e]+[ ,]+[-0-9.e]+[ ,]+{_NUMBER}[ ,]+{_NUMBER}', root)
    if all(sides):
        width, height = (float(found[1]) for found in sides if found)
    else:
        width, height = (float(box[1]), float(box[2])) if box else (1.0, 1.0)
    return min(max(width / height, 1 / 16), 16.0) if width > 0 and height > 0 else 1.0


@functools.cache
def _renderer() -> Any:
    try:
        return importlib.import_module("resvg_py")
    except ImportError as error:
        raise DataError("drawings need the package resvg-py; run: pip install resvg-py") from error


def _drawn(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    path.read_bytes()  # the renderer does not tell an unreadable file from a damaged one; this raises OSError
    try:
        png = _renderer().svg_to_bytes(svg_path=str(path), width=width, height=height, dpi=96, skip_system_fonts=True)
        picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    except (ValueError, OSError, RuntimeError) as error:
        raise MediaError(f"{path}: cannot be drawn ({' '.join(str(error).split())[:120]})") from error
    ground = Image.new("RGBA", picture.size, "white")
    out = Image.alpha_composite(ground, picture).convert("RGB")
    return np.asarray(out if out.size == (width, height) else out.resize((width, height)))
