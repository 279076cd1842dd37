"""Whole runs as functions that return a configuration, and the wiring that executes one."""

import difflib
import importlib

from manyeyes.core.errors import ConfigError
from manyeyes.recipes.run import Run

RECIPES = ("tiny", "small", "k25")
"""Each is a module of this room with a function of the same name."""


def recipe(name: str) -> Run:
    """The run that a recipe describes. Raises ConfigError for an unknown name."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(RECIPES)}"
        raise ConfigError(f"no recipe {name!r}; {hint}")
    run: Run = getattr(importlib.import_module(f"manyeyes.recipes.{name}"), name)()
    return run
