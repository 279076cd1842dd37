"""Configurations of every size are checked and counted without weights."""

import dataclasses

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.dry_run import dry_run
from manyeyes.recipes.rl_run import RlRun

POST = [name for name in RECIPES if "." in name]


@pytest.mark.parametrize("name", POST)
def test_every_recipe_of_post_training_passes(name: str) -> None:
    (need,) = dry_run(recipe(name)).needs
    assert 0 < need.trainable <= need.parameters and need.muon <= need.trainable
    if name.startswith("k25"):
        assert need.parameters == 1_026_879_353_328


def test_a_row_beyond_the_context_is_refused() -> None:
    run = recipe("tiny.parl")
    assert isinstance(run, RlRun)
    with pytest.raises(ConfigError, match="rows of 8192 tokens are longer than the model's context of 4096"):
        dry_run(dataclasses.replace(run, row_length=8192))


def test_an_unknown_option_of_an_environment_is_refused() -> None:
    run = recipe("tiny.parl")
    assert isinstance(run, RlRun)
    place = dataclasses.replace(run.places[0], world={"bugdet": 3})
    with pytest.raises(ConfigError, match="bugdet"):
        dry_run(dataclasses.replace(run, places=(place,)))
