"""A checkpoint folder written so that a kill or a full disk cannot hurt it.

Files are written in a sibling `<folder>.partial`; when all of them are on disk, one rename gives it the real name. A
folder that is replaced is first renamed to `<folder>.previous`, where readers find it if a kill comes in between.
The space needed is known to the byte before the first byte is written.

Report: none. Needs no torch.
"""

import contextlib
import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from manyeyes.core.errors import CheckpointError
from manyeyes.core.out_of_space import out_of_space
from manyeyes.model.checkpoint_folder import INDEX, sibling
from manyeyes.model.config import ModelConfig
from manyeyes.model.shard_layout import Shard
from manyeyes.model.tensor_names import GROUP, Quantization

_SMALL_FILES = 1 << 20
"""Allowance for config.json, the index and directory entries, in bytes."""
_DTYPE_NAMES = {"BF16": "bfloat16", "F32": "float32"}


@contextlib.contextmanager
def staged(folder: Path, *, needed: int, replace: bool = False, keep_partial: bool = False) -> Iterator[Path]:
    """A `<folder>.partial` to write in, which becomes `folder` when the block ends well.

    Args:
        folder: the checkpoint to be.
        needed: bytes that are going to be written.
        replace: an existing `folder` is replaced whole (else it must be empty or absent).
        keep_partial: on failure leave what was written, for a later run to go on from.

    Raises:
        CheckpointError: the folder is taken, the disk is full or cannot be written. What was there before stays.
    """
    if folder.is_file() or (folder.is_dir() and not replace and any(folder.iterdir())):
        raise CheckpointError(f"{folder} is taken; choose a new folder, or ask for it to be replaced")
    partial = sibling(folder, "partial")
    try:
        if not keep_partial:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        _check_space(folder, needed)
        yield partial
        _flush(partial)
        _exchange(partial, folder)
    except BaseException as error:
        if not keep_partial:
            shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise CheckpointError(_write_failure(folder, error, needed)) from error
        raise


def write_index(folder: Path, shards: Sequence[Shard]) -> None:
    """`model.safetensors.index.json`: which file holds which tensor."""
    places = [(place.spec, shard.file) for shard in shards for place in shard.layout.places.values()]
    metadata = {
        "total_parameters": sum(math.prod(weight.shape) for shard in shards for weight in shard.weights),
        "total_size": sum(spec.n_bytes for spec, _ in places),
    }
    weight_map = {spec.name: file for spec, file in sorted(places)}
    write_json(folder / INDEX, {"metadata": metadata, "weight_map": weight_map})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write and flush to disk."""
    with path.open("w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def config_layout(config: ModelConfig) -> dict[str, Any]:
    """The official `config.json` layout, with transformers' own names for the same sizes beside it."""
    layout, vision = config.to_json(), config.vision
    layout["vision_config"] |= {
        "hidden_size": vision.vt_hidden_size,
        "num_hidden_layers": vision.vt_num_hidden_layers,
        "num_attention_heads": vision.vt_num_attention_heads,
        "intermediate_size": vision.vt_intermediate_size,
        "pos_emb_height": vision.init_pos_emb_height,
        "pos_emb_width": vision.init_pos_emb_width,
        "pos_emb_time": vision.init_pos_emb_time,
    }
    return layout | {
        "projection_hidden_size": vision.mm_hidden_size,
        "projection_layer_norm_eps": vision.projector_ln_eps,
        "image_token_id": config.media_placeholder_token_id,
        # transformers asks for a second id for video; images and video chunks share one placeholder, so none is spent.
        "video_token_id": config.text.vocab_size,
    }


def with_storage(layout: Mapping[str, Any], *, dtype: str, quantization: Quantization) -> dict[str, Any]:
    """A copy of a `config.json` layout that says how the weights beside it are stored."""
    said: dict[str, Any] = {"dtype": _DTYPE_NAMES[dtype]}
    if quantization == "int4":
        said["quantization_config"] = _quantization_config()
    # The release says it twice, at the top and in text_config: some readers look only at one of them.
    stored = _without_storage(layout) | said
    if "text_config" in layout:
        stored["text_config"] = _without_storage(layout["text_config"]) | said
    return stored


def _without_storage(layout: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in layout.items() if key not in ("dtype", "torch_dtype", "quantization_config")}


def _check_space(folder: Path, needed: int) -> None:
    if _free(folder) < needed + _SMALL_FILES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _free(folder: Path) -> int:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _exchange(partial: Path, folder: Path) -> None:
    previous = sibling(folder, "previous")
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    partial.rename(folder)
    _flush(folder.absolute().parent)
    shutil.rmtree(previous, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_failure(folder: Path, error: OSError, needed: int) -> str:
    why = out_of_space(error)
    if why is None:
        return f"could not write {folder}: {error.strerror or error}; nothing that was there before is changed"
    return (
        f"{why} ({error.strerror}): {folder} needs {needed:,} bytes, {_free(folder):,} are free; "
        "nothing that was there before is changed, free some space and try again"
    )


def _quantization_config() -> dict[str, Any]:
    weights = {
        "actorder": None,
        "block_structure": None,
        "dynamic": False,
        "group_size": GROUP,
        "num_bits": 4,
        "observer": "minmax",
        "observer_kwargs": {},
        "strategy": "group",
        "symmetric": True,
        "type": "int",
    }
    group = {"input_activations": None, "output_activations": None, "targets": ["Linear"], "weights": weights}
    return {
        "config_groups": {"group_0": group},
        "format": "pack-quantized",
        "ignore": [
            "lm_head",
            "re:.*lm_head.*",
            "re:.*self_attn.*",
            "re:.*shared_experts.*",
            r"re:.*mlp\.(gate|up|gate_up|down)_proj.*",
            "re:.*vision_tower.*",
            "re:.*mm_projector.*",
        ],
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
    }
