"""What `manyeyes run` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """How to run a recipe."""

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """Name of the recipe; `manyeyes recipes` lists them."""
    overrides: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[PATH=VALUE ...]", help_behavior_hint="")
    ] = ()
    """Changes to the recipe, e.g. seed=1 stages.joint.steps=50; `manyeyes recipes NAME` lists the paths."""
    fresh: bool = False
    """Start anew even if a run of this very configuration exists."""
    change_mixture: bool = False
    """Go on with a run whose mixtures were others, e.g. with stages.joint.mixture.segments.0.vision=0.2 given now."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Run folder to use; a new one under MANYEYES_RUNS or ./runs when left out."""
    steps_scale: float = 1.0
    """Scale every stage's steps, e.g. 0.02 for a quick look."""
    threads: Annotated[int, tyro.conf.arg(help_behavior_hint="")] = 0
    """CPU threads; OMP_NUM_THREADS, or one for each core that may be used, when left out."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    quiet: bool = False
    """Only say where the run lies, when stages end, and how it ended."""
    dry_run: bool = False
    """Check every name and count what the run needs, on networks without memory; nothing is trained."""
    full: bool = False
    """After tiny, small or k25, all its post-training, each run from the model before it. Finished ones are left."""
