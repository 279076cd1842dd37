"""Converts a checkpoint folder between INT4, bf16 and fp32, shard by shard; goes on where a stopped conversion ended.

Finished shards wait in `<target>.partial`, beside a note of which conversion they belong to. One weight at a time is in
memory. INT4 weights that stay INT4 are copied as they are. To bf16 a code times its scale is rounded once, to fp32 it
is exact, so INT4 → fp32 → INT4 returns the same codes and scales wherever a group's largest code is ±7.

Report: §4.1 (native INT4).
"""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from manyeyes.core.errors import CheckpointError
from manyeyes.model.checkpoint import dtype_code, store
from manyeyes.model.checkpoint_folder import CONFIG, INDEX, read_config, read_json, sibling
from manyeyes.model.checkpoint_staging import staged, with_storage, write_index, write_json
from manyeyes.model.shard_layout import MAX_SHARD_BYTES, Shard, plan_shards, read_layout
from manyeyes.model.shard_writer import ShardWriter
from manyeyes.model.tensor_names import TEXT, Quantization, Weight, all_weights, stored_tensors
from manyeyes.model.weight_reader import WeightReader

_NOTE = "conversion.json"


class Progress(NamedTuple):
    """How far a conversion is.

    Attributes:
        shard, shards: this many files of so many are done.
        done_bytes, total_bytes: written, and to be written in all.
        reused: the file was finished by an earlier run.

    Example:
        Progress(shard=3, shards=64, done_bytes=27_000_000_000, total_bytes=595_000_000_000, reused=False)
    """

    shard: int
    shards: int
    done_bytes: int
    total_bytes: int
    reused: bool


def convert(
    source: str | Path,
    target: str | Path,
    *,
    quantization: Quantization,
    dtype: torch.dtype = torch.bfloat16,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    """Write `target` with the weights of `source` in another stored form; tokenizer and other small files come along.

    Args:
        source: a K2.5 checkpoint folder, or a text-only K2 or Moonlight one (its names are kept).
        target: must be absent or empty.
        quantization: "int4" stores the routed experts in INT4.
        dtype: bf16 or fp32, for everything that is not quantised.
        max_shard_bytes: files are cut at this many bytes of tensors.
        on_progress: called after each file.

    Raises:
        CheckpointError: the source does not fit its config, or the disk is full. Finished files are kept: the same call
            goes on from them.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise CheckpointError(f"cannot convert {source} into itself; choose another target folder")
    with WeightReader(source) as reader:
        weights = _weights(reader)
        code = dtype_code(dtype)
        shards = plan_shards(weights, dtype=code, quantization=quantization, max_shard_bytes=max_shard_bytes)
        note = _note(reader, dtype=code, quantization=quantization, max_shard_bytes=max_shard_bytes)
        finished = _finished(sibling(target, "partial"), shards, note)
        needed = sum(shard.layout.n_bytes for shard in shards if shard.file not in finished)
        with staged(target, needed=needed, keep_partial=True) as partial:
            write_json(partial / _NOTE, note)
            _write_shards(reader, partial, shards, finished, quantization=quantization, on_progress=on_progress)
            _write_small_files(reader.folder, partial, shards, dtype=code, quantization=quantization)
    # Only now: a kill before the rename must find the note, to go on from here.
    (target / _NOTE).unlink()


def _weights(reader: WeightReader) -> list[Weight]:
    """Everything the source holds, named as the source names it."""
    weights = list(all_weights(read_config(reader.folder)))
    if reader.is_text_only:
        weights = [weight for weight in weights if weight.name.startswith(TEXT)]
    reader.check(weights)
    return [weight._replace(name=reader.stored_name(weight)) for weight in weights]


def _note(reader: WeightReader, **asked: Any) -> dict[str, Any]:
    files = sorted(reader.folder.glob("*.safetensors"))
    sizes = {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}
    return {"source": str(reader.folder.resolve()), "files": sizes, **asked}


def _finished(partial: Path, shards: Iterable[Shard], note: dict[str, Any]) -> set[str]:
    """Files of an earlier run of the same conversion that are whole."""
    if not partial.is_dir() or not any(partial.iterdir()):
        return set()
    if not (partial / _NOTE).is_file() or read_json(partial / _NOTE) != json.loads(json.dumps(note)):
        raise CheckpointError(f"{partial} is left from another conversion; delete it, or choose another target")
    there = [shard for shard in shards if (partial / shard.file).is_file()]
    return {shard.file for shard in there if read_layout(partial / shard.file) == shard.layout}


def _write_shards(
    reader: WeightReader,
    folder: Path,
    shards: tuple[Shard, ...],
    finished: set[str],
    *,
    quantization: Quantization,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    total, done = sum(shard.layout.n_bytes for shard in shards), 0
    for number, shard in enumerate(shards, start=1):
        if shard.file not in finished:
            _write_shard(reader, ShardWriter(folder, shard), quantization=quantization)
        done += shard.layout.n_bytes
        if on_progress is not None:
            on_progress(Progress(number, len(shards), done, total, shard.file in finished))


def _write_shard(reader: WeightReader, writer: ShardWriter, *, quantization: Quantization) -> None:
    try:
        for weight in writer.shard.weights:
            for name, tensor in _converted(reader, weight, quantization):
                writer.write(name, tensor)
    finally:
        writer.close()


def _converted(reader: WeightReader, weight: Weight, quantization: Quantization) -> Iterable[tuple[str, torch.Tensor]]:
    quantised = quantization == "int4" and weight.is_quantisable
    if quantised and reader.is_int4(weight):
        names = (spec.name for spec in stored_tensors(weight, dtype="F32", quantization=quantization))
        return zip(names, reader.read_int4(weight), strict=True)
    # fp32 holds every stored form exactly, so the one rounding left is the writer's.
    return store(weight, reader.read(weight, dtype=torch.float32), quantization=quantization)


def _write_small_files(
    source: Path, folder: Path, shards: tuple[Shard, ...], *, dtype: str, quantization: Quantization
) -> None:
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".safetensors" and file.name not in (CONFIG, INDEX, _NOTE):
            shutil.copy2(file, folder / file.name)
    write_json(folder / CONFIG, with_storage(read_json(source / CONFIG), dtype=dtype, quantization=quantization))
    write_index(folder, shards)
