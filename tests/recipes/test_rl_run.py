"""RL runs as data: written and read back, told apart, refused where they cannot be."""

import dataclasses
from pathlib import Path

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_objectives import objective_of
from manyeyes.recipes.rl_run import Measured, PlaceSpec, RlRun
from manyeyes.recipes.run import Run
from manyeyes.rl.grpo import Grpo

from .post_worlds import PLACE, little_run

NAMED = [name for name in RECIPES if "." in name]


@pytest.mark.parametrize("name", NAMED)
def test_every_recipe_of_post_training_is_read_back_as_it_was_written(name: str) -> None:
    run = recipe(name)
    assert run.name == name and type(run).from_json(run.to_json()) == run


@pytest.mark.parametrize("base", ["tiny", "small", "k25"])
def test_each_goes_on_from_one_before_it(base: str) -> None:
    chain = [name for name in RECIPES if name.split(".")[0] == base]
    for before, name in zip(chain, chain[1:], strict=False):
        assert recipe(name).after == before


def test_what_changes_the_result_changes_the_fingerprint() -> None:
    run = little_run(Path("start"))
    changed = [{"steps": 4}, {"groups": 3}, {"seed": 1}, {"objective": "grpo"}, {"start_model": "other"}]
    same = [{"about": "x"}, {"checkpoint_every": 7}, {"measured": ()}, {"evaluate_every": 1}]
    assert all(dataclasses.replace(run, **fields).fingerprint != run.fingerprint for fields in changed)
    assert all(dataclasses.replace(run, **fields).fingerprint == run.fingerprint for fields in same)


def test_any_field_is_set_from_the_command_line() -> None:
    run = apply_overrides(recipe("tiny.toggle"), ["toggle.every=3", "schedule.peak=0.1", "places.0.weight=2.5"])
    assert isinstance(run, RlRun) and run.toggle is not None
    assert (run.toggle.every, run.schedule.peak, run.places[0].weight) == (3, 0.1, 2.5)
    without = apply_overrides(run, ["toggle=null"])
    assert isinstance(without, RlRun) and without.toggle is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"places": ()}, "at least one place"),
        ({"places": (PLACE, PLACE)}, "must differ"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"domains": {"coding": 1.0}}, "no place belongs to the domain coding"),
        ({"evaluate_every": -1}, "must not be negative"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        little_run(Path("start"), **fields)


def test_places_and_measurements_have_limits() -> None:
    with pytest.raises(ConfigError, match="without '/'"):
        PlaceSpec("a/b", "reasoning", "sums")
    with pytest.raises(ConfigError, match="quick between 1 and count"):
        Measured(PLACE, count=2, quick=3)


def test_objectives_take_their_own_options() -> None:
    assert objective_of("grpo", {"high": 0.5}) == Grpo(high=0.5)
    with pytest.raises(ConfigError, match="no heigh; it has low, high"):
        objective_of("grpo", {"heigh": 0.5})
    with pytest.raises(ConfigError, match="options of the objective eq1"):
        objective_of("eq1", {"tau": "much"})


def test_kinds_of_runs_are_told_apart() -> None:
    with pytest.raises(ConfigError, match="not an RL run"):
        RlRun.from_json(recipe("tiny").to_json())
    with pytest.raises(ConfigError, match="not an RFT run"):
        RftRun.from_json(little_run(Path("start")).to_json() | {"objective": 3})
    assert isinstance(recipe("tiny"), Run)
