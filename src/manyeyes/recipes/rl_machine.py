"""Where a run computes: noted when it begins, compared when it goes on.

A synchronous run that was killed ends with the same weights bit for bit on the same machine, with as many threads and
the same kernels. Elsewhere it goes on just as well, but its sums are rounded otherwise, and that is said.

Report: App. C.1 (exact resume).
"""

from collections.abc import Callable
from typing import Any

import torch

from manyeyes.core.runlog import RunFolder


def note_start(folder: RunFolder, **here: Any) -> None:
    """The run begins here."""
    folder.log("start", 0, **here)


def compare_start(folder: RunFolder, step: int, announce: Callable[[str], None], **here: Any) -> None:
    """The run goes on here: say what is not as it was when it began."""
    began = folder.metrics("start")
    before = dict(began[0].values) if began else here
    changed = [
        f"{name} was {before.get(name)}, is {value}" for name, value in here.items() if before.get(name) != value
    ]
    if changed:
        folder.log("moved", step, **here)
        announce(f"from here on not bit for bit what one run would give: {'; '.join(changed)}")


def machine(device: torch.device, engine: str) -> dict[str, Any]:
    """What roundings depend on.

    Args:
        engine: what computes what is sampled.
    """
    return {"device": str(device), "dtype": "torch.float32", "threads": torch.get_num_threads(), "engine": engine}
