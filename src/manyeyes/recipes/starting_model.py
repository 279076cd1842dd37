"""A run that goes on from a whole model: where that lies, and the run with the model's own configuration.

Post-training starts where pre-training ended. The context, YaRN and sizes are then those of the checkpoint, so the run
takes its configuration over before it is written down; its vocabulary is the checkpoint's, too.

Report: §4.3 (what stages carry over), §4.4. Needs no torch.
"""

import dataclasses
from pathlib import Path

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.model.checkpoint_folder import read_config
from manyeyes.recipes.run import Run

MODEL_FOLDER = "model"
"""Where a finished run leaves its weights, inside the run folder, in the official layout."""


def start_folder(start: str | Path) -> Path:
    """The checkpoint folder that a checkpoint folder or a finished run's folder means.

    Raises:
        CheckpointError: there is no such folder, or the run has not come to its end.
    """
    path = Path(start)
    if not path.is_dir():
        raise CheckpointError(f"start_model={start}: there is no such checkpoint or run folder")
    if (path / MODEL_FOLDER).is_dir():
        return path / MODEL_FOLDER
    if (path / "metrics.jsonl").exists():
        raise CheckpointError(f"start_model={start}: this run is unfinished and has no {MODEL_FOLDER} folder yet")
    return path


def start_of(run: Run) -> Path:
    """The checkpoint folder that a run starts from.

    Raises:
        ConfigError: it goes on from a model of another recipe, and none is named.
        CheckpointError: see `start_folder`.
    """
    if not run.start_model:
        raise ConfigError(
            f"{run.name} goes on from a model of {run.after}; name its checkpoint or run folder as start_model=FOLDER"
        )
    return start_folder(run.start_model)


def with_start(run: Run, start: str | Path) -> Run:
    """The run as it begins from a model: `start_model` by absolute path, and that model's configuration.

    Raises:
        CheckpointError: there is no such checkpoint, or its config.json cannot be read.
    """
    folder = start_folder(start).resolve()
    return dataclasses.replace(run, start_model=str(folder), model=read_config(folder))
