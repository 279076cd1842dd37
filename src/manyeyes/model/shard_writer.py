"""Writes the tensors of one shard straight to their places, in any order, one in memory at a time.

Report: none.
"""

import os
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from manyeyes.core.errors import CheckpointError
from manyeyes.model.checkpoint_folder import listed
from manyeyes.model.shard_layout import Shard

DTYPES = {"BF16": torch.bfloat16, "F32": torch.float32, "I32": torch.int32}
"""What we write, by safetensors' code."""

_UNFINISHED = ".writing"


class ShardWriter:
    """One file of a checkpoint being written; it gets its name when its last tensor is on disk.

    Raises:
        OSError: from any method, when the disk is full or cannot be written.
    """

    def __init__(self, folder: Path, shard: Shard) -> None:
        self.shard = shard
        self._path = folder / shard.file
        self._waiting = set(shard.layout.places)
        self._file: BinaryIO | None = None

    def write(self, name: str, tensor: Tensor) -> None:
        """Put one tensor in its place; with the last one the file is flushed, closed and named.

        Raises:
            CheckpointError: the shape is not the planned one, or the tensor is already written.
        """
        place = self.shard.layout.places[name]
        if tuple(tensor.shape) != place.spec.shape:
            raise CheckpointError(f"{name} has shape {list(tensor.shape)}, the config says {list(place.spec.shape)}")
        if name not in self._waiting:
            raise CheckpointError(f"{name} came twice")
        file = self._opened()
        file.seek(place.start)
        stored = tensor.detach().to("cpu", DTYPES[place.spec.dtype]).contiguous()
        file.write(stored.flatten().view(torch.uint8).numpy().data)
        self._waiting.discard(name)
        if not self._waiting:
            self._finish(file)

    def close(self) -> None:
        """Give the file back without finishing it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def check_complete(self) -> None:
        """Refuse to go on without every tensor.

        Raises:
            CheckpointError: some never came.
        """
        if self._waiting:
            waiting = [name for name in self.shard.layout.places if name in self._waiting]
            raise CheckpointError(f"the weights to save lack {listed(waiting, 'tensor')}; save a whole model")

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self._path.with_name(self._path.name + _UNFINISHED).open("wb")
            self._file.write(self.shard.layout.header)
        return self._file

    def _finish(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        self.close()
        self._path.with_name(self._path.name + _UNFINISHED).rename(self._path)
