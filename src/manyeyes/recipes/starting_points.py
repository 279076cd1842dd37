"""Where a run may start from instead of noise: the report's ViT begins as SigLIP, its language model as K2.

Both are read in the official names. A language checkpoint (K2, Moonlight: text-only names) fills the main model; a
vision checkpoint fills the vision tower. Whatever the checkpoint lacks is an error, never left at random.

Report: §4.2 (MoonViT initialised from SigLIP-SO-400M), §4.3 (joint training starts from a K2 checkpoint).
"""

from pathlib import Path

from manyeyes.model import checkpoint as weights
from manyeyes.recipes.run import Run
from manyeyes.train.system import System


def start_from(run: Run, system: System) -> None:
    """Load the run's starting points, if it names any.

    Raises:
        CheckpointError: a folder is not a checkpoint, or of another shape.
    """
    if run.start_text:
        weights.load_into(system.main, Path(run.start_text), only=("language_model.",))
    if run.start_vision:
        weights.load_into(system.main, Path(run.start_vision), only=("vision_tower.",))
