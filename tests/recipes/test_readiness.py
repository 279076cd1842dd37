"""What is refused before a run begins: names, starting points, missing files; all of them at once."""

import dataclasses
from pathlib import Path

import pytest

from manyeyes.core.errors import CheckpointError, ConfigError, DataError
from manyeyes.data.archives import Archive
from manyeyes.data.packages import Package
from manyeyes.data.registry import REGISTRY
from manyeyes.recipes import RECIPES, readiness, recipe
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.readiness import check_files, check_names, check_order, check_start
from manyeyes.recipes.run import Run
from manyeyes.recipes.sources import SOURCES

TRAINED = {name: run for name in RECIPES if isinstance(run := recipe(name), Run)}
"""Recipes that learn from mixtures."""


@pytest.mark.parametrize("name", TRAINED)
def test_every_source_of_a_recipe_is_registered_and_every_ratio_can_be_met(name: str) -> None:
    run = TRAINED[name]
    for stage in run.stages:
        assert stage.sources and set(stage.sources) | set(stage.mixture.epochs) <= {info.name for info in SOURCES}
    assert all(held_out.source in SOURCES for held_out in run.held_out)
    check_names(run)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["stages.long_4096.mixture.segments.0.weights.easy_vqaa=1"],
            "stage long_4096: no source named 'easy_vqaa'; did you mean easy_vqa?",
        ),
        (["stages.joint.mixture.epochs.photgraphs=1"], "stage joint: no source named 'photgraphs'; did you mean photo"),
        (["held_out.vqa.source=easy_vq"], "held-out set vqa: no source named 'easy_vq'; did you mean easy_vqa"),
        (["stages.text.mixture.segments.0.weights.xyzzy=0"], "no source named 'xyzzy' (`examples/list_sources.py`"),
        (["stages.text.mixture.segments.0.vision=0.5"], "stage text: the segment from 0 tokens on wants 50% vision"),
        (["stages.text.mixture.segments.0.weights={}"], "stage text: the segment from 0 tokens on wants 100% text"),
    ],
)
def test_a_wrong_name_or_ratio_is_one_line_with_its_place(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_names(apply_overrides(recipe("tiny"), overrides))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_all_wrong_names_are_said_at_once() -> None:
    run = apply_overrides(
        recipe("tiny"), ["stages.text.mixture.segments.0.weights.one_slip=1", "held_out.ocr.source=another"]
    )
    with pytest.raises(ConfigError, match="'one_slip'.*; held-out set ocr: no source named 'another'"):
        check_names(run)


def test_all_missing_files_are_said_at_once_with_their_commands(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        check_files(recipe("small"), tmp_path)
    first, *lines = str(caught.value).splitlines()
    assert first == "small needs files that are not there yet:"
    names = {name for stage in recipe("small").stages for name in stage.sources}
    archives = {archive for name in names for archive in REGISTRY[name].archives}
    assert len(archives) >= 5 and len(lines) >= len(archives)
    for archive in archives:
        assert sum(archive.fetch in line for line in lines) == 1


def test_a_file_that_several_sources_read_is_one_line_with_their_names(tmp_path: Path, monkeypatch) -> None:
    absent = Package("no-such-package", "1.0", "nothing")
    cards = Archive("no-such-cards", "2.0", "npm")
    infos = {
        name: dataclasses.replace(REGISTRY[name], packages=(absent,), archives=archives)
        for name, archives in (("easy_vqa", (cards,)), ("photographs", ()))
    }
    monkeypatch.setattr(readiness, "SOURCES", {info.name: infos.get(info.name, info) for info in REGISTRY})
    with pytest.raises(DataError) as caught:
        check_files(recipe("tiny"), tmp_path)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 2
    assert "pip install no-such-package==1.0  [easy_vqa, photographs]" in lines[0]
    assert "npm pack no-such-cards@2.0  [easy_vqa]" in lines[1]


def test_nothing_is_missing_for_tiny(tmp_path: Path) -> None:
    check_files(recipe("tiny"), tmp_path)


def k25(**changes: str) -> Run:
    return dataclasses.replace(recipe("k25"), vocabulary="tiny", **changes)  # pyright: ignore[reportArgumentType]


def test_no_stage_may_train_against_random_weights(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stage vit_align .*start_align=FOLDER \(for k25: Moonlight") as caught:
        check_order(k25())
    assert "\n" not in str(caught.value)
    check_order(k25(start_align=str(tmp_path)))
    check_start(k25(start_align=str(tmp_path)))


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_a_small_language_model_that_a_stage_before_trains_is_no_noise(name: str) -> None:
    run = TRAINED[name]
    check_order(run)
    late = dataclasses.replace(run, stages=(*run.stages[1:], run.stages[0]))
    with pytest.raises(ConfigError, match="vit_align"):
        check_order(late)


@pytest.mark.parametrize("field", ["start_text", "start_vision", "start_align"])
def test_a_starting_point_that_is_not_there_is_named(field: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"{field}=.*absent: there is no such checkpoint folder"):
        check_start(dataclasses.replace(recipe("tiny"), **{field: str(tmp_path / "absent")}))


def test_a_vocabulary_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vocabulary=.*absent: there is no such file"):
        check_start(dataclasses.replace(recipe("tiny"), vocabulary=str(tmp_path / "absent")))
