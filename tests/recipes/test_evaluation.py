"""A run's figures on held-out sets: which are scored when, their values, the examples kept for the report."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.registry import REGISTRY
from manyeyes.recipes.evaluation import Evaluation, summary
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import Stage
from manyeyes.train.system import System

from ..journeys.miniature import run as miniature

SETS = (
    HeldOut("ocr", "synthetic/ocr/digits", "reading", records=6, quick=3, new_tokens=3),
    HeldOut("counting", "synthetic/perception/counting", "count", records=5, quick=2, new_tokens=3),
    HeldOut("grounding", "synthetic/perception/grounding", "boxes", records=4, quick=2, new_tokens=3),
    HeldOut("talk", "small_talk", "answer", records=4, quick=2, new_tokens=3),
    HeldOut("motions", "synthetic/video/motions", "answer", records=3, quick=2, new_tokens=3),
    HeldOut("maths", "maths_document", "loss", records=5, length=128),
)


@pytest.fixture(scope="module")
def run() -> Run:
    stage = dataclasses.replace(miniature().stages[-2], held_out=tuple(asked.name for asked in SETS))
    return dataclasses.replace(miniature(), held_out=SETS, stages=(stage,), examples=2)


@pytest.fixture(scope="module")
def system(run: Run) -> System:
    return System.build(run.model, None, None, seed=0, device=torch.device("cpu"))


def evaluated(run: Run, system: System, path: Path, *, final: bool) -> tuple[dict[str, float], list[str], RunFolder]:
    lines: list[str] = []
    folder = RunFolder.create(path / "run", run.to_json())
    evaluation = Evaluation(run, Tokenizer.tiny(), folder, announce=lines.append)
    with torch.no_grad():
        figures = dict(evaluation(system, run.stages[0], run_step=7, final=final))
    return figures, lines, folder


def test_every_set_is_scored_by_its_scorer(run: Run, system: System, tmp_path: Path) -> None:
    figures, lines, folder = evaluated(run, system, tmp_path, final=True)
    assert figures.keys() == {
        "ocr/exact", "ocr/similarity", "ocr/questions", "counting/exact", "counting/difference", "counting/questions",
        "grounding/iou", "grounding/questions", "talk/exact", "talk/questions", "motions/exact", "motions/questions",
        "maths/loss",
    }  # fmt: skip
    counts = {name: figures[f"{name}/questions"] for name in ("ocr", "counting", "grounding", "talk", "motions")}
    assert counts == {"ocr": 6, "counting": 5, "grounding": 4, "talk": 4, "motions": 3}
    assert all(math.isfinite(value) for value in figures.values())
    (line,) = lines
    assert line.startswith("joint, step 7: ocr 0.") and "maths 7." in line


def test_examples_are_kept_with_their_pictures_at_a_stages_end(run: Run, system: System, tmp_path: Path) -> None:
    _, _, folder = evaluated(run, system, tmp_path, final=True)
    kept = json.loads((folder.path / "examples" / "000007.json").read_text())
    assert len(kept) == 2 * 5  # two of each set of questions
    assert {row["stage"] for row in kept} == {"joint"}
    for row in kept:
        assert row["asked"] and row["truth"] and row["scores"]
        if row["picture"]:
            assert Image.open(folder.path / "examples" / row["picture"]).size[0] > 8
    assert sum(row["picture"] is not None for row in kept) == 8
    assert {row["name"].rsplit("/", 2)[0] for row in kept if row["clip"]} == {"synthetic/video/motions"}


def test_a_run_may_keep_no_examples(run: Run, system: System, tmp_path: Path) -> None:
    none = dataclasses.replace(run, examples=0)
    figures, _, folder = evaluated(none, system, tmp_path, final=True)
    assert figures["ocr/questions"] == 6 and not (folder.path / "examples").exists()


def test_within_a_stage_fewer_are_asked_and_none_kept(run: Run, system: System, tmp_path: Path) -> None:
    figures, _, folder = evaluated(run, system, tmp_path, final=False)
    assert [figures[f"{name}/questions"] for name in ("ocr", "counting", "talk")] == [3, 2, 2]
    assert not (folder.path / "examples").exists()


def test_the_loss_of_documents_is_plain_cross_entropy(run: Run, system: System, tmp_path: Path) -> None:
    figures, _, _ = evaluated(run, system, tmp_path, final=False)
    asked = SETS[-1]
    source = REGISTRY.source(
        asked.source, Tokenizer.tiny(), rules=run.model.rules, part_length=asked.length, split="test", seed=run.seed
    )
    step = max(1, len(source) // asked.records)
    total, weight = 0.0, 0.0
    for index in list(range(0, len(source), step))[: asked.records]:
        sample = source.sample(index, 0)
        ids = torch.from_numpy(sample.ids).long()[None]
        with torch.no_grad():
            logits = system.main.logits(system.main(ids).hidden_BTD)[0, :-1]
        weights = torch.from_numpy(sample.weights)[1:]
        total += float((F.cross_entropy(logits, ids[0, 1:], reduction="none") * weights).sum())
        weight += float(weights.sum())
    assert figures["maths/loss"] == pytest.approx(total / weight, rel=1e-4)


def test_a_stage_without_sets_says_nothing(run: Run, system: System, tmp_path: Path) -> None:
    quiet: Stage = dataclasses.replace(run.stages[0], held_out=())
    evaluation = Evaluation(run, Tokenizer.tiny(), RunFolder.create(tmp_path / "run", {}), announce=print)
    assert dict(evaluation(system, quiet, run_step=1, final=True)) == {}


def test_the_line_shows_each_sets_main_figure() -> None:
    figures = {"vqa": {"exact": 0.5, "similarity": 0.9}, "boxes": {"iou": 0.25}, "text": {"loss": 3.0}}
    assert summary(figures) == "vqa 0.500, boxes 0.250, text 3.000"
