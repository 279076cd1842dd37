"""Weights on disk in the official layout: `save`, `load_into`, and `load_model`.

Both ways one weight at a time passes through memory, so saving needs no second model and loading none beside the one it
fills. Names, shapes and files are checked before the first weight is written or overwritten; a folder appears whole or
not at all (see checkpoint_staging).

    save(model, "out", config, dtype=torch.bfloat16, quantization="int4")
    model = load_model("out")

Report: §4.1 (native INT4).
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from manyeyes.core.errors import CheckpointError
from manyeyes.model.checkpoint_folder import CONFIG, read_config
from manyeyes.model.checkpoint_staging import config_layout, staged, with_storage, write_index, write_json
from manyeyes.model.config import ModelConfig
from manyeyes.model.int4 import quantise
from manyeyes.model.multimodal import K25, build
from manyeyes.model.shard_layout import MAX_SHARD_BYTES, Shard, plan_shards
from manyeyes.model.shard_writer import DTYPES, ShardWriter
from manyeyes.model.tensor_names import (
    TEXT,
    Quantization,
    Shape,
    Weight,
    all_weights,
    official_weights,
    parameters,
    stored_tensors,
)
from manyeyes.model.weight_reader import WeightReader

__all__ = ["load_into", "load_model", "read_config", "save"]

Weights: TypeAlias = nn.Module | Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]
OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with (weights done, weights in all)."""

_CODES = {dtype: code for code, dtype in DTYPES.items()}
_ANY_VALUE = ("max_position_embeddings", "rope_scaling", "initializer_range", "aux_loss_alpha")
"""Keys that a later stage may change about the same weights."""


def save(
    weights: Weights,
    folder: str | Path,
    config: ModelConfig,
    *,
    quantization: Quantization = "none",
    dtype: torch.dtype = torch.bfloat16,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    replace: bool = False,
) -> None:
    """Write a checkpoint folder in the official layout, which transformers and `load_model` read.

    Args:
        weights: the network, its state dict, or (name, tensor) pairs in any order, such as a sharded run gathers them.
        folder: must be absent or empty, unless `replace`.
        config: of the network.
        quantization: "int4" stores the routed experts in INT4.
        dtype: bf16 or fp32, for everything else.
        max_shard_bytes: files are cut at this many bytes of tensors.
        replace: an existing folder is replaced whole, once the new one is safely on disk.

    Raises:
        CheckpointError: the weights are not those of `config`, or the disk is full (the message names bytes needed and
            free). Nothing that was there before is lost.
    """
    shards = plan_shards(
        all_weights(config), dtype=dtype_code(dtype), quantization=quantization, max_shard_bytes=max_shard_bytes
    )
    needed = sum(shard.layout.n_bytes for shard in shards)
    with staged(Path(folder), needed=needed, replace=replace) as partial:
        _write_weights(_pairs(weights), partial, shards, config=config, quantization=quantization)
        write_index(partial, shards)
        layout = with_storage(config_layout(config), dtype=dtype_code(dtype), quantization=quantization)
        write_json(partial / CONFIG, layout)


def load_into(
    model: nn.Module, folder: str | Path, *, only: tuple[str, ...] = (), on_progress: OnProgress | None = None
) -> None:
    """Fill a network from a checkpoint folder in any stored form, converting to the network's own dtypes.

    Args:
        model: a `K25` whose parameters have storage (not on the meta device).
        folder: a K2.5 checkpoint, or a text-only K2 or Moonlight one with `only=("language_model.",)`.
        only: prefixes of the parameters to fill; the rest of model and checkpoint is left alone.
        on_progress: called after each weight.

    Raises:
        CheckpointError: one line that says what does not fit; the model is then unchanged, unless a file breaks while
            it is read.
    """
    targets = {name: t for name, t in model.state_dict().items() if not only or name.startswith(only)}
    if not targets:
        raise CheckpointError(f"no parameter of the model begins with {' or '.join(only)}")
    if any(target.is_meta for target in targets.values()):
        raise CheckpointError(
            "the model is on the meta device; use load_model, or call model.to_empty(device=...) first"
        )
    weights = [w for name, target in targets.items() for w in official_weights(name, tuple(target.shape))]
    with WeightReader(folder) as reader:
        _check_kind(model, reader, only)
        reader.check(weights, only=only)
        for number, weight in enumerate(reader.in_file_order(weights), start=1):
            target = targets[weight.parameter]
            target = target if weight.expert is None else target[weight.expert]
            target.copy_(reader.read(weight, dtype=target.dtype))
            if on_progress is not None:
                on_progress(number, len(weights))


def load_model(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    on_progress: OnProgress | None = None,
) -> K25:
    """The network of a checkpoint folder, built from its config.json and filled tensor by tensor.

    Raises:
        CheckpointError: see `load_into`.
    """
    model = build(read_config(folder), device="meta", dtype=dtype).to_empty(device=device)
    load_into(model, folder, on_progress=on_progress)
    return model


def dtype_code(dtype: torch.dtype) -> str:
    """safetensors' code of a dtype that checkpoints may have.

    Raises:
        CheckpointError: neither bf16 nor fp32.
    """
    if dtype not in (torch.bfloat16, torch.float32):
        raise CheckpointError(f"checkpoints are written in torch.bfloat16 or torch.float32, not {dtype}")
    return _CODES[dtype]


def store(weight: Weight, value: Tensor, *, quantization: Quantization) -> Iterator[tuple[str, Tensor]]:
    """The tensors to write for one weight, by name; conversion to the planned types is the writer's."""
    names = [spec.name for spec in stored_tensors(weight, dtype="F32", quantization=quantization)]
    yield from zip(names, (value,) if len(names) == 1 else quantise(value), strict=True)


def _write_weights(
    pairs: Iterable[tuple[str, Tensor]],
    folder: Path,
    shards: Sequence[Shard],
    *,
    config: ModelConfig,
    quantization: Quantization,
) -> None:
    shapes = parameters(config)
    writers = [ShardWriter(folder, shard) for shard in shards]
    writer_of = {name: writer for writer in writers for name in writer.shard.layout.places}
    try:
        for parameter, value in pairs:
            if tuple(value.shape) != shapes.get(parameter) or value.is_meta:
                raise CheckpointError(_foreign(parameter, value, shapes))
            for weight in official_weights(parameter, tuple(value.shape)):
                part = value if weight.expert is None else value[weight.expert]
                for name, tensor in store(weight, part.detach(), quantization=quantization):
                    writer_of[name].write(name, tensor)
        for writer in writers:
            writer.check_complete()
    finally:
        for writer in writers:
            writer.close()


def _foreign(parameter: str, value: Tensor, shapes: Mapping[str, Shape]) -> str:
    if parameter not in shapes:
        return f"{parameter} is no parameter of the given config; save the network with the config it was built from"
    if value.is_meta:
        return f"{parameter} is on the meta device and has no values to save"
    return f"{parameter} has shape {list(value.shape)}, the given config says {list(shapes[parameter])}"


def _pairs(weights: Weights) -> Iterable[tuple[str, Tensor]]:
    if isinstance(weights, nn.Module):
        return weights.state_dict().items()
    return cast(Iterable[tuple[str, Tensor]], weights.items() if isinstance(weights, Mapping) else weights)


def _check_kind(model: nn.Module, reader: WeightReader, only: tuple[str, ...]) -> None:
    """Shapes do not show everything: a model with another top-k or another norm would load and then be wrong."""
    text_wanted = not only or any(prefix.startswith(TEXT) for prefix in only)
    vision_wanted = not only or not all(prefix.startswith(TEXT) for prefix in only)
    if reader.is_text_only and vision_wanted:
        raise CheckpointError(f'{reader.folder} holds only a language model; load it with only=("{TEXT}",)')
    ours = getattr(model, "config", None)
    if not isinstance(ours, ModelConfig) or not (reader.folder / CONFIG).is_file():
        return
    theirs = read_config(reader.folder)
    parts = [(ours.text, theirs.text)] * text_wanted + [(ours.vision, theirs.vision)] * vision_wanted
    for mine, other in parts:
        for field in dataclasses.fields(mine):
            here, there = getattr(mine, field.name), getattr(other, field.name)
            if here != there and field.name not in _ANY_VALUE:
                raise CheckpointError(
                    f"{reader.folder} was written for another configuration: {field.name} is {there} there, {here} in "
                    "this model; build the model from the checkpoint's own config.json"
                )
