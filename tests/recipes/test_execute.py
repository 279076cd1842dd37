"""A run is wired, goes on from where it stands, leaves an exported model, and refuses another configuration."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from manyeyes.core.errors import CheckpointError, ConfigError, DataError
from manyeyes.core.media import Picture
from manyeyes.core.messages import ImagePart, Message, TextPart
from manyeyes.core.runlog import RunFolder
from manyeyes.data.mixture import constant
from manyeyes.inference.conversation import Assistant
from manyeyes.inference.sampling import SamplingParams
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import build
from manyeyes.recipes.execute import MODEL_FOLDER, execute
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.run import Run

from ..journeys.miniature import run as miniature

CPU = torch.device("cpu")


def short(**changes: object) -> Run:
    """Its last two stages, of one and two steps."""
    joint, long = miniature().stages[-2:]
    stages = (dataclasses.replace(joint, steps=1, evaluate_every=0), dataclasses.replace(long, steps=2))
    return dataclasses.replace(miniature(), stages=stages, align=None, **changes)  # pyright: ignore[reportArgumentType]


def place(path: Path, run: Run) -> RunFolder:
    return RunFolder.create(path, run.to_json())


def after(count: int) -> Callable[[], bool]:
    asked = iter(range(1, 100))
    return lambda: next(asked) >= count


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    torch.set_num_threads(1)
    folder = place(tmp_path_factory.mktemp("runs") / "whole", short())
    assert execute(short(), folder, device=CPU)
    return folder


def test_the_log_tells_the_whole_run(finished: RunFolder) -> None:
    kinds = [row.kind for row in finished.metrics()]
    assert kinds == ["start", "train", "evaluation", "train", "train", "finished"]
    (figures,) = finished.metrics("evaluation")
    assert figures.step == 1 and figures.values["final"] and {"ocr/exact", "ocr/similarity"} <= figures.values.keys()
    assert [row.values["stage"] for row in finished.metrics("train")] == ["joint", "long", "long"]


def test_the_exported_model_answers(finished: RunFolder) -> None:
    assistant = Assistant.load(finished.path / MODEL_FOLDER)
    assert assistant.model.config.text.max_position_embeddings == 384  # of the last stage
    shown = Picture.of(np.zeros((32, 32, 3), np.uint8))
    asked = [Message("user", (ImagePart(shown), TextPart("How many?")))]
    answer = assistant.answer(asked, params=SamplingParams(max_new_tokens=3))
    assert answer.role == "assistant"


def test_doing_it_again_changes_nothing(finished: RunFolder) -> None:
    before = finished.metrics("train")
    assert execute(short(), finished, device=CPU)
    assert finished.metrics("train") == before and len(finished.metrics("finished")) == 1


def test_a_stopped_run_goes_on(finished: RunFolder, tmp_path: Path) -> None:
    folder, lines = place(tmp_path / "run", short()), []
    assert not execute(short(), folder, device=CPU, stop=after(3))
    assert not (folder.path / MODEL_FOLDER).exists() and len(folder.metrics("train")) == 2
    torch.set_num_threads(2)
    try:
        assert execute(short(), folder, device=CPU, announce=lines.append)
    finally:
        torch.set_num_threads(1)
    assert lines[0] == "going on from step 2 of 3"
    assert "threads was 1, is 2" in lines[1] and [row.step for row in folder.metrics("moved")] == [2]
    samples = [row.values["samples"] for row in folder.metrics("train")]
    assert samples == [row.values["samples"] for row in finished.metrics("train")]


def test_another_configuration_is_refused_in_one_line(finished: RunFolder) -> None:
    with pytest.raises(ConfigError, match="another configuration") as caught:
        execute(short(seed=1), finished, device=CPU, change_mixture=True)
    assert "\n" not in str(caught.value) and finished.config()["seed"] == 0


def test_another_mixture_is_refused_unless_asked_for(finished: RunFolder) -> None:
    other = apply_overrides(short(), ["stages.long.mixture.segments.0.vision=0.9"])
    with pytest.raises(ConfigError, match="another mixture; .*--change-mixture"):
        execute(other, finished, device=CPU)
    assert Run.from_json(finished.config()).fingerprint == short().fingerprint


def test_a_finished_run_keeps_its_mixtures(finished: RunFolder) -> None:
    before = finished.config_path.read_bytes(), finished.metrics_path.read_bytes()
    other = apply_overrides(short(), ["stages.long.mixture.segments.0.vision=0.9"])
    with pytest.raises(ConfigError, match="stage long cannot change, that stage is over; .*the run is finished"):
        execute(other, finished, device=CPU, change_mixture=True)
    assert (finished.config_path.read_bytes(), finished.metrics_path.read_bytes()) == before


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("stages.joint.mixture.segments.0.vision=0.9", "stage joint cannot change.* stages that still can: long"),
        (
            "stages.long.mixture.segments.0.weights.small_tolk=1",
            "no source named 'small_tolk'; did you mean small_talk",
        ),
        ("stages.joint.mixture.segments.0.weights.small_tolk=1", "no source named 'small_tolk'"),
        ("stages.long.mixture.segments.0.weights={}", "wants 50% vision"),
        ('stages.long.mixture.segments.0.weights={"small_talk": 1, "easy_vqa": 1}', "is gone"),
    ],
)
def test_a_change_that_is_refused_leaves_the_run_as_it_was(override: str, says: str, tmp_path: Path) -> None:
    folder = place(tmp_path / "run", short())
    assert not execute(short(), folder, device=CPU, stop=after(3))  # one of the two steps of `long` is done
    folder.log("evaluation", 2, stage="long", final=False)  # after the checkpoint: a resume forgets it, a refusal not
    before = folder.config_path.read_bytes(), folder.metrics_path.read_bytes()
    with pytest.raises((ConfigError, DataError), match=says):
        execute(apply_overrides(short(), [override]), folder, device=CPU, change_mixture=True)
    assert (folder.config_path.read_bytes(), folder.metrics_path.read_bytes()) == before
    assert execute(short(), folder, device=CPU)
    assert not folder.metrics("mixture")


def test_a_later_stage_may_change_its_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place(tmp_path / "run", short())
    assert not execute(short(), folder, device=CPU, stop=after(1))
    changed = apply_overrides(short(), ['stages.long.mixture.segments.0.weights={"small_talk": 1, "easy_vqa": 1}'])
    written: list[Any] = []
    monkeypatch.setattr(
        folder, "write_config", lambda config: (written.append(1), RunFolder.write_config(folder, config))
    )
    assert execute(changed, folder, device=CPU, change_mixture=True)
    assert written == [1], "the new configuration is written once, not at every stage"
    assert Run.from_json(folder.config()).fingerprint == changed.fingerprint


def test_checkpoints_of_another_configuration_are_refused(finished: RunFolder, tmp_path: Path) -> None:
    folder = place(tmp_path / "run", short(seed=1))
    (folder.path / "checkpoints").rmdir()
    (folder.path / "checkpoints").symlink_to(finished.checkpoints)
    with pytest.raises(CheckpointError, match="another configuration"):
        execute(short(seed=1), folder, device=CPU)


def test_a_stage_may_run_on_a_cosine(tmp_path: Path) -> None:
    run = apply_overrides(
        short(), ["stages.long.schedule.kind=cosine", "stages.long.schedule.warmup=1", "stages.long.steps=4"]
    )
    folder = place(tmp_path / "run", run)
    assert execute(run, folder, device=CPU)
    schedule = run.stages[-1].schedule
    rates = [row.values["learning_rate"] for row in folder.metrics("train") if row.values["stage"] == "long"]
    falls = [1.0, 1.0, 0.75, 0.25]  # warm-up of one step, then (1 + cos(pi t)) / 2 at t = 0, 1/3, 2/3
    assert rates == pytest.approx([schedule.peak * (schedule.end + (1 - schedule.end) * fall) for fall in falls])


def test_a_run_starts_from_given_weights(tmp_path: Path) -> None:
    run = short()
    given = build(run.model, seed=77)
    weights.save(given, tmp_path / "given", run.model, dtype=torch.float32)
    begun = dataclasses.replace(run, start_text=str(tmp_path / "given"), start_vision=str(tmp_path / "given"))
    begun = apply_overrides(
        begun, ["stages.joint.schedule.peak=0", "stages.long.schedule.peak=0", "stages.long.steps=1"]
    )
    folder = place(tmp_path / "run", begun)
    assert execute(begun, folder, device=CPU)
    trained = Assistant.load(folder.path / MODEL_FOLDER).model.state_dict()
    # The kept model may be in half precision.
    same = {name for name, tensor in given.state_dict().items() if tensor.to(trained[name].dtype).equal(trained[name])}
    learned = {name for name in trained if "e_score" not in name and not name.startswith("mm_projector")}
    assert learned <= same
    assert not any(name.startswith("mm_projector.proj") and name.endswith("weight") for name in same)


def test_a_starting_point_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    run = short(start_text=str(tmp_path / "absent"))
    with pytest.raises(CheckpointError, match="absent") as caught:
        execute(run, place(tmp_path / "run", run), device=CPU)
    assert "\n" not in str(caught.value)


def test_the_vit_is_aligned_with_the_given_language_model(tmp_path: Path) -> None:
    run = miniature()
    assert run.align is not None
    given = build(run.align, seed=77)
    weights.save(given, tmp_path / "moonlight", run.align, dtype=torch.float32)
    align = next(dataclasses.replace(stage, steps=1) for stage in run.stages if stage.name == "vit_align")
    run = dataclasses.replace(run, stages=(align,), held_out=(), start_align=str(tmp_path / "moonlight"))
    folder = place(tmp_path / "run", run)
    assert execute(run, folder, device=CPU)
    (newest,) = folder.checkpoints.glob("step_*")
    kept = safetensors.torch.load_file(newest / "weights.safetensors")
    learned = {name: tensor for name, tensor in given.state_dict().items() if name.startswith("language_model.")}
    assert learned and all(kept[f"align.{name}"].equal(t) for name, t in learned.items() if "e_score" not in name)
    projector = given.state_dict()["mm_projector.proj.0.weight"]
    assert not kept["align.mm_projector.proj.0.weight"].equal(projector)


def test_a_language_checkpoint_takes_the_place_of_the_text_stage(tmp_path: Path) -> None:
    run = short()
    text = dataclasses.replace(
        run.stages[0], name="text", trainable=("language_model",), held_out=(),
        mixture=constant(0.0, weights={"small_talk": 1.0}),
    )  # fmt: skip
    weights.save(build(run.model, seed=77), tmp_path / "k2", run.model, dtype=torch.float32)
    run = dataclasses.replace(run, stages=(text, *run.stages), start_text=str(tmp_path / "k2"))
    folder, lines = place(tmp_path / "run", run), []
    assert not execute(run, folder, device=CPU, announce=lines.append, stop=after(2))
    assert lines[0] == "skipped, a checkpoint takes its place: stage text"
    assert execute(run, folder, device=CPU)
    assert [row.values["stage"] for row in folder.metrics("train")] == ["joint", "long", "long"]
