"""Run an experiment of the report at a small scale: table1, fig6, fig7, fig8; without a name, what each shows.

The same command goes on where a stopped or killed one left off; finished runs are not repeated.
"""

from importlib import import_module

from manyeyes.cli.reproduce_options import Options
from manyeyes.core.errors import ConfigError
from manyeyes.recipes.reproduce import EXPERIMENTS, check_experiment

TRAINS = "table1"
"""The experiment that trains; only it needs torch."""
OF_TRAINING = ("minutes", "processes")
"""Options that the others have no use for."""


def main(options: Options) -> int:
    """Run or go on; returns 0 when finished, 130 when stopped by the user."""
    if not options.experiment:
        print("\n".join(f"{name:<8} {what}" for name, what in EXPERIMENTS.items()))
        return 0
    check_experiment(options.experiment)
    if options.seeds is not None and not 1 <= options.seeds <= 100:
        raise ConfigError(f"--seeds must be 1 to 100, got {options.seeds}")
    if options.experiment == TRAINS:
        return import_module("manyeyes.cli.reproduce_table1").run(options)
    given = [name for name in OF_TRAINING if getattr(options, name) != getattr(Options(), name)]
    if given:
        raise ConfigError(f"{options.experiment} trains nothing; leave out {', '.join('--' + name for name in given)}")
    return import_module("manyeyes.cli.reproduce_figures").run(options)
