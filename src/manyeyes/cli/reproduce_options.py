"""The options of `manyeyes reproduce`, which all of its experiments read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """How to run it."""

    experiment: Annotated[str, tyro.conf.Positional] = ""
    """which one; none lists them"""
    seeds: int | None = None
    """table1: runs of each arm (default 3, or 1 with --quick), more may be added later; fig7: sets of questions
    (default 2); fig8: worlds (default 1)"""
    minutes: float = 40.0
    """table1: budget for the whole experiment on two cores; runs get longer or shorter by it"""
    quick: bool = False
    """the whole way in a minute or two, at a size that means nothing"""
    processes: int = 0
    """table1: runs at a time, one thread each (default: one for each core)"""
    folder: Path | None = None
    """where its runs and results go (default: one of its own under MANYEYES_RUNS or ./runs)"""
    write_docs: Path | None = None
    """also write the result as JSON, Markdown and SVG into this folder"""
