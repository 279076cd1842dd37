"""OpenMoji: 4,495 colour drawings of emoji with their names and tags.

Source: npm `openmoji` 17.0.0 (CC-BY-SA-4.0). Report: App. B.3 (captions).
"""

import functools
import json
from pathlib import Path

from manyeyes.data.archives import Archive
from manyeyes.data.fetched.captioned import Item
from manyeyes.data.fetched.drawings import drawing

OPENMOJI = Archive("openmoji", "17.0.0", "npm", "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68")


def openmoji(folder: Path, *, side: int = 144) -> list[Item]:
    """All emoji that have a colour drawing, those of one base emoji (skin tones) under one key."""
    root = OPENMOJI.unpacked(folder, wanted="package/[dc]*[ar]/*") / "package"
    rows = json.loads((root / "data" / "openmoji.json").read_text("utf-8"))
    return [_item(row, root / "color" / "svg" / f"{row['hexcode']}.svg", side) for row in rows if _drawn(row, root)]


def _drawn(row: dict, root: Path) -> bool:
    return (root / "color" / "svg" / f"{row['hexcode']}.svg").is_file()


def _item(row: dict, path: Path, side: int) -> Item:
    name = row["annotation"]
    tags = [tag.strip() for tag in f"{row['tags']}, {row['openmoji_tags']}".split(",")]
    described = f"{name}: {', '.join(dict.fromkeys(tag for tag in tags if tag))}"
    captions = (name, described) if described != f"{name}: " else (name,)
    key = row["skintone_base_hexcode"] or row["hexcode"]
    return Item(key, functools.partial(drawing, path, side=side), captions)
