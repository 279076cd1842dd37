"""What an experiment of post-training will make, said before it begins: which runs are there, which are not, how long.

    fig2: 4 runs, RL at 80 % of its recipes' steps, about 1 h 4 min on 2 cores from nothing
      1 x tiny.sft             about 11 min each    1 there
      3 x tiny.vision_rl       about 17 min each    1 there, 1 under way (40 %), 1 to make
    2 at a time, one thread each, about 26 min left by the rates of 4 finished runs here; in runs/post-training

Nothing is made by saying it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from manyeyes.cli.locations import short
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.checkpoint_digest import code_digest
from manyeyes.recipes.reproduce.pool import Job
from manyeyes.recipes.reproduce.post_rates import Rates
from manyeyes.recipes.reproduce.post_runs import Made, codes_of, makespan
from manyeyes.recipes.reproduce.post_scale import CORES, Scale
from manyeyes.view.wording import duration

NEARLY = 0.99
"""Of a run whose steps are done and whose last measurement is not."""
NAMED = 3
"""Runs of other code that are named."""
LABEL = 20
"""Characters of the column of names at least."""


class Standing(NamedTuple):
    """A run, and how much of it is done.

    Attributes:
        made: with the minutes that it takes here.
        share: 0 to 1.
    """

    made: Made
    share: float

    @property
    def left(self) -> Made:
        """What is to be done of it."""
        return replace(self.made, minutes=self.made.minutes * (1 - self.share))


def standings(runs: Sequence[Made], root: Path, rates: Rates, *, quick: bool = False) -> list[Standing]:
    """Of `ordered` runs; `rates` say how long they take, but for quick ones."""
    timed = runs if quick else [replace(one, minutes=rates.minutes(one.work)) for one in runs]
    return [Standing(one, _share(one, root)) for one in timed]


def _share(one: Made, root: Path) -> float:
    path = one.path(root)
    if not (path / "config.json").exists():
        return 0.0
    job = Job(one.label, RunFolder.open(path), one.work.steps)
    job.refresh()
    return job.share if job.finished else min(job.share, NEARLY)


def announcement(name: str, found: Sequence[Standing], scale: Scale, root: Path, *, cores: int, rates: Rates) -> str:
    """What will be made, and how long it takes.

    Args:
        cores: runs at a time.
    """
    share = f", RL at {100 * scale.share:.0f} % of its recipes' steps" if scale.share < 1 else ""
    whole = duration(60 * makespan([one.made for one in found], processes=CORES))
    left = [one.left for one in found if one.share < 1]
    start = f"one fine-tuning, {short(scale.fine_tuned)}" if scale.fine_tuned else short(scale.start)
    source = f"by the rates of {rates.runs} finished runs here" if rates.runs else "by the table of rates"
    rest = (
        f"about {duration(60 * makespan(left, processes=cores))} left {source}" if left else "nothing is left to make"
    )
    return "\n".join(
        [
            f"{name}: {len(found)} runs{share}, about {whole} on {CORES} cores from nothing; all start from {start}",
            *_kinds(found),
            f"{cores} at a time, one thread each, {rest}; in {short(root)}",
            *_other_code(found, root),
        ]
    )


def _kinds(found: Sequence[Standing]) -> list[str]:
    """A line for the runs of a name and length."""
    kinds: defaultdict[tuple[str, float], list[float]] = defaultdict(list)
    for one in found:
        kinds[one.made.label.rpartition(" ")[0], round(one.made.minutes, 1)].append(one.share)
    wide = max([LABEL, *(len(label) for label, _ in kinds)])
    return [
        f"  {len(shares)} x {label:<{wide}} about {minutes:.3g} min each    {_progress(shares)}"
        for (label, minutes), shares in kinds.items()
    ]


def _progress(shares: Sequence[float]) -> str:
    done, begun = sum(share == 1 for share in shares), [share for share in shares if 0 < share < 1]
    anew = len(shares) - done - len(begun)
    told = [f"{done} there"] if done else []
    told += [f"{len(begun)} under way ({', '.join(f'{100 * share:.0f} %' for share in begun)})"] if begun else []
    return ", ".join([*told, *([f"{anew} to make"] if anew else [])])


def _other_code(found: Sequence[Standing], root: Path) -> list[str]:
    """Runs that are taken as they are, although other code has made them."""
    names = [
        one.made.path(root).name
        for one in found
        if one.share > 0 and codes_of(RunFolder.open(one.made.path(root))) != [code_digest()]
    ]
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [
        f"note: {len(names)} of them were made by other code than this is ({', '.join(names[:NAMED])}{more}); they are "
        "taken as they are, and their folders deleted they are made anew"
    ]
