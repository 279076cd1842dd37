"""A run that goes on from a whole model, on people's own conversations: a miniature from its start to a resume."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from manyeyes.core.errors import CheckpointError, ConfigError, DataError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.mixture import constant
from manyeyes.data.text_only import NotTextOnly
from manyeyes.model import checkpoint as weights
from manyeyes.model.config import ModelConfig
from manyeyes.model.multimodal import build
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes import recipe
from manyeyes.recipes.evaluation import Evaluation
from manyeyes.recipes.execute import MODEL_FOLDER, _Sources, execute
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.recipes.sources import SOURCES
from manyeyes.recipes.starting_model import start_folder, start_of, with_start
from manyeyes.recipes.starting_points import start_from
from manyeyes.recipes.tiny_sft import DIALOGUES
from manyeyes.recipes.vocabularies import _texts
from manyeyes.train.stages import LoopConfig, Stage
from manyeyes.train.system import System

from ..journeys.miniature import model as miniature

CPU = torch.device("cpu")


def a_file(path: Path, *, first: int = 0) -> str:
    lines = [
        {"messages": [{"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": str(n + 1)}]}
        for n in range(first, first + 40)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return str(path)


@pytest.fixture
def started(tmp_path: Path) -> tuple[Path, ModelConfig]:
    """A checkpoint as long-context training leaves it: its context and YaRN are not those of the recipe."""
    config = miniature().with_context(384, factor=2.0, original=192)
    weights.save(build(config, seed=7), tmp_path / "start", config, dtype=torch.float32)
    Tokenizer.tiny().save(tmp_path / "start" / "tiktoken.model")
    return tmp_path / "start", config


def a_run(folder: Path, **changes) -> Run:
    stage = Stage(
        name="sft",
        objective="language",
        trainable=("language_model",),
        steps=4,
        row_length=128,
        rows=2,
        micro_rows=1,
        mixture=constant(0.0, weights={a_file(folder / "mine.jsonl"): 1.0, "small_talk": 0.5}),
        schedule=Schedule(peak=2e-3, warmup=1),
        held_out=("mine",),
    )
    settings: dict[str, Any] = dict(
        name="fine",
        about="test",
        hardware="any",
        model=miniature(),
        after="miniature",
        stages=(stage,),
        held_out=(HeldOut("mine", a_file(folder / "kept.jsonl", first=40), "loss", records=8, length=64),),
        loop=LoopConfig(checkpoint_every=2, compute="float32"),
    )
    return Run(**(settings | changes))


def executed(run: Run, path: Path, **given) -> RunFolder:
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(path, run.to_json())
    execute(run, folder, device=CPU, **given)
    return folder


def test_the_whole_model_goes_on_with_its_own_context_and_vocabulary(tmp_path: Path, started) -> None:
    start, config = started
    run = with_start(a_run(tmp_path), start)
    assert run.model == config != miniature()
    folder = executed(run, tmp_path / "run")
    begun, ended = (weights.load_model(path) for path in (start, folder.path / MODEL_FOLDER))
    assert ended.config == config
    same = {name: torch.equal(begun.state_dict()[name], value) for name, value in ended.state_dict().items()}
    frozen = {name for name in same if not name.startswith("language_model.")}
    assert frozen and all(same[name] for name in frozen) and not all(same.values())
    assert Tokenizer.load(folder.tokenizer_path) == Tokenizer.tiny()
    assert "mine/loss" in folder.metrics("evaluation")[-1].values
    assert Run.from_json(folder.config()) == run


def test_a_run_goes_on_after_its_start_is_gone(tmp_path: Path, started) -> None:
    start, _ = started
    run = with_start(a_run(tmp_path), start)
    whole = executed(run, tmp_path / "whole")
    asked = iter([False, True])
    executed(run, tmp_path / "halves", stop=lambda: next(asked, False))
    shutil.rmtree(start)
    halves = executed(run, tmp_path / "halves")
    one, other = (weights.load_model(folder.path / MODEL_FOLDER).state_dict() for folder in (whole, halves))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_without_its_start_is_refused_instead_of_beginning_from_noise(tmp_path: Path, started) -> None:
    start, _ = started
    with pytest.raises(ConfigError, match="fine goes on from a model of miniature; name its checkpoint"):
        executed(dataclasses.replace(a_run(tmp_path), vocabulary="tiny"), tmp_path / "none")
    with pytest.raises(ConfigError, match="begin it as recipes.starting_model.with_start"):
        start_from(
            dataclasses.replace(a_run(tmp_path), start_model=str(start)), System(build(miniature(), seed=0), None, None)
        )


def test_a_picture_in_text_only_fine_tuning_ends_the_run(tmp_path: Path, started) -> None:
    """A source that is registered as text and brings a picture all the same; nothing takes its place."""
    start, _ = started
    run = with_start(a_run(tmp_path), start)
    source = "synthetic/perception/counting"
    stage = dataclasses.replace(run.stages[0], mixture=constant(0.0, weights={source: 1.0}))
    folder = RunFolder.create(tmp_path / "run", run.to_json())
    opened = _Sources(run, Tokenizer.tiny(), folder, None)._source(source, stage)
    with pytest.raises(NotTextOnly, match="1 pictures or clips"):
        opened.sample(0, 0)


def test_a_held_out_dialogue_that_is_too_long_is_said_and_left_out(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    kept, long = tmp_path / "kept.jsonl", {"role": "user", "content": "why? " * 200}
    line = json.dumps({"messages": [long, {"role": "assistant", "content": "no"}]})
    kept.write_text("\n".join([line, *kept.read_text().splitlines()]))
    told: list[str] = []
    folder = RunFolder.create(tmp_path / "run", run.to_json())
    evaluation = Evaluation(run, Tokenizer.tiny(), folder, announce=told.append)
    system = System(build(run.model, seed=0), None, None)
    with torch.no_grad():
        first = evaluation(system, run.stages[0], run_step=1, final=False)
        assert first == evaluation(system, run.stages[0], run_step=2, final=True) and first["mine/loss"] > 0
    assert sum("held-out set mine leaves out one: kept.jsonl:1" in one for one in told) == 1
    kept.write_text(line)
    with pytest.raises(DataError, match="held-out set mine: none of 1 records"):
        Evaluation(run, Tokenizer.tiny(), folder, announce=told.append)(system, run.stages[0], run_step=1, final=True)


def test_a_vocabulary_may_be_learned_from_dialogues(tmp_path: Path) -> None:
    said = list(_texts(a_run(tmp_path), None, lambda line: None))
    assert "7 + 1?\n8" in said and len(said) > 40, "of the file, and of the records beside it"


def test_which_folder_a_start_means(tmp_path: Path, started) -> None:
    start, _ = started
    (tmp_path / "done").mkdir()
    shutil.copytree(start, tmp_path / "done" / MODEL_FOLDER)
    assert start_folder(start) == start and start_folder(tmp_path / "done") == tmp_path / "done" / MODEL_FOLDER
    (tmp_path / "halfway").mkdir()
    (tmp_path / "halfway" / "metrics.jsonl").touch()
    with pytest.raises(CheckpointError, match="this run is unfinished"):
        start_folder(tmp_path / "halfway")
    with pytest.raises(CheckpointError, match="there is no such checkpoint or run folder"):
        with_start(a_run(tmp_path), tmp_path / "gone")
    with pytest.raises(ConfigError, match="name its checkpoint or run folder as start_model"):
        start_of(a_run(tmp_path))


def test_a_whole_model_leaves_no_room_for_parts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start_model fills the whole model"):
        a_run(tmp_path, start_model="a", start_text="b")


def test_the_recipe_has_no_picture_anywhere_and_trains_the_language_model_alone() -> None:
    run = recipe("tiny.sft")
    assert run.after == "tiny" and all(stage.text_only for stage in run.stages)
    assert {part for stage in run.stages for part in stage.trainable} == {"language_model"}
    for stage in run.stages:
        assert all(SOURCES[name].domain == "text" for name in stage.sources)


def test_the_first_batch_of_the_recipes_dialogues(tmp_path: Path) -> None:
    run = recipe("tiny.sft")
    sources = _Sources(run, Tokenizer.tiny(), RunFolder.create(tmp_path / "run", {}), None)
    stage = dataclasses.replace(run.stages[-1], mixture=constant(0.0, weights=DIALOGUES))
    with sources.loader(stage, None) as loader:
        batch = next(loader).batch
    assert batch.fill > 0.9 and not batch.media and batch.weights_BT.max() == 1
    learned = (batch.weights_BT > 0).sum() / batch.tokens
    assert 0.15 < learned < 0.7, "only what assistants say"
