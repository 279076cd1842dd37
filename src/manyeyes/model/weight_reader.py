"""Reads one weight at a time from a checkpoint folder, whatever form it is stored in.

A weight may be stored plainly (`x.weight`), as INT4 (`x.weight_packed`, `_scale`, `_shape`) or, as K2 was released, in
FP8 with a scale for each 128 x 128 block (`x.weight` and `x.weight_scale_inv`). `check` compares names and shapes from
the headers alone, so a wrong checkpoint is refused before anything is overwritten.

Report: §4.1 (native INT4). Shapes: O rows, I columns of one matrix.
"""

from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.core.errors import CheckpointError
from manyeyes.model.checkpoint_folder import find_checkpoint, listed, read_contents
from manyeyes.model.int4 import Int4, dequantise
from manyeyes.model.tensor_names import CODES_PER_WORD, GROUP, Shape, Weight, canonical

_DTYPES = {
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F8_E4M3": torch.float8_e4m3fn,
    "I64": torch.int64,
    "I32": torch.int32,
}
_IGNORED = ("rotary_emb.inv_freq",)
"""Tables that older exports stored and that follow from the config."""
_FP8, _FP8_BLOCK = "F8_E4M3", 128


class Expected(NamedTuple):
    """A tensor that a checkpoint must hold, in one of these types."""

    name: str
    shape: Shape
    dtypes: tuple[str, ...]


class WeightReader:
    """A checkpoint folder, weight by weight. Use it as a context manager: it keeps the last file open.

    Raises:
        CheckpointError: from the constructor, when shards are missing or cut short.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = find_checkpoint(Path(folder))
        self._contents = read_contents(self.folder)
        self._file: BufferedReader | None = None

    def __enter__(self) -> "WeightReader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    @property
    def is_text_only(self) -> bool:
        """Whether this is a K2 or Moonlight checkpoint: a language model and nothing else."""
        return all(name.startswith("language_model.") for name in self._contents)

    def is_int4(self, weight: Weight) -> bool:
        """Whether this weight is stored packed."""
        return f"{canonical(weight.name)}_packed" in self._contents

    def stored_name(self, weight: Weight) -> str:
        """What the files call this weight (text-only checkpoints have no `language_model.` prefix)."""
        name = canonical(weight.name)
        suffix = "_packed" if self.is_int4(weight) else ""
        return self._contents[name + suffix].spec.name.removesuffix(suffix)

    def check(self, weights: Iterable[Weight], *, only: tuple[str, ...] = ()) -> None:
        """Refuse a checkpoint that does not hold exactly these weights in these shapes.

        Args:
            weights: what is wanted.
            only: prefixes of official names; anything else in the checkpoint is then ignored.

        Raises:
            CheckpointError: tensors are missing, unexpected, or of another shape or type.
        """
        missing: list[str] = []
        expected: set[str] = set()
        for weight in weights:
            parts = self._parts(weight)
            absent = [spec.name for spec in parts if spec.name not in self._contents]
            missing += absent
            for spec in parts if not absent else ():
                self._check_tensor(spec)
            expected |= {spec.name for spec in parts}
        if missing:
            raise CheckpointError(f"{self.folder} lacks {listed(missing, 'tensor')}; it was written for another model")
        surplus = [name for name in self._contents if name not in expected and not name.endswith(_IGNORED)]
        surplus = [name for name in surplus if not only or name.startswith(only)]
        if surplus:
            raise CheckpointError(
                f"{self.folder} holds {listed(surplus, 'tensor')} that this model does not have; "
                "build the model from the checkpoint's own config.json"
            )

    def read(self, weight: Weight, *, dtype: torch.dtype | None = None) -> Tensor:
        """One weight in `dtype` (None: as stored; quantised ones in bf16).

        Raises:
            CheckpointError: the file cannot be read, or contradicts itself.
        """
        name = canonical(weight.name)
        if self.is_int4(weight):
            return dequantise(self.read_int4(weight), dtype=dtype or torch.bfloat16)
        stored = self._tensor(name)
        if self._contents[name].spec.dtype == _FP8:
            stored = _dequantise_blocks(stored, self._tensor(f"{name}_scale_inv")).to(dtype or torch.bfloat16)
        return stored if dtype is None else stored.to(dtype)

    def read_int4(self, weight: Weight) -> Int4:
        """The three tensors of an INT4 weight as they are stored."""
        name = canonical(weight.name)
        packed, scale, shape = (self._tensor(f"{name}_{part}") for part in ("packed", "scale", "shape"))
        if tuple(shape.tolist()) != weight.shape:
            raise CheckpointError(
                f"{self.folder}: {name}_shape says {shape.tolist()}, the model expects {list(weight.shape)}"
            )
        return Int4(packed, scale, shape.to(torch.int32))

    def in_file_order(self, weights: Iterable[Weight]) -> list[Weight]:
        """The same weights, sorted so that each file is read once from front to back."""
        return sorted(weights, key=self._position)

    def _position(self, weight: Weight) -> tuple[Path, int]:
        stored = self._contents[self._parts(weight)[0].name]
        return stored.path, stored.start

    def _parts(self, weight: Weight) -> tuple[Expected, ...]:
        """The tensors that hold a weight in this checkpoint, in the shapes and types that they must have."""
        name = canonical(weight.name)
        if self.is_int4(weight):
            rows, columns = weight.shape
            return (
                Expected(f"{name}_packed", (rows, -(-columns // CODES_PER_WORD)), ("I32",)),
                Expected(f"{name}_scale", (rows, self._groups(name, columns)), ("BF16",)),
                Expected(f"{name}_shape", (2,), ("I32", "I64")),
            )
        if name in self._contents and self._contents[name].spec.dtype == _FP8:
            blocks = tuple(-(-side // _FP8_BLOCK) for side in weight.shape)
            return Expected(name, weight.shape, (_FP8,)), Expected(f"{name}_scale_inv", blocks, ("F32",))
        return (Expected(name, weight.shape, ("BF16", "F16", "F32")),)

    def _groups(self, name: str, columns: int) -> int:
        """Groups a row, from the scales themselves: other exporters take other group sizes."""
        stored = self._contents.get(f"{name}_scale")
        groups = stored.spec.shape[-1] if stored is not None and stored.spec.shape else 0
        return groups if groups and columns % groups == 0 else columns // GROUP

    def _check_tensor(self, expected: Expected) -> None:
        found = self._contents[expected.name].spec
        if found.shape != expected.shape:
            raise CheckpointError(
                f"{self.folder}: {expected.name} is {list(found.shape)}, this model expects {list(expected.shape)}; "
                "build the model from the checkpoint's own config.json"
            )
        if found.dtype not in expected.dtypes:
            wanted = " or ".join(expected.dtypes)
            raise CheckpointError(f"{self.folder}: {expected.name} is stored as {found.dtype}, expected {wanted}")

    def _tensor(self, name: str) -> Tensor:
        stored = self._contents[name]
        tensor = torch.empty(stored.spec.shape, dtype=_DTYPES[stored.spec.dtype])
        try:
            file = self._open(stored.path)
            file.seek(stored.start)
            n_read = file.readinto(tensor.flatten().view(torch.uint8).numpy().data)
        except OSError as error:
            raise CheckpointError(f"cannot read {stored.path}: {error.strerror}; copy or download it again") from error
        if n_read != stored.spec.n_bytes:
            raise CheckpointError(f"{stored.path} became shorter while it was read; copy or download it again")
        return tensor

    def _open(self, path: Path) -> BufferedReader:
        # Plain reads, not a memory map: the pages of a mapped file would count as a second copy of the model.
        if self._file is None or self._file.name != str(path):
            self.__exit__()
            self._file = path.open("rb")
        return self._file


def _dequantise_blocks(weight_OI: Tensor, scale: Tensor) -> Tensor:
    rows, columns = weight_OI.shape
    spread = scale.repeat_interleave(_FP8_BLOCK, 0)[:rows].repeat_interleave(_FP8_BLOCK, 1)[:, :columns]
    return weight_OI.float() * spread
