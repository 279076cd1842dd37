"""What docs/ makes of a run folder: its numbers and its picture."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from manyeyes.core.errors import DataError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.mixture import constant
from manyeyes.model.config import tiny
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import Stage
from manyeyes.view.examples import read_examples
from manyeyes.view.fake_run import fake_run

DOCS = Path(__file__).resolve().parents[2] / "docs"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_run(path: Path, *, finished: bool) -> RunFolder:
    stage = Stage(
        name="joint", objective="language", trainable=("language_model",), steps=20, row_length=128, rows=2,
        micro_rows=2, mixture=constant(0.0, weights={"small_talk": 1.0}), schedule=Schedule(1e-3), held_out=("count",),
    )  # fmt: skip
    count = HeldOut("count", "synthetic/perception/counting", "count", records=8)
    folder = RunFolder.create(path, Run("tiny", "test", "any", tiny(), (stage,), held_out=(count,)).to_json())
    Tokenizer.tiny().save(folder.tokenizer_path)
    folder.log("start", 0, peak=1e9, device="cpu", dtype="torch.float32", threads=2)
    for step in range(1, 21):
        folder.log("train", step, stage="joint", stage_step=step, tokens=250, seconds=0.5, loss=10.0 - step / 10)
    folder.log("evaluation", 20, stage="joint", final=True, **{"count/exact": 0.25, "count/questions": 8})
    if finished:
        folder.log("finished", 20, seconds=10.0)
    return folder


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_is_collected_as_its_log_says(tmp_path: Path, finished: bool) -> None:
    found = load("collect_run").collect(a_run(tmp_path / "run", finished=finished), data_folder=tmp_path)
    assert found["finished"] is finished
    assert (found["steps"], found["tokens"], found["seconds"]["training"]) == (20, 5000, 10.0)
    assert found["stages"]["joint"]["first"]["loss"] == pytest.approx(9.85)
    assert found["stages"]["joint"]["last"]["loss"] == pytest.approx(8.05)
    count = found["held_out"]["count"]
    assert count["newest"]["exact"]["value"] == 0.25 and count["questions"] == 8
    assert count["empty"] == 0.0 and count["commonest"] * 8 == pytest.approx(round(count["commonest"] * 8), abs=1e-3)


def test_of_reinforcement_learning_every_measurement_and_reward_is_kept(tmp_path: Path) -> None:
    collect = load("collect_run").collect_reinforced
    folder = RunFolder.create(tmp_path / "run", {"steps": 2})
    with pytest.raises(DataError, match="nothing was measured"):
        collect(folder)
    folder.log("evaluation", 0, stage="sums", final=False, **{"sum/reward": 0.25})
    for step, reward in ((1, 0.5), (2, 0.75)):
        folder.log("rl", step, reward=reward, updated=step == 2)
        folder.log("rl_time", step, seconds=3.0)
    folder.log("evaluation", 2, stage="sums", final=True, **{"sum/reward": 0.5})
    found = collect(folder)
    assert (found["recipe"], found["finished"], found["updated"]) == ("sums", True, 1)
    assert found["rewards"] == [0.5, 0.75] and found["seconds"] == [3.0, 3.0]
    assert [(one["step"], one["sum/reward"]) for one in found["evaluations"]] == [(0, 0.25), (2, 0.5)]


def test_the_picture_shows_the_first_examples_whatever_was_answered(tmp_path: Path) -> None:
    make_picture = load("make_picture")
    folder = fake_run(tmp_path / "run")
    rows = make_picture.examples_by_set(folder)
    kept = [example for example in read_examples(folder) if example.picture is not None]
    assert sorted(example.name for row in rows for example in row) == sorted(example.name for example in kept)
    pixels = np.asarray(make_picture.montage(rows))
    assert (pixels.reshape(-1, 3) == 255).all(axis=1).mean() > 0.3, "a light page"
    assert (pixels.reshape(-1, 3) < 255).any()


def test_wrapped_text_loses_no_word() -> None:
    make_picture = load("make_picture")
    text = "what is the color of the thing in the box [0.812, 0.516, 0.969, 0.672] unbelievablylongwordwithoutblanks?"
    lines = make_picture._wrapped(text, 90)
    assert " ".join(lines) == text and len(lines) > 3
