"""`manyeyes recipes`."""

import json

import pytest

from manyeyes.cli.main import main
from manyeyes.cli.recipes import overridable
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.run import Run


def test_the_list_names_every_recipe_with_its_stages(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    for name in RECIPES:
        assert name in out and recipe(name).hardware.split(",")[0] in out


@pytest.mark.parametrize("name", RECIPES)
def test_one_recipe_is_shown_as_lines_that_run_takes(name, capsys) -> None:
    assert main(["recipes", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"`{name}`")
    run = recipe(name)
    part = f"stages.{run.stages[-1].name}.steps=" if isinstance(run, Run) else "start_model="
    assert part in out and "seed=0" in out.splitlines()


@pytest.mark.parametrize("name", RECIPES)
def test_giving_every_shown_line_back_changes_nothing(name) -> None:
    run = recipe(name)
    lines = [f"{path}={json.dumps(value)}" for path, value in overridable(run)]
    assert len(lines) > 10
    # Only the order of what is changed matters: a stage's name is the handle of the lines after it.
    assert apply_overrides(run, lines) == run


@pytest.mark.parametrize("name", RECIPES)
def test_json_reads_back_as_the_run(name, capsys) -> None:
    assert main(["recipes", name, "--json"]) == 0
    run = recipe(name)
    assert type(run).from_json(json.loads(capsys.readouterr().out)) == run


def test_an_unknown_recipe_is_one_line(capsys) -> None:
    assert main(["recipes", "tinny"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no recipe 'tinny'" in line and "tiny" in line
