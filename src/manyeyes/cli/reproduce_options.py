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
    questions (default 2); fig8: worlds (default 1)"""
    minutes: float | None = None
    """those that train: budget for the whole experiment on two cores; runs of RL get shorter by it, in all experiments
    that share them (default: table1 40, the others 115, for three seeds: others take their share of it, or more)"""
    model: Annotated[str, tyro.conf.arg(metavar="RUN")] = ""
    """post-training: the finished run of tiny, or its model folder, that all starts from (default: the newest);
    fig8: finished runs of tiny.parl, separated by commas, to be measured in the place of rules"""
    start: Annotated[str, tyro.conf.arg(metavar="RUN")] = ""
    """post-training: the finished run of tiny.sft that all arms and seeds start from (default: one is made)"""
    tune_each: bool = False
    """post-training: make a fine-tuning of each seed's own, so that the spread over seeds is that of fine-tuning, too;
    it takes longer, and runs of RL get shorter by it; the page is NAME-tuned-each (sft does so, but for --start)"""
    quick: bool = False
    """the whole way in a minute or two, at a size that means nothing"""
    dry_run: bool = False
    """post-training: say which runs are there, which would be made and how long they take, and end"""
    processes: int = 0
    """those that train: runs at a time, one thread each (default: one for each core)"""
    folder: Path | None = None
    """where its runs and results go (default: one of its own under MANYEYES_RUNS or ./runs; runs of post-training
    that experiments share: post-training there)"""
    write_docs: Path | None = None
    """also write the result as JSON, Markdown and SVG into this folder"""
