"""Answered held-out questions that a run kept: `examples/<step>.json`, with the pictures as PNG files beside it.

The files are read with suspicion: a picture is a plain file name within the folder, and opens as a picture.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from manyeyes.core.media import MediaError, Picture
from manyeyes.core.runlog import RunFolder
from manyeyes.view.wording import number

FOLDER = "examples"


class Example(NamedTuple):
    """A question, what is right, and what the model said.

    `picture` is None for a question about text, and the first frame for one about a clip.
    """

    name: str
    stage: str
    step: int
    asked: str
    truth: str
    answer: str
    scores: dict[str, float]
    picture: Path | None
    clip: bool = False

    @property
    def held_out(self) -> str:
        """The set that it comes from: its name without split and number."""
        return self.name.rsplit("/", 2)[0]

    @property
    def score(self) -> float | None:
        """Its main score, 0 to 1: exact match, or the mean IoU of boxes."""
        return self.scores.get("exact", self.scores.get("iou"))


def read_examples(folder: RunFolder) -> list[Example]:
    """The newest examples of each held-out set, in the order in which the run kept them; damaged files are left out."""
    newest: dict[str, list[Example]] = {}
    for page in sorted((folder.path / FOLDER).glob("*.json")):
        found = list(_page(page))
        for held_out in dict.fromkeys(example.held_out for example in found):
            newest[held_out] = [example for example in found if example.held_out == held_out]
    return [example for of_set in newest.values() for example in of_set]


def _page(path: Path) -> Iterator[Example]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            yield _example(row, path)


def _example(row: dict[str, Any], page: Path) -> Example:
    texts = {key: str(row.get(key, "")) for key in ("name", "stage", "asked", "truth", "answer")}
    scores = row.get("scores")
    named = {str(key): number(value) for key, value in scores.items()} if isinstance(scores, dict) else {}
    return Example(
        **texts,
        step=int(page.stem) if page.stem.isdecimal() else 0,
        scores={key: value for key, value in named.items() if value is not None},
        picture=_picture(row.get("picture"), page.parent),
        clip=row.get("clip") is True,
    )


def _picture(name: Any, folder: Path) -> Path | None:
    if not isinstance(name, str) or not name or Path(name).name != name:
        return None
    path = folder / name
    try:
        Picture.open(path)
    except MediaError:
        return None
    return path
