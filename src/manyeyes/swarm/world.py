"""The synthetic world: a local web made from real tables, with tasks whose answers are known exactly.

    web = world_web(seconds=0.3)              pages, searched and opened like any
    wide_tasks()                              "fill this table", 8 to 330 cells and more        (world_tasks)
    group_tasks()                             a small table of every group                     (world_tasks)
    deep_tasks()                              "which one?", one answer, many candidates         (world_tasks)

The embedded default of the swarm: no key, no network, no packages beside the base install.

Report: §5 (WideSearch, BrowseComp); the world itself is ours.
"""

from pathlib import Path

from manyeyes.agent.tools.local_web import LocalWeb
from manyeyes.swarm.world_pages import world_pages
from manyeyes.swarm.world_tasks import DeepTask, WideTask, deep_tasks, group_tasks, wide_tasks

__all__ = ["DeepTask", "WideTask", "deep_tasks", "group_tasks", "wide_tasks", "world_web"]


def world_web(path: Path | None = None, *, seed: int = 0, seconds: float = 0.0) -> LocalWeb:
    """The web of the world, in memory or in a file.

    Args:
        path: of the file; None for memory.
        seed: of dates, contradictions and fillers; the facts are the same for every seed.
        seconds: that each search and each page take.
    """
    return LocalWeb.build(world_pages(seed), path, seconds=seconds)
