"""A run folder that looks like a real one, made in a moment: for tests of pages, and to see one without training.

    fake_run("runs/fake", upto=0.6)     # a run that is 60 % through

Losses fall, figures rise with noise, examples have pictures. The same seed gives the same run.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from manyeyes.core.coordinates import write_box
from manyeyes.core.runlog import Row, RunFolder
from manyeyes.core.seeds import stream


class FakeStage(NamedTuple):
    """One stage: `parts` are its loss parts with first and last value."""

    name: str
    steps: int
    tokens: int
    seconds: float
    parts: dict[str, tuple[float, float]]
    vision: float = 0.0
    held_out: tuple[str, ...] = ()


STAGES = (
    FakeStage("align_lm", 80, 4096, 0.5, {"text": (7.6, 5.3)}, held_out=("text",)),
    FakeStage("text", 200, 4096, 1.3, {"text": (7.6, 3.9)}, held_out=("text", "code")),
    FakeStage("vit", 200, 2048, 1.1, {"siglip": (8.2, 2.6), "caption": (6.9, 0.5)}, vision=1.0),
    FakeStage("vit_align", 100, 2048, 1.0, {"vision": (7.6, 1.9)}, vision=1.0),
    FakeStage("projector", 30, 2048, 1.2, {"vision": (7.1, 2.9)}, vision=1.0),
    FakeStage(
        "joint", 600, 4096, 1.4, {"text": (4.3, 3.1), "vision": (3.4, 0.6)}, vision=0.6,
        held_out=("text", "code", "knowledge", "vqa", "ocr", "counting", "grounding"),
    ),
)  # fmt: skip
_SOURCES = {
    "text": "package_prose", "code": "package_repositories", "knowledge": "country_questions", "vqa": "easy_vqa",
    "ocr": "synthetic/ocr/digits", "counting": "synthetic/perception/counting",
    "grounding": "synthetic/perception/grounding",
}  # fmt: skip
_FIGURES: dict[str, dict[str, tuple[float, float]]] = {
    "text": {"loss": (5.2, 3.4)},
    "code": {"loss": (5.3, 3.2)},
    "knowledge": {"exact": (0.0, 0.12), "questions": (121, 121)},
    "vqa": {
        "exact": (0.31, 0.87), "exact colour": (0.1, 0.9), "exact shape": (0.33, 0.81), "exact yes/no": (0.5, 0.88),
        "questions": (2000, 2000), "blind": (0.67, 0.67),
    },
    "ocr": {"exact": (0.0, 0.71), "similarity": (0.1, 0.86), "questions": (500, 500)},
    "counting": {"exact": (0.1, 0.58), "difference": (2.1, 0.5), "questions": (300, 300)},
    "grounding": {"iou": (0.05, 0.55), "questions": (200, 200)},
}  # fmt: skip


def fake_run(
    path: str | Path, *, stages: tuple[FakeStage, ...] = STAGES, upto: float = 1.0, scale: float = 1.0, seed: int = 0
) -> RunFolder:
    """A run folder with config, log, examples and a quarantined record.

    Args:
        upto: share of the run that is done; 1 is finished.
        scale: of every stage's steps.
    """
    stages = tuple(stage._replace(steps=max(1, round(stage.steps * scale))) for stage in stages)
    folder = RunFolder.create(path, config_of(stages, seed))
    rows = list(rows_of(stages, seed=seed))
    steps = round(upto * sum(stage.steps for stage in stages))
    kept = [row for row in rows if row.step <= steps and (upto >= 1 or row.kind != "finished")]
    lines = [json.dumps({"kind": row.kind, "step": row.step, "time": row.time} | row.values) for row in kept]
    folder.metrics_path.write_text("".join(line + "\n" for line in lines))
    last = [row for row in kept if row.kind == "evaluation" and row.values["final"]]
    if last:
        _examples(folder, last[-1], seed)
    (folder.path / "quarantine").mkdir()
    failure = {
        "source": "photographs", "index": 17, "epoch": 0, "length": 96, "reason": "the picture is cut short",
        "stage": stages[0].name,
    }  # fmt: skip
    (folder.path / "quarantine" / "rank-0.jsonl").write_text(json.dumps(failure) + "\n")
    return folder


def config_of(stages: tuple[FakeStage, ...] = STAGES, seed: int = 0) -> dict[str, Any]:
    """What `config.json` of such a run holds."""
    text = {
        "vocab_size": 2048, "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "n_routed_experts": 8,
        "num_experts_per_tok": 2, "n_shared_experts": 1,
    }  # fmt: skip
    return {
        "name": "tiny", "about": "3.3M parameters through every stage, on real pictures and text",
        "hardware": "2 CPU cores, about 15 minutes", "seed": seed, "vocabulary": "tiny",
        "model": {"text": text, "vision": {"patch_size": 8, "vt_hidden_size": 128, "vt_num_hidden_layers": 4}},
        "held_out": [{"name": name, "source": source} for name, source in _SOURCES.items()],
        "loop": {"optimizer": {"clip_threshold": 100.0}},
        "stages": [
            {
                "name": stage.name, "steps": stage.steps,
                "objective": "coca" if "siglip" in stage.parts else "language",
                "trainable": ["vision_tower", "language_model"] if stage.vision else ["language_model"],
                "rows": stage.tokens // 256, "row_length": 256, "schedule": {"peak": 2e-3},
                "mixture": {"segments": [{"start": 0, "vision": stage.vision, "weights": {}}]},
            }
            for stage in stages
        ],
    }  # fmt: skip


def rows_of(stages: tuple[FakeStage, ...] = STAGES, *, seed: int = 0) -> Iterator[Row]:
    """The rows of a whole run's log."""
    draw = stream(seed, "view/fake_run")
    clock, step, busy = 1_795_490_831.0, 0, 0.0
    yield Row("start", 0, clock, {"peak": 3.5e10, "device": "cpu", "dtype": "torch.float32", "threads": 2})
    for stage in stages:
        for at in range(1, stage.steps + 1):
            step, seconds = step + 1, stage.seconds * float(draw.lognormal(0, 0.12))
            busy, clock = busy + seconds, clock + seconds
            yield Row("train", step, round(clock, 3), _train(stage, at, seconds, draw))
            if stage.held_out and (at == stage.steps or at % 100 == 0):
                clock += 8.0
                yield Row("evaluation", step, round(clock, 3), _evaluation(stage, at, draw))
    yield Row("finished", step, clock + 1, {"seconds": round(busy, 1)})


def _train(stage: FakeStage, at: int, seconds: float, draw: np.random.Generator) -> dict[str, Any]:
    done = at / stage.steps
    parts = {name: _between(*ends, done) * float(draw.lognormal(0, 0.04)) for name, ends in stage.parts.items()}
    logits = "siglip" not in parts
    fill = float(draw.uniform(0.97, 1))
    return {
        "stage": stage.name, "stage_step": at, "tokens": int(stage.tokens * fill), "seconds": round(seconds, 4),
        "mfu": round(0.3 * stage.seconds / seconds, 4), "max_logit": (4 + 18 * done) * logits, "clipped": 0,
        "load": (1.4 + float(draw.exponential(0.6)) * (1.2 - done)) * logits,
        "learning_rate": 2e-3 * min(1.0, at / 20, 2.5 * (1.02 - done)), "gradient_norm": float(draw.lognormal(0, 0.3)),
        "fill": round(fill, 4), "loss": sum(parts.values()) / (1 if "siglip" in parts else len(parts)),
        "balance": 0.003 * logits, **parts,
    }  # fmt: skip


def _evaluation(stage: FakeStage, at: int, draw: np.random.Generator) -> dict[str, Any]:
    values: dict[str, Any] = {"stage": stage.name, "final": at == stage.steps}
    for name in stage.held_out:
        for score, (first, last) in _FIGURES[name].items():
            exact = first == last
            value = _between(first, last, at / stage.steps) + (0 if exact else float(draw.normal(0, 0.012)))
            values[f"{name}/{score}"] = int(value) if score == "questions" else max(0.0, value)
    return values


def _between(first: float, last: float, done: float) -> float:
    return last + (first - last) * math.exp(-4 * done)


def _examples(folder: RunFolder, row: Row, seed: int) -> None:
    place = folder.path / "examples"
    place.mkdir()
    draw, stage = stream(seed, "view/fake_run/examples"), str(row.values["stage"])
    rows: list[Mapping[str, Any]] = []
    for number in range(16):
        picture = f"{row.step:06d}_{number:02d}.png"
        left, top = draw.uniform(0.05, 0.5, 2)
        box = (left, top, left + draw.uniform(0.2, 0.4), top + draw.uniform(0.2, 0.4))
        (_digits() if number % 4 == 1 else _drawing(box)).save(place / picture)
        rows.append({"stage": stage, **_EXAMPLES[number % 4](number, box), "picture": picture})
    rows.append({
        "stage": stage, "name": "country_questions/test/1", "asked": "What is the capital of Norway?", "picture": None,
        "truth": "Oslo", "answer": "Oslo", "scores": {"exact": 1.0},
    })  # fmt: skip
    (place / f"{row.step:06d}.json").write_text(json.dumps(rows, indent=1))


def _drawing(box: tuple[float, ...]) -> Image.Image:
    image = Image.new("RGB", (64, 64), (245, 245, 240))
    ImageDraw.Draw(image).rectangle([64 * side for side in box], fill=(30, 90, 200))
    return image


def _digits() -> Image.Image:
    image = Image.new("RGB", (96, 48), (250, 240, 225))
    ImageDraw.Draw(image).text((22, 4), "846", fill=(90, 30, 20), font_size=30)
    return image


def _vqa(number: int, box: tuple[float, ...]) -> dict[str, Any]:
    right = number % 8 == 0
    answer, scores = "blue" if right else "teal", {"exact": right}
    return _example("easy_vqa", number, "what color is the rectangle?", "blue", answer, scores)


def _ocr(number: int, box: tuple[float, ...]) -> dict[str, Any]:
    scores = {"exact": number > 4, "similarity": 0.67 + 0.33 * (number > 4)}
    return _example("synthetic/ocr/digits", number, "Read the number.", "846", "846" if number > 4 else "816", scores)


def _count(number: int, box: tuple[float, ...]) -> dict[str, Any]:
    asked, scores = "How many rectangles are there?", {"exact": 1, "difference": 0}
    return _example("synthetic/perception/counting", number, asked, "1", "1", scores)


def _ground(number: int, box: tuple[float, ...]) -> dict[str, Any]:
    shift = 0.02 if number % 8 == 3 else 0.15
    said = [min(1.0, side + shift) for side in box]
    asked = "Give the box of the blue rectangle."
    iou = {"iou": 0.83 if shift < 0.1 else 0.28}
    return _example("synthetic/perception/grounding", number, asked, write_box(box), write_box(said), iou)


_EXAMPLES = (_vqa, _ocr, _count, _ground)


def _example(
    source: str, number: int, asked: str, truth: str, answer: str, scores: Mapping[str, float]
) -> dict[str, Any]:
    known = {name: float(score) for name, score in scores.items()}
    return {"name": f"{source}/test/{number}", "asked": asked, "truth": truth, "answer": answer, "scores": known}
