"""`Run` as data: it comes back from JSON, refuses what contradicts itself, and knows what a resume may change."""

import dataclasses
import json

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.data.mixture import constant
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.run import HeldOut, Run

from ..journeys.miniature import run as miniature


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back_from_json(name: str) -> None:
    run = recipe(name)
    assert run.name == name and run.about and run.hardware
    back = Run.from_json(json.loads(json.dumps(run.to_json())))
    assert back.fingerprint == run.fingerprint and back.steps == run.steps


def test_wrong_json_is_one_clear_error() -> None:
    data = miniature().to_json()
    data["stages"][0]["steps"] = "many"
    with pytest.raises(ConfigError, match=r"config.json .*stages\[0\].steps") as caught:
        Run.from_json(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stages": ()}, "needs stages"),
        ({"stages": miniature().stages[:1] * 2}, "different names"),
        ({"held_out": ()}, "scores .*ocr"),
        ({"align": None}, "vit_align needs the small language model"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        dataclasses.replace(miniature(), **changes)


@pytest.mark.parametrize(
    "override", ["seed=1", "stages.joint.steps=7", "model.text.hidden_size=64", "loop.gradient_norm=2"]
)
def test_fingerprints_change_with_what_is_computed(override: str) -> None:
    run, other = miniature(), apply_overrides(miniature(), [override])
    assert other.fingerprint != run.fingerprint and other.core_fingerprint != run.core_fingerprint


@pytest.mark.parametrize("override", ["about=else", "examples=9", "loop.checkpoint_every=77"])
def test_fingerprints_do_not_change_with_the_rest(override: str) -> None:
    run, other = miniature(), apply_overrides(miniature(), [override])
    assert other != run and other.fingerprint == run.fingerprint


@pytest.mark.parametrize(
    "override", ["stages.joint.mixture.segments.0.vision=0.25", "stages.joint.mixture.segments.0.weights.small_talk=3"]
)
def test_only_the_whole_fingerprint_changes_with_a_mixture(override: str) -> None:
    run, other = miniature(), apply_overrides(miniature(), [override])
    assert other.fingerprint != run.fingerprint and other.core_fingerprint == run.core_fingerprint


def test_a_shortened_run_keeps_its_stages() -> None:
    run = miniature()
    short = run.shortened(0.25)
    assert [s.steps for s in short.stages] == [1, 1, 1, 2, 1] and short.steps == 6
    assert run.shortened(1e-9).steps == len(run.stages)


def test_held_out_sets_have_sensible_defaults() -> None:
    asked = HeldOut("vqa", "easy_vqa", "answer")
    assert 0 < asked.quick <= asked.records and asked.new_tokens > 0
    assert constant(0.5) == constant(0.5, weights={})


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean tiny"):
        recipe("tinny")
