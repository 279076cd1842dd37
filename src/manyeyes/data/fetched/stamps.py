"""Tux Paint stamps: some 950 pictures, many of them photographs, each with a sentence in dozens of languages.

Source: Debian `tuxpaint-stamps-default` 2022.06.04 (GPL-2+ and freer, see its copyright file).
Report: App. B.3 (captions, several languages).
"""

import functools
from collections.abc import Sequence
from pathlib import Path

from manyeyes.core.media import Picture
from manyeyes.data.archives import Archive
from manyeyes.data.fetched.captioned import Item
from manyeyes.data.fetched.drawings import drawing

STAMPS = Archive(
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "debian",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
)


def stamps(folder: Path, *, languages: Sequence[str] = ("en", "zh_CN"), side: int = 256) -> list[Item]:
    """Stamps with a caption in the first language; captions in the others follow."""
    root = STAMPS.unpacked(folder, wanted="usr/share/tuxpaint/stamps/*.[tps][xnv][tg]")
    items = (_item(text, languages, side) for text in sorted(root.rglob("*.txt")))
    return [item for item in items if item]


def captions_of(text: str) -> dict[str, str]:
    """Language to caption; the first line is English.

    Example:
        >>> captions_of("A frog.\\nde.utf8=Ein Frosch.\\n")
        {'en': 'A frog.', 'de': 'Ein Frosch.'}
    """
    first, *rest = text.splitlines() or [""]
    pairs = (line.partition(".utf8=") for line in rest)
    return {"en": first.strip()} | {language: told.strip() for language, found, told in pairs if found and told.strip()}


def _item(text: Path, languages: Sequence[str], side: int) -> Item | None:
    told = captions_of(text.read_text("utf-8", errors="replace"))
    captions = tuple(told[language] for language in languages if told.get(language))
    scan, plan = text.with_suffix(".png"), text.with_suffix(".svg")
    if not captions or languages[0] not in told or not (scan.is_file() or plan.is_file()):
        return None
    load = functools.partial(Picture.open, scan) if scan.is_file() else functools.partial(drawing, plan, side=side)
    return Item(told["en"], load, captions)
