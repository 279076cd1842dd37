"""Whole runs as functions that return a configuration, and the wiring that executes one."""

import difflib
import importlib
from typing import Literal, overload

from manyeyes.core.errors import ConfigError
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

RECIPES = {
    "tiny": "tiny:tiny",
    "tiny.sft": "tiny_sft:tiny_sft",
    "tiny.vision_rl": "tiny_vision_rl:tiny_vision_rl",
    "tiny.rft": "tiny_rft:tiny_rft",
    "tiny.joint_rl": "tiny_joint_rl:tiny_joint_rl",
    "tiny.toggle": "tiny_toggle:tiny_toggle",
    "tiny.parl": "tiny_parl:tiny_parl",
    "small": "small:small",
    "small.sft": "post_training:small_sft",
    "small.vision_rl": "post_training:small_vision_rl",
    "small.rft": "post_rft:small_rft",
    "small.joint_rl": "post_training:small_joint_rl",
    "small.toggle": "post_training:small_toggle",
    "small.parl": "post_training:small_parl",
    "k25": "k25:k25",
    "k25.sft": "post_training:k25_sft",
    "k25.vision_rl": "post_training:k25_vision_rl",
    "k25.rft": "post_rft:k25_rft",
    "k25.joint_rl": "post_training:k25_joint_rl",
    "k25.toggle": "post_training:k25_toggle",
    "k25.parl": "post_training:k25_parl",
}
"""By name: the module of this room and the function in it."""


@overload
def recipe(name: Literal["tiny", "tiny.sft", "small", "small.sft", "k25", "k25.sft"]) -> Run: ...
@overload
def recipe(name: str) -> Run | RlRun | RftRun: ...
def recipe(name: str) -> Run | RlRun | RftRun:
    """The run that a recipe describes. Raises ConfigError for an unknown name."""
    module, function = _place(name)
    run: Run | RlRun | RftRun = getattr(importlib.import_module(module), function)()
    return run


def about(name: str) -> str:
    """What the recipe's module says of it: command, hardware, data, numbers. Raises ConfigError for an unknown name."""
    told = (importlib.import_module(_place(name)[0]).__doc__ or "").strip()
    return told if told.startswith(f"`{name}`") else f"`{name}`: {recipe(name).about}\n\n{told}"


def _place(name: str) -> tuple[str, str]:
    """(module, function)."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(RECIPES)}"
        raise ConfigError(f"no recipe {name!r}; {hint}")
    module, _, function = RECIPES[name].partition(":")
    return f"{__name__}.{module}", function
