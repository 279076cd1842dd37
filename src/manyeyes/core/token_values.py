"""Values that a trainer found for sampled tokens, beside the trajectories of a run, for pages to show.

    RUN/token_values/<first 32 hexadecimal digits of sha256(trajectory's name)>.npz

An `.npz` of numpy without pickled objects. Each array is named after its value ("ratio", "advantage", ...) and float32,
one number for each sampled token of all nodes in order; NaN where there is none. A ratio is π_θ/π_old.

Report: §2.3, Eq. 1.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import DataError
from manyeyes.core.metrics_log import readable_errors
from manyeyes.core.trajectory import Trajectory

TOKEN_VALUES = "token_values"


def token_values_path(run: str | Path, name: str) -> Path:
    """The file of a trajectory."""
    return Path(run) / TOKEN_VALUES / f"{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:32]}.npz"


def write_token_values(run: str | Path, trajectory: Trajectory, **values: NDArray[np.float32]) -> Path:
    """Keep values of a trajectory's sampled tokens; replaces what was kept of it before.

    Raises:
        DataError: an array has another length than there are sampled tokens.
        RunFolderError: the disk is full or cannot be written.
    """
    path = token_values_path(run, trajectory.name)
    for label, array in values.items():
        _fitting(path, label, array, trajectory.sampled_tokens)
    part = path.with_name(f".{path.stem}.part.npz")
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, **{label: np.asarray(array, np.float32) for label, array in values.items()})  # type: ignore[arg-type]
        part.replace(path)
    return path


def read_token_values(run: str | Path, trajectory: Trajectory) -> dict[str, NDArray[np.float32]]:
    """The values of a trajectory's sampled tokens by name; none where nobody kept any.

    Raises:
        DataError: the file is damaged, or of another trajectory.
    """
    path = token_values_path(run, trajectory.name)
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {label: np.asarray(file[label], np.float32) for label in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it, or write it again") from error
    for label, array in found.items():
        _fitting(path, label, array, trajectory.sampled_tokens)
    return found


def _fitting(path: Path, label: str, array: NDArray[np.float32], sampled: int) -> None:
    if array.shape != (sampled,):
        raise DataError(f"{path}: {label} has shape {list(array.shape)}, the trajectory has {sampled} sampled tokens")
