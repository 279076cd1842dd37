"""Animated previews of video workflows, with their titles as alt text: real motion, loose words.

The titles name what a workflow does more often than what its clip shows; use them as alt text, not as captions to be
trusted. Frames are AI-generated.

Sources: PyPI `comfyui-workflow-templates-media-assets-02` 0.1.24, `comfyui-workflow-templates-json` 0.1.123 (MIT).
Report: App. B.3 (video).
"""

import functools
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from manyeyes.core.media import Clip, MediaError, Picture
from manyeyes.core.picture import read_error
from manyeyes.data.archives import Archive
from manyeyes.data.collection import Domain, Split
from manyeyes.data.held_out import split_of
from manyeyes.data.record import OF_PRINT, Record, Shown, Turn

CLIPS = Archive(
    "comfyui-workflow-templates-media-assets-02",
    "0.1.24",
    "pypi",
    "ddc94f46da4987ec6e9a4ced6007eaaca126899beea6242ece786e49cd14b065",
)
TITLES = Archive(
    "comfyui-workflow-templates-json",
    "0.1.123",
    "pypi",
    "fc321960cfc4f52dddc3ee111f33489b167eb7958028eb5b6a7f3fa8865a385e",
)


class Clips:
    """One document a clip: the frames, then the title.

    Args:
        split: a tenth is held out, by name.
        folder: where both archives lie.
    """

    name = "preview_clips"
    domain: Domain = "vision"
    kind = "video"

    def __init__(self, split: Split, folder: Path) -> None:
        titles = _titles(TITLES.unpacked(folder, wanted="*/templates/index.json"))
        paths = sorted(CLIPS.unpacked(folder, wanted="*.webp").rglob("*.webp"))
        named = [(path, titles.get(path.stem.rpartition("-")[0])) for path in paths]
        kept = [(path, title) for path, title in named if split_of(f"{self.name}/{path.stem}", per_mille=100) == split]
        self._records = [(path, title, clip) for path, title in kept if title and (clip := animation(path))]

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        """The clip and its title."""
        path, title, clip = self._records[index]
        return Record(f"{self.name}/{path.stem}", (Turn("document", (Shown(0), title)),), (clip,), allowed=OF_PRINT)


def _titles(root: Path) -> dict[str, str]:
    groups = json.loads(next(root.rglob("index.json")).read_text("utf-8"))
    return {item["name"]: item["title"] for group in groups for item in group["templates"] if item.get("title")}


def animation(path: Path) -> Clip | None:
    """An animated picture as a clip; None for a still one. Frames are decoded together, when the first is asked for.

    Raises:
        MediaError: the file is no picture.
    """
    try:
        with Image.open(path) as image:
            count = getattr(image, "n_frames", 1)
            width, height = image.size
            image.load()
            milliseconds = image.info.get("duration") or 100
    except (OSError, UnidentifiedImageError) as error:
        damaged = MediaError(f"{path}: not a picture; fetch the archive again")
        raise read_error(error, str(path)) or damaged from error
    if count < 2:
        return None
    frames = (Picture.lazy(width, height, functools.partial(_frame, path, number)) for number in range(count))
    return Clip(tuple(frames), fps=1000 / milliseconds)


def _frame(path: Path, number: int) -> NDArray[np.uint8]:
    return _frames(path)[number]


@functools.lru_cache(maxsize=4)
def _frames(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            frames = []
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                frames.append(np.asarray(image.convert("RGB")))
    except (OSError, EOFError) as error:
        damaged = MediaError(f"{path}: damaged or cut short; fetch the archive again")
        raise read_error(error, str(path)) or damaged from error
    return np.stack(frames)
