"""Training checkpoints: everything a killed run needs to go on bit for bit, written so that a kill cannot hurt it.

A checkpoint is a folder `step_00001234/` with `weights.safetensors`, `optimizer.safetensors` and `state.json` (stage,
step, planner state, counters). It is written as `.incomplete`, flushed to disk, then renamed; the one before it is kept
as well. There is no generator state to save (see core.seeds). Weights for other programs are exported in the official
layout by `model.checkpoint` at the end of a run.

Report: App. C.1 (any interruption resumes exactly).
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch

from manyeyes.core.errors import CheckpointError
from manyeyes.core.out_of_space import out_of_space

KEPT = 2
_STATE, _WEIGHTS, _OPTIMIZER = "state.json", "weights.safetensors", "optimizer.safetensors"


class TrainingCheckpoint(NamedTuple):
    """One checkpoint read back.

    Attributes:
        state: the JSON that `save` was given.
        weights: tensors by their names in the system.
        optimizer: tensors by name.
    """

    state: dict[str, Any]
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]


def save(
    folder: Path,
    step: int,
    *,
    state: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    optimizer: Mapping[str, torch.Tensor],
) -> Path:
    """Write `folder/step_<step>` atomically; keep it and the one before, drop older and unfinished ones.

    Checkpoints of later steps are dropped too: the run went back past them, because they were damaged.

    Raises:
        CheckpointError: the disk is full or cannot be written; earlier checkpoints stay as they were.
    """
    final = folder / f"step_{step:08d}"
    partial = folder / f"step_{step:08d}.incomplete"
    for leftover in folder.glob("*.incomplete"):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        _write(partial, state, weights, optimizer)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _flush(folder)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(_write_failure(folder, error)) from error
    kept = [path for path in _complete(folder) if path.name <= final.name][-KEPT:]
    for path in _complete(folder):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)
    return final


def _write(
    path: Path, state: Mapping[str, Any], weights: Mapping[str, torch.Tensor], optimizer: Mapping[str, torch.Tensor]
) -> None:
    path.mkdir(parents=True)
    safetensors.torch.save_file(_plain(weights), path / _WEIGHTS)
    safetensors.torch.save_file(_plain(optimizer), path / _OPTIMIZER)
    (path / _STATE).write_text(json.dumps(dict(state), indent=1))
    for part in (path / _WEIGHTS, path / _OPTIMIZER, path / _STATE, path):
        _flush(part)


def load_newest(folder: Path, *, fingerprint: str) -> TrainingCheckpoint | None:
    """The newest checkpoint that is whole, or None when there is none. A damaged one is passed over for the one before.

    Raises:
        CheckpointError: checkpoints are there, but none can be read; or the newest was made with another configuration.
    """
    failures = []
    for candidate in reversed(_complete(folder)):
        try:
            return _of_this_run(_load(candidate), fingerprint, candidate)
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            failures.append(f"{candidate.name}: {error}")
    if failures:
        raise CheckpointError(
            f"no checkpoint in {folder} can be read ({'; '.join(failures)}); start again with --fresh"
        )
    return None


def _load(folder: Path) -> TrainingCheckpoint:
    state = json.loads((folder / _STATE).read_text())
    if not isinstance(state, dict):
        raise ValueError(f"{_STATE} holds no JSON object")
    return TrainingCheckpoint(
        state=state,
        weights=safetensors.torch.load_file(folder / _WEIGHTS),
        optimizer=safetensors.torch.load_file(folder / _OPTIMIZER),
    )


def _of_this_run(saved: TrainingCheckpoint, fingerprint: str, folder: Path) -> TrainingCheckpoint:
    if saved.state.get("fingerprint") != fingerprint:
        raise CheckpointError(
            f"{folder} was made with another configuration; use the settings it began with, or start anew with --fresh"
        )
    return saved


def _complete(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step_*") if p.suffix != ".incomplete" and (p / _STATE).is_file())


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_failure(folder: Path, error: Exception) -> str:
    reason = out_of_space(error) or str(error)
    return (
        f"could not write a checkpoint to {folder}: {reason}. The last good checkpoint is untouched; "
        "free some space and run the same command again to go on from it"
    )
