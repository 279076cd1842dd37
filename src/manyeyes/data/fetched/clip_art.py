"""Open Clip Art: 7,458 drawings with title, keywords and sometimes a description inside the SVG file.

Source: Debian `openclipart-svg` 1:0.18 (public domain). Report: App. B.3 (captions).
"""

import functools
import html
import re
from pathlib import Path

from manyeyes.data.archives import Archive
from manyeyes.data.fetched.captioned import Item
from manyeyes.data.fetched.drawings import drawing

OPENCLIPART = Archive(
    "openclipart-svg",
    "1:0.18+dfsg-19",
    "debian",
    "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
)

LARGEST = 1_000_000
"""Bytes; larger drawings (traced photographs, mostly) take seconds to draw and are left out."""


def clip_art(folder: Path, *, side: int = 192) -> list[Item]:
    """Drawings with a title; files of one name in several folders share a key."""
    root = OPENCLIPART.unpacked(folder, wanted="usr/share/openclipart/svg/*.svg") / "usr/share/openclipart/svg"
    paths = sorted(path for path in root.rglob("*.svg") if path.stat().st_size <= LARGEST)
    items = (_item(path, side) for path in {path.name: path for path in paths}.values())
    return [item for item in items if item]


_TITLE = re.compile(r"<dc:title>([^<]+)</dc:title>")
_DESCRIPTION = re.compile(r"<dc:description>([^<]+)</dc:description>")
_KEYWORD = re.compile(r"<rdf:li[^>]*>([^<]+)</rdf:li>")
_SAYS_NOTHING = re.compile(r"made with|created with|sodipodi|inkscape|http|unsorted|image/svg", re.IGNORECASE)


def texts_of(source: str) -> tuple[str, ...]:
    """Title with keywords, title, description of a drawing, as far as they say something; empty without a title.

    Example:
        >>> texts_of("<dc:title>Baby-Tux</dc:title><rdf:li>penguin</rdf:li><dc:description>Made with Inkscape<")
        ('Baby-Tux: penguin', 'Baby-Tux')
    """
    title = _text(_TITLE, source)
    if not title:
        return ()
    words = [_clean(word) for word in _KEYWORD.findall(source)]
    keywords = ", ".join(dict.fromkeys(word for word in words if word and not _SAYS_NOTHING.search(word)))
    told = (f"{title}: {keywords}" if keywords else "", title, _text(_DESCRIPTION, source))
    return tuple(dict.fromkeys(text for text in told if text))


def _text(pattern: re.Pattern[str], source: str) -> str:
    text = _clean(match[1]) if (match := pattern.search(source)) else ""
    return "" if _SAYS_NOTHING.search(text) else text


def _clean(text: str) -> str:
    return " ".join(html.unescape(text).replace("_", " ").split())


def _item(path: Path, side: int) -> Item | None:
    captions = texts_of(path.read_text("utf-8", errors="replace"))
    return Item(path.name, functools.partial(drawing, path, side=side), captions) if captions else None
