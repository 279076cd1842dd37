"""List the recipes: what each trains, on what hardware, for how long."""

import importlib
import json
from dataclasses import dataclass

import tyro

from manyeyes.recipes import RECIPES, recipe


@dataclass(frozen=True)
class Options:
    """What to list."""

    name: tyro.conf.Positional[str] = ""
    """show one recipe whole: its stages, and every key that an override can set"""


def main(options: Options) -> int:
    """Print them."""
    if not options.name:
        _table()
        return 0
    run = recipe(options.name)
    print((importlib.import_module(f"manyeyes.recipes.{options.name}").__doc__ or "").strip())
    print(json.dumps(run.to_json(), indent=1))
    return 0


def _table() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("recipe", "what it trains", "hardware", "stages", box=None, pad_edge=False)
    for name in RECIPES:
        run = recipe(name)
        table.add_row(name, run.about, run.hardware, ", ".join(stage.name for stage in run.stages))
    Console().print(table)
    print("\nstart one:    manyeyes run NAME [PATH=VALUE ...]\nshow it:      manyeyes recipes NAME")
