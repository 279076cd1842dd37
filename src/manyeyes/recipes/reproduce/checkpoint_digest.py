"""What a model and this code are, whatever their folders are called: digests of contents.

A run that starts from a checkpoint is known by that checkpoint's bytes, so a path that comes to hold another model
names other runs. The code is noted beside a run and no part of what it is known by: a word in a docstring would repeat
hours.

Report: none.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import manyeyes
from manyeyes.core.errors import CheckpointError

PARTS = ("config.json", "tiktoken.model", "*.safetensors")
"""Of a checkpoint folder, that determine what it computes."""
SOURCES = (".py", ".c", ".cpp", ".h")
SHOWN_ONLY = ("cli", "view", "recipes/reproduce")
"""Rooms whose code changes nothing in what a run computes, but for `MEASURES`."""
MEASURES = "post_measure.py"
LENGTH = 16


def model_digest(folder: Path) -> str:
    """16 hexadecimal digits of a checkpoint's weights, sizes and vocabulary.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    files = sorted({path for part in PARTS for path in folder.glob(part)})
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: expected a checkpoint folder with a config.json, and there is none")
    return _digest(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=64)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """By size and time of the files, so that one which was replaced is read again."""
    return _of((path for path, _, _ in files), files[0][0].parent)


@lru_cache(maxsize=1)
def code_digest() -> str:
    """16 hexadecimal digits of the code that runs compute with."""
    root = Path(manyeyes.__file__).parent
    kept = [path for path in sorted(root.rglob("*")) if path.suffix in SOURCES and not _shown_only(path, root)]
    return _of(kept, root)


def _shown_only(path: Path, root: Path) -> bool:
    return path.name != MEASURES and any((root / room) in path.parents for room in SHOWN_ONLY)


def _of(files: Iterable[Path], root: Path) -> str:
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return whole.hexdigest()[:LENGTH]
