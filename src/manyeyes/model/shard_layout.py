"""The bytes of a safetensors file before any tensor is in memory: plan shards, lay out a header, check a file's header.

A file is an 8-byte length, a JSON header (name → type, shape, byte range), then the tensors without gaps. Shapes follow
from the config, so every offset of every shard is known before the first tensor arrives: tensors are then written
straight to their place, in any order, and disk space is known to the byte beforehand.

Report: none (format of the released checkpoint: https://github.com/huggingface/safetensors). Needs no torch.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from manyeyes.core.errors import CheckpointError
from manyeyes.model.tensor_names import ITEM_BYTES, Quantization, TensorSpec, Weight, stored_tensors

MAX_SHARD_BYTES = 5 * 10**9
_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100_000_000
"""The limit of the safetensors library itself."""


class Place(NamedTuple):
    """One tensor's byte range in a file."""

    spec: TensorSpec
    start: int
    end: int


class Layout(NamedTuple):
    """A file's header bytes and the place of every tensor."""

    header: bytes
    places: dict[str, Place]

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return max((place.end for place in self.places.values()), default=len(self.header))


class Shard(NamedTuple):
    """One file of a checkpoint: which weights go into it, and as which tensors."""

    file: str
    weights: tuple[Weight, ...]
    layout: Layout


def plan_shards(
    weights: Iterable[Weight], *, dtype: str, quantization: Quantization, max_shard_bytes: int = MAX_SHARD_BYTES
) -> tuple[Shard, ...]:
    """Fill files in order up to `max_shard_bytes` of tensors; the tensors of one weight stay together.

    Example:
        >>> [shard.file for shard in plan_shards([Weight("a", (2,), "a")], dtype="F32", quantization="none")]
        ['model-00001-of-00001.safetensors']
    """
    if max_shard_bytes < 1:
        raise CheckpointError(f"max_shard_bytes must be at least 1, is {max_shard_bytes}")
    groups: list[list[tuple[Weight, tuple[TensorSpec, ...]]]] = [[]]
    filled = 0
    for weight in weights:
        tensors = stored_tensors(weight, dtype=dtype, quantization=quantization)
        size = sum(tensor.n_bytes for tensor in tensors)
        if groups[-1] and filled + size > max_shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append((weight, tensors))
        filled += size
    return tuple(
        Shard(
            f"model-{number:05d}-of-{len(groups):05d}.safetensors",
            tuple(weight for weight, _ in group),
            lay_out([tensor for _, tensors in group for tensor in tensors]),
        )
        for number, group in enumerate(groups, start=1)
    )


def lay_out(tensors: Sequence[TensorSpec]) -> Layout:
    """Header and offsets of a file with these tensors; wide types first, so that each is aligned to its type."""
    ordered = sorted(tensors, key=lambda tensor: -ITEM_BYTES[tensor.dtype])
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in ordered:
        start, end = end, end + tensor.n_bytes
        table[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = _LENGTH.pack(len(text)) + text
    return Layout(header, _places(table, origin=len(header)))


def read_layout(path: Path) -> Layout:
    """The layout of a file on disk; only the header is read.

    Raises:
        CheckpointError: the file is missing, cut short, or no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(_LENGTH.size)
            length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else _MAX_HEADER + 1
            text = file.read(length) if length <= _MAX_HEADER else b""
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if length > _MAX_HEADER:
        raise CheckpointError(f"{path} is no safetensors file ({size:,} bytes); copy or download it again")
    if len(text) < length:
        raise CheckpointError(_cut_short(path, size, f"a header of {length:,} bytes"))
    try:
        layout = Layout(prefix + text, _places(json.loads(text), origin=_LENGTH.size + length))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} has a damaged safetensors header ({error}); copy or download it again"
        ) from error
    if size < layout.n_bytes:
        raise CheckpointError(_cut_short(path, size, f"{layout.n_bytes:,} bytes"))
    if size > layout.n_bytes:
        raise CheckpointError(
            f"{path} has {size:,} bytes, its header accounts for {layout.n_bytes:,}; copy or download it again"
        )
    return layout


def _places(table: dict[str, Any], *, origin: int) -> dict[str, Place]:
    places = {}
    for name, entry in table.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            spec = TensorSpec(name, tuple(entry["shape"]), entry["dtype"])
            if spec.dtype not in ITEM_BYTES or end - start != spec.n_bytes:
                raise ValueError(f"{name}: {spec.dtype} {list(spec.shape)} in {end - start} bytes")
            places[name] = Place(spec, origin + start, origin + end)
    return places


def _cut_short(path: Path, size: int, promised: str) -> str:
    return f"{path} is cut short: its header promises {promised}, the file has {size:,}; copy or download it again"
