"""Checkpoints of an RL run: weights, momentum, and where everything stands that decides what comes next.

    state    step, updates, seconds, sources and draws, attempts under way, curriculum, Toggle's budgets, log position

Written as `train.checkpoint` writes: a kill leaves the last whole one. Finished attempts of a step that was not saved
lie in the store of trajectories, and are found there by name. There is no generator state (`core.seeds`).

Report: App. C.1 (any interruption resumes exactly).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from manyeyes.core.errors import CheckpointError
from manyeyes.core.runlog import RunFolder
from manyeyes.optim.muonclip import MuonClip
from manyeyes.rl.policy_model import PolicyModel
from manyeyes.train import checkpoint


def save(folder: RunFolder, step: int, state: Mapping[str, Any], *, model: PolicyModel, optimizer: MuonClip) -> None:
    """Write a checkpoint of `step`; the one before it stays.

    Raises:
        CheckpointError: the disk is full or gone; earlier checkpoints are intact.
    """
    checkpoint.save(
        folder.checkpoints, step, state=dict(state) | {"log": folder.position}, weights=model.state_dict(),
        optimizer=optimizer.named_state(),
    )  # fmt: skip
    kept = {path.name for path in folder.checkpoints.glob("step_*")}
    for path in attempts(folder, step).parent.glob("step_*"):
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def attempts(folder: RunFolder, step: int) -> Path:
    """Where attempts lie that were under way when the checkpoint of a step was written; that goes, they go."""
    return folder.path / "attempts" / f"step_{step:08d}"


def forget_attempts(folder: RunFolder, step: int) -> None:
    """A checkpoint of a step holds no attempts: what a life of before has left there was said by other weights."""
    shutil.rmtree(attempts(folder, step), ignore_errors=True)


def load(folder: RunFolder, *, fingerprint: str, model: PolicyModel, optimizer: MuonClip) -> dict[str, Any] | None:
    """Fill model and optimiser from the newest checkpoint; the folder stays as it is.

    Returns:
        The state it was saved with, and "log", where `RunFolder.rewind` goes; None where there is no checkpoint.

    Raises:
        CheckpointError: it is damaged, or of another configuration or model.
    """
    saved = checkpoint.load_newest(folder.checkpoints, fingerprint=fingerprint)
    if saved is None:
        return None
    fill(model, saved.weights)
    optimizer.load_named_state(saved.optimizer)
    return saved.state


def fill(model: PolicyModel, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy weights in.

    Raises:
        CheckpointError: they are another model's.
    """
    own = model.state_dict()
    wrong = sorted(own.keys() ^ weights.keys()) or [n for n in sorted(own) if own[n].shape != weights[n].shape]
    if wrong:
        raise CheckpointError(
            f"the checkpoint is of another model: {len(wrong)} tensors differ, such as {wrong[0]}; use the run's own "
            "settings, or begin anew"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])
