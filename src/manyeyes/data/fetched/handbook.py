"""The Debian handbook: text with screenshots in between, in two dozen languages.

A page is cut at paragraphs into records that hold one figure, or the figures of one paragraph, with the text around
them. Pages of all languages that tell the same go to the same split.

Source: Debian `debian-handbook` 11.20220922 (GPL-2+ or CC-BY-SA-3.0). Report: App. B.3 (interleaved; GUI screenshots).
"""

from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from manyeyes.core.media import Picture
from manyeyes.data.archives import Archive
from manyeyes.data.collection import Domain, Split
from manyeyes.data.held_out import split_of
from manyeyes.data.record import OF_PRINT, Record, Shown, Turn

HANDBOOK = Archive(
    "debian-handbook",
    "11.20220922",
    "debian",
    "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
)

CHARACTERS = 1_500
"""Text around the figures of one record, at most."""


class Block(NamedTuple):
    """A heading, paragraph or caption; or, with `picture`, a picture."""

    text: str
    picture: Path | None = None


class Handbook:
    """Stretches of pages that hold pictures.

    Args:
        split: a twentieth of the pages is held out, by file name.
        folder: where the archive lies.
        languages: folders of the handbook.
    """

    name = "debian_handbook"
    domain: Domain = "vision"
    kind = "interleaved"

    def __init__(self, split: Split, folder: Path, *, languages: Sequence[str] = ("en-US", "zh-CN")) -> None:
        root = HANDBOOK.unpacked(folder, wanted="usr/share/doc/debian-handbook/html/*")
        pages = [
            page
            for language in languages
            for page in sorted((root / "usr/share/doc/debian-handbook/html" / language).glob("*.html"))
            if split_of(f"{self.name}/{page.name}") == split
        ]
        self._stretches = [
            (f"{page.parent.name}/{page.stem}/{number}", stretch)
            for page in pages
            for number, stretch in enumerate(stretches(blocks(page)))
        ]

    def __len__(self) -> int:
        return len(self._stretches)

    def record(self, index: int) -> Record:
        """Text and pictures in order, as one document."""
        name, stretch = self._stretches[index]
        pieces: list[str | Shown] = []
        media: list[Picture] = []
        for block in stretch:
            if block.picture:
                pieces.append(Shown(len(media)))
                media.append(Picture.open(block.picture))
            pieces.append(block.text + "\n\n" if not block.picture else "\n\n")
        return Record(f"{self.name}/{name}", (Turn("document", tuple(pieces)),), tuple(media), allowed=OF_PRINT)


def stretches(found: Sequence[Block]) -> Iterator[list[Block]]:
    """Neighbouring blocks with at least one picture and about `CHARACTERS` of text, cut so that captions stay below."""
    stretch: list[Block] = []
    for block in found:
        full = sum(len(other.text) for other in stretch) + len(block.text) > CHARACTERS
        after_picture = bool(stretch) and stretch[-1].picture is not None
        if full and not block.picture and not after_picture:
            if any(other.picture for other in stretch):
                yield stretch
            stretch = []
        stretch = [*stretch, block]
    if any(other.picture for other in stretch):
        yield stretch


def blocks(page: Path) -> list[Block]:
    """Headings, paragraphs, list items, listings and pictures of a page, in order."""
    reader = _Reader(page)
    reader.feed(page.read_text("utf-8", errors="replace"))
    return reader.found


class _Reader(HTMLParser):
    """Collects text of block elements; skips navigation."""

    BLOCKS = {"h1", "h2", "h3", "h4", "h5", "p", "li", "pre", "div", "dt", "dd", "td", "th"}
    SKIPPED = {"docnav", "toc", "banner"}

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[Block] = []
        self._page, self._text = page, ""
        self._skipping: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = set(f"{given.get('class') or ''} {given.get('id') or ''}".split())
        if self._skipping:
            self._skipping += [tag] if tag == self._skipping[0] else []
        elif classes & self.SKIPPED and tag in ("ul", "div") or tag in ("head", "script", "style"):
            self._skipping = [tag]
        elif tag == "img":
            self._flush()
            path = self._page.parent / (given.get("src") or "")
            if path.suffix == ".png" and path.parent.name == "images" and "Common_Content" not in path.parts:
                self.found += [Block("", path)] if path.is_file() else []
        elif tag in self.BLOCKS:
            self._flush()

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._skipping = self._skipping[:-1] if tag == self._skipping[0] else self._skipping
        elif tag in self.BLOCKS:
            self._flush()

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._text += data

    def _flush(self) -> None:
        text = " ".join(self._text.split())
        self.found += [Block(text)] if text else []
        self._text = ""
