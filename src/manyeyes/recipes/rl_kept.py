"""`KeptModel`: which weights a run of RL leaves as its model.

    model/                   behind the last step; of Toggle that is the end of a brief phase
    model_unconstrained/     of Toggle: where the last unconstrained phase ended, when answers are as long as they like

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


class KeptModel:
    """See the module.

    Args:
        unconstrained_step: of the run (`RlRun.unconstrained_step`).
    """

    def __init__(self, folder: RunFolder, tokenizer: Tokenizer, *, unconstrained_step: int) -> None:
        self._path, self._tokenizer, self._unconstrained_step = folder.path, tokenizer, unconstrained_step

    def after(self, step: int, model: K25) -> None:
        """A step is done: keep its weights where an unconstrained phase ends with it, the last one.

        Raises:
            CheckpointError: the disk is full.
        """
        if step and step == self._unconstrained_step:
            self._save(model, self._path / UNCONSTRAINED)

    def export(self, model: K25) -> None:
        """The run is finished, with these weights. Raises CheckpointError: the disk is full."""
        self._save(model, self._path / MODEL_FOLDER)

    def _save(self, model: K25, path: Path) -> None:
        weights.save(model, path, model.config, dtype=torch.float32, replace=True)
        self._tokenizer.save(path / "tiktoken.model")
