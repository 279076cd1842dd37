"""`--threads`: how many CPU threads the arithmetic of a run takes.

That waiting threads sleep instead of spinning is set before torch is loaded (`cli.main`): rollouts and training share
the cores.
"""

import os

from manyeyes.core.errors import ConfigError

WANTED = "OMP_NUM_THREADS"
"""The variable that programs with OpenMP read."""


def check_threads(asked: int) -> None:
    """Refuse what is no number of threads. Raises ConfigError."""
    if asked < 0:
        raise ConfigError(f"--threads must be 1 or more (0: one for each core), got {asked}")


def use_threads(asked: int) -> int:
    """Take so many threads; returns how many.

    Args:
        asked: 0 for `OMP_NUM_THREADS`, and where that is not set for one for each core that this process may use.
    """
    import torch

    said = os.environ.get(WANTED, "")
    count = asked or (int(said) if said.isdecimal() else 0) or usable_cores()
    torch.set_num_threads(count)
    return count


def usable_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
