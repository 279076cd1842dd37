"""Run an experiment of the report at a small scale: its figures and tables; without a name, what each shows.

The same command goes on where a stopped or killed one left off; finished runs are not repeated.
"""

from importlib import import_module

from manyeyes.cli.reproduce_options import Options
from manyeyes.core.errors import ConfigError
from manyeyes.recipes.reproduce import EXPERIMENTS, check_experiment

PRE_TRAINING = "table1"
PLAYED = ("fig6", "fig7", "fig8")
"""Experiments with rules as model; they need no torch. The rest is post-training."""
OF_TRAINING = ("minutes", "processes", "model", "start", "tune_each", "dry_run")
"""Options that these have no use for."""
OF_POST_TRAINING = ("model", "start", "tune_each", "dry_run")
"""Options that pre-training has no use for."""


def main(options: Options) -> int:
    """Run or go on; returns 0 when finished, 130 when stopped by the user."""
    if not options.experiment:
        print("\n".join(f"{name:<8} {what}" for name, what in EXPERIMENTS.items()))
        return 0
    check_experiment(options.experiment)
    if options.seeds is not None and not 1 <= options.seeds <= 100:
        raise ConfigError(f"--seeds must be 1 to 100, got {options.seeds}")
    return import_module(f"manyeyes.cli.{_module(options)}").run(options)


def _module(options: Options) -> str:
    """Who runs it.

    Raises:
        ConfigError: an option that the experiment has no use for.
    """
    if options.experiment == PRE_TRAINING:
        _refuse(options, OF_POST_TRAINING, "trains from scratch")
        return "reproduce_table1"
    if options.experiment not in PLAYED or (options.experiment == "fig8" and options.model):
        return "reproduce_post"
    _refuse(options, OF_TRAINING, "trains nothing")
    return "reproduce_figures"


def _refuse(options: Options, names: tuple[str, ...], why: str) -> None:
    given = [name for name in names if getattr(options, name) != getattr(Options(), name)]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"{options.experiment} {why}; leave out {flags}")
