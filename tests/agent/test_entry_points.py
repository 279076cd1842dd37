"""Everything that the package itself brings by name can be made by name."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from manyeyes.agent.registry import KINDS, Found, Registry

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
ENTRIES = [
    EntryPoint(name, value, group) for group, names in PROJECT["entry-points"].items() for name, value in names.items()
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.group}.{entry.name}")
def test_what_is_shipped_loads_by_name(entry: EntryPoint) -> None:
    kind = entry.group.removeprefix("manyeyes.")
    registry = Registry(installed=Found(tuple(("manyeyes", one) for one in ENTRIES)))
    assert kind in KINDS and callable(registry.maker(kind, entry.name))


def test_parts_by_name_make_an_environment() -> None:
    registry = Registry(installed=Found(tuple(("manyeyes", one) for one in ENTRIES)))
    made = registry.composed(judge="number", modules=registry.names("prompt_modules"), system="Think.")
    assert {module.name for module in made.modules} == set(registry.names("prompt_modules"))
