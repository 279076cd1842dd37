"""List the recipes: what each trains, on what hardware, for how long. With a NAME: one recipe, key by key."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from manyeyes.recipes import RECIPES, about, recipe
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

WAYS_ON = """
start one      manyeyes run NAME
look at one    manyeyes recipes NAME
change one     manyeyes run NAME PATH=VALUE ..."""


@dataclass(frozen=True)
class Options:
    """What to list."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")] = ""
    """Show one recipe whole, as the PATH=VALUE lines that `manyeyes run` takes."""
    json: bool = False
    """With a NAME: print its configuration as JSON instead."""


def main(options: Options) -> int:
    """Print them; returns the exit status."""
    if not options.name:
        Console(highlight=False).print(_table())
        print(WAYS_ON)
        return 0
    run = recipe(options.name)
    if options.json:
        print(json.dumps(run.to_json(), indent=1))
        return 0
    print(about(options.name) + "\n")
    for path, value in overridable(run):
        print(f"{path}={json.dumps(value, ensure_ascii=False)}")
    return 0


def overridable(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every PATH that an override can set, with its value as plain data; giving them all changes nothing.

    Example:
        >>> @dataclasses.dataclass
        ... class Run:
        ...     seed: int = 3
        >>> list(overridable(Run()))
        [('seed', 3)]
    """
    if dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            yield from overridable(getattr(node, field.name), f"{path}.{field.name}".lstrip("."))
    elif isinstance(node, tuple) and node and all(map(dataclasses.is_dataclass, node)):
        for number, item in enumerate(node):
            yield from overridable(item, f"{path}.{getattr(item, 'name', number)}")
    elif isinstance(node, dict) and node and not any("." in key for key in node):
        for key, value in node.items():
            yield from overridable(value, f"{path}.{key}")
    else:
        yield path, node


def _table() -> Table:
    columns = ("recipe", "what it trains", "hardware", "stages or places")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in RECIPES:
        run = recipe(name)
        table.add_row(name, run.about, run.hardware, _parts(run))
    return table


def _parts(run: Run | RlRun | RftRun) -> str:
    """Stages by name; places by their domains, as there are dozens of some."""
    if isinstance(run, Run):
        return ", ".join(stage.name for stage in run.stages)
    domains = ", ".join(dict.fromkeys(place.domain for place in run.places))
    return f"{len(run.places)} place{'s' * (len(run.places) > 1)}: {domains}"
