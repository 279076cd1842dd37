"""A checkpoint folder read without its weights: its config, and which file holds which tensor.

Headers alone tell every tensor's name, shape and type, so a missing or truncated shard is found before anything is
loaded. Folders may have the K2.5 layout or the text-only one of K2 and Moonlight (no `language_model.` prefix).

Report: none (layout of the released checkpoint). Needs no torch.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.model.config import ModelConfig
from manyeyes.model.shard_layout import read_layout
from manyeyes.model.tensor_names import TensorSpec, canonical

CONFIG, INDEX, SINGLE = "config.json", "model.safetensors.index.json", "model.safetensors"
PREPROCESSOR = "preprocessor_config.json"


class StoredTensor(NamedTuple):
    """One tensor on disk: the file, the tensor as that file names it, and where its bytes begin."""

    path: Path
    spec: TensorSpec
    start: int


def find_checkpoint(folder: Path) -> Path:
    """The folder itself, or `<folder>.previous` where a kill interrupted the last step of a replacement.

    Raises:
        CheckpointError: neither is there.
    """
    previous = sibling(folder, "previous")
    if not folder.exists() and previous.is_dir():
        return previous
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint folder {folder}; expected a folder with {CONFIG} and safetensors files")
    return folder


def sibling(folder: Path, suffix: str) -> Path:
    """`<folder>.<suffix>`, beside the folder."""
    return folder.with_name(f"{folder.name}.{suffix}")


def read_config(folder: str | Path) -> ModelConfig:
    """The configuration of a checkpoint: a K2.5 `config.json`, or a text-only K2 or Moonlight one.

    The release keeps its media rules in a `preprocessor_config.json` beside it; what that says goes before the
    `media_proc_cfg` that our own `config.json` carries.

    Raises:
        CheckpointError: there is no config.json, a file is no JSON, or asks for something that is not implemented.
    """
    path = find_checkpoint(Path(folder)) / CONFIG
    layout, said = read_json(path), _media_rules(path.with_name(PREPROCESSOR))
    try:
        return ModelConfig.from_json(layout | {"media_proc_cfg": layout.get("media_proc_cfg", {}) | said})
    except (ConfigError, TypeError, ValueError, KeyError, AttributeError) as error:
        where = f"{path} with {PREPROCESSOR}" if said else str(path)
        raise CheckpointError(f"{where} is not the config of a K2.5, K2 or Moonlight model: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: the file is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(f"no {path.name} in {path.parent}; is it a checkpoint folder?") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} should hold a JSON object, holds a {type(content).__name__}")
    return content


def read_contents(folder: str | Path) -> dict[str, StoredTensor]:
    """Every tensor of a checkpoint by canonical (K2.5) name. Reads headers only.

    Raises:
        CheckpointError: no weights, a shard is missing or cut short, or the index names tensors that its shards lack.
    """
    folder = find_checkpoint(Path(folder))
    files, indexed = _files(folder)
    absent = [file for file in files if not (folder / file).is_file()]
    if absent:
        raise CheckpointError(
            f"{folder} lacks {listed(absent, 'shard')} of {len(files)}; copy or download what is missing"
        )
    contents = {
        canonical(name): StoredTensor(folder / file, place.spec, place.start)
        for file in files
        for name, place in read_layout(folder / file).places.items()
    }
    lost = [name for name in indexed if canonical(name) not in contents]
    if lost:
        raise CheckpointError(f"{folder / INDEX} names {listed(lost, 'tensor')} that no shard holds; download it again")
    return contents


def listed(names: Sequence[str], noun: str) -> str:
    """One name, or how many and the first.

    Example:
        >>> listed(["a", "b", "c"], "tensor")
        '3 tensors (first: a)'
    """
    return f"{noun} {names[0]}" if len(names) == 1 else f"{len(names):,} {noun}s (first: {names[0]})"


def _media_rules(path: Path) -> dict[str, Any]:
    """The `media_proc_cfg` of a `preprocessor_config.json`, if there is one."""
    rules = read_json(path).get("media_proc_cfg", {}) if path.is_file() else {}
    if not isinstance(rules, dict):
        raise CheckpointError(f"{path}: media_proc_cfg should be a JSON object, is a {type(rules).__name__}")
    return rules


def _files(folder: Path) -> tuple[list[str], Iterable[str]]:
    if (folder / INDEX).is_file():
        weight_map = read_json(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
            raise CheckpointError(f"{folder / INDEX} has no weight_map from tensor names to files; download it again")
        outside = [file for file in weight_map.values() if Path(file).name != file]
        if outside:
            raise CheckpointError(f"{folder / INDEX} points outside its folder: {outside[0]!r}")
        return sorted(set(weight_map.values())), weight_map
    if (folder / SINGLE).is_file():
        return [SINGLE], ()
    raise CheckpointError(f"no weights in {folder}: expected {INDEX} with its shards, or {SINGLE}")
