"""`KeptModel`: which weights a run of RL leaves as its model.

Toggle's phases take turns, so a run of it ends with a phase without budgets, in which answers grow again. What people
want of it is brief: its model is that of the last brief phase's end; the weights behind the last step lie beside it.

    model/                   of a run without Toggle: behind its last step; of Toggle: where the brief phase ended
    model_unconstrained/     of Toggle: behind the last step

`model` appears when the run is finished, and not before: by it other runs know that it is.

Report: §4.4.2 (Toggle).
"""

from pathlib import Path

import torch

from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import K25
from manyeyes.recipes.starting_model import MODEL_FOLDER

UNCONSTRAINED = "model_unconstrained"
AHEAD = "model_ahead"
"""The model of a run that is not finished yet."""


class KeptModel:
    """See the module.

    Args:
        kept_step, steps: of the run (`RlRun.kept_step`).
    """

    def __init__(self, folder: RunFolder, tokenizer: Tokenizer, *, kept_step: int, steps: int) -> None:
        self._path, self._tokenizer = folder.path, tokenizer
        self._early = kept_step < steps
        self._kept_step = kept_step

    def after(self, step: int, model: K25) -> None:
        """A step is done: keep its weights where they are the run's. Raises CheckpointError: the disk is full."""
        if self._early and step == self._kept_step:
            self._save(model, self._path / AHEAD)

    def export(self, model: K25) -> None:
        """The run is finished, with these weights. Raises CheckpointError: the disk is full.

        A run whose tasks ended before its last brief phase did has no others.
        """
        ahead = self._path / AHEAD
        if not self._early or not (ahead.exists() or (self._path / MODEL_FOLDER).exists()):
            self._save(model, self._path / MODEL_FOLDER)
            return
        self._save(model, self._path / UNCONSTRAINED)
        if ahead.exists():  # else the run was killed just behind this line
            ahead.rename(self._path / MODEL_FOLDER)

    def _save(self, model: K25, path: Path) -> None:
        weights.save(model, path, model.config, dtype=torch.float32, replace=True)
        self._tokenizer.save(path / "tiktoken.model")
