"""What lies in a run folder is done, or gone on with: fine-tuning, reinforcement learning, or a measurement.

Report: none.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from manyeyes.agent.registry import Registry
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.execute import execute
from manyeyes.recipes.reproduce.post_measure import Measuring, measure
from manyeyes.recipes.rl_execute import execute_rl
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

CPU = torch.device("cpu")


def perform(
    folder: RunFolder,
    *,
    announce: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
    data_folder: Path | None = None,
    registry: Registry | None = None,
) -> bool:
    """Do the folder's work from wherever it stands; True when it is finished.

    Args:
        registry: of environments; what is installed when left out.

    Raises:
        ManyeyesError: the configuration is of another version, or what it starts from is missing.
    """
    if folder.metrics("finished"):
        return True
    config = folder.config()
    if config.get("kind") == "rl":
        return execute_rl(
            RlRun.from_json(config), folder, device=CPU, announce=announce, stop=stop, data_folder=data_folder,
            registry=registry,
        )  # fmt: skip
    if config.get("kind") == "measuring":
        return measure(
            Measuring.from_json(config), folder, device=CPU, announce=announce, stop=stop, data_folder=data_folder,
            registry=registry,
        )  # fmt: skip
    return execute(Run.from_json(config), folder, device=CPU, announce=announce, stop=stop, data_folder=data_folder)
