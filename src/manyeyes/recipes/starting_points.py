"""Where a run may start from instead of noise: the ViT as SigLIP, the language model as K2, post-training as K2.5.

A whole model fills all but what alignment needs. A language checkpoint (K2, Moonlight: text-only official names) fills
the main model or the small one for alignment; a vision checkpoint fills the vision tower, in MoonViT's official names
or in SigLIP's (model/siglip_names.py). Whatever the checkpoint lacks is an error, never left at random.

Report: §4.2 (MoonViT initialised from SigLIP-SO-400M), §4.3 (aligned with Moonlight-16B-A3B; joint training starts from
a K2 checkpoint), §4.4 (post-training).
"""

from pathlib import Path

from manyeyes.core.errors import ConfigError
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import K25
from manyeyes.model.siglip_names import is_siglip, load_siglip
from manyeyes.recipes.run import Run
from manyeyes.recipes.starting_model import start_of
from manyeyes.train.system import System


def start_from(run: Run, system: System) -> None:
    """Load the run's starting points, if it names any.

    Raises:
        CheckpointError: a folder is not a checkpoint, or of another shape.
        ConfigError: `start_align` for a system without the small language model; a run that goes on from a
            model and names none, or was not given that model's configuration.
    """
    if run.start_model or run.after:
        _start_whole(run, system)
    if run.start_text:
        weights.load_into(system.main, Path(run.start_text), only=("language_model.",))
    if run.start_vision:
        _start_vision(system.main, Path(run.start_vision))
    if run.start_align:
        if system.align is None:
            raise ConfigError("start_align fills the small language model, but this system has none")
        weights.load_into(system.align, Path(run.start_align), only=("language_model.",))


def _start_whole(run: Run, system: System) -> None:
    folder = start_of(run)
    if weights.read_config(folder) != run.model:
        raise ConfigError(
            f"{run.name} starts from {folder}, but its `model` is another one; begin it as "
            "recipes.starting_model.with_start(run, folder) gives it"
        )
    weights.load_into(system.main, folder)


def _start_vision(model: K25, folder: Path) -> None:
    if is_siglip(folder):
        load_siglip(model, folder)
    else:
        weights.load_into(model, folder, only=("vision_tower.",))
