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
    """those that train: runs of each arm (default 3, or 1 with --quick), more may be added later; fig7: sets of
    questions (default 2); fig8: worlds, or with --model sets of tables (default 1)"""
    minutes: float | None = None
    """those that train: budget for the whole experiment on two cores; runs get shorter by it (default: table1 40, the
    others 115)"""
    model: Annotated[str, tyro.conf.arg(metavar="RUN")] = ""
    """post-training: the finished run of tiny, or its model folder, that all starts from (default: the newest);
    fig8: a finished run of tiny.parl, to be measured in the place of rules"""
    quick: bool = False
    """the whole way in a minute or two, at a size that means nothing"""
    processes: int = 0
    """those that train: runs at a time, one thread each (default: one for each core)"""
    folder: Path | None = None
    """where its runs and results go (default: one of its own under MANYEYES_RUNS or ./runs; runs of post-training
    that experiments share: post-training there)"""
    write_docs: Path | None = None
    """also write the result as JSON, Markdown and SVG into this folder"""
