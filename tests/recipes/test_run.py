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
    back = type(run).from_json(json.loads(json.dumps(run.to_json())))
    assert back == run and back.fingerprint == run.fingerprint and back.steps == run.steps


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
        ({"align": None}, "align_lm needs the small language model"),
        ({"examples": -1}, "examples must be at least 0, got -1"),
        ({"held_out": miniature().held_out * 2}, "held-out sets need different names"),
        ({"align": None, "start_align": "moonlight", "stages": miniature().stages[-2:]}, "start_align fills"),
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


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"records": -1}, "held-out set h: records must be at least 0, got -1"),
        ({"records": 0, "scorer": "loss"}, "records must be at least 1, got 0"),
        ({"quick": -1}, "quick must be at least 0"),
        ({"new_tokens": 0}, "new_tokens must be at least 1"),
        ({"length": 1}, "length must be at least 2"),
    ],
)
def test_a_held_out_set_out_of_range_is_refused(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        HeldOut(**({"name": "h", "source": "easy_vqa", "scorer": "answer"} | settings))


def test_a_starting_point_for_alignment_and_a_schedule_of_another_kind_change_the_fingerprint() -> None:
    run = miniature()
    given = dataclasses.replace(run, start_align="moonlight")
    cosine = apply_overrides(run, ["stages.joint.schedule.kind=cosine"])
    fingerprints = {one.fingerprint for one in (run, given, cosine)}
    assert len(fingerprints) == len({one.core_fingerprint for one in (run, given, cosine)}) == 3


def test_a_file_without_younger_fields_means_their_defaults_and_keeps_its_fingerprint() -> None:
    run = miniature()
    older = json.loads(json.dumps(run.to_json()))
    del older["start_align"], older["loop"]["compute"]
    for stage in older["stages"]:
        del stage["schedule"]["kind"], stage["mixture"]["synthetic_captions"]
    read = Run.from_json(older)
    assert read == run and read.to_json() == run.to_json() and read.fingerprint == run.fingerprint


def names(run: Run) -> list[str]:
    return [stage.name for stage in run.stages]


def test_a_checkpoint_takes_the_place_of_the_stages_that_would_make_it() -> None:
    run = recipe("tiny")
    assert run.started() is run
    text = dataclasses.replace(run, start_text="K2")
    assert text.replaced == ("text",) and names(text.started()) == [name for name in names(run) if name != "text"]
    both = dataclasses.replace(text, start_align="Moonlight")
    assert both.replaced == ("align_lm", "text") and names(both.started())[0] == "vit"
    assert both.started().started() == both.started()


def test_text_stages_after_joint_training_and_runs_of_text_alone_are_kept() -> None:
    run = dataclasses.replace(recipe("tiny"), start_text="K2")
    text, joint = (next(stage for stage in run.stages if stage.name == name) for name in ("text", "joint"))
    late = dataclasses.replace(run, stages=(joint, text))
    assert late.started() == late
    alone = dataclasses.replace(run, stages=(text,))
    assert alone.started() == alone
    pictures = dataclasses.replace(text, mixture=joint.mixture)
    seeing = dataclasses.replace(run, stages=(pictures, joint))
    assert seeing.started() == seeing


def test_a_shortened_run_keeps_its_stages() -> None:
    run = miniature()
    short = run.shortened(0.25)
    assert [s.steps for s in short.stages] == [1, 1, 1, 1, 2, 1] and short.steps == 7
    assert run.shortened(1e-9).steps == len(run.stages)


def test_held_out_sets_have_sensible_defaults() -> None:
    asked = HeldOut("vqa", "easy_vqa", "answer")
    assert 0 < asked.quick <= asked.records and asked.new_tokens > 0
    assert constant(0.5) == constant(0.5, weights={})


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean tiny"):
        recipe("tinny")
