"""Scores a run on its held-out sets while it trains, and keeps a few answered questions with their pictures.

Figures go to the log as `evaluation` rows; examples as `examples/<step>.json` with PNG files beside it, for the report.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from manyeyes.core.errors import DataError
from manyeyes.core.media import Clip, Picture
from manyeyes.core.metrics_log import readable_errors
from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.collection import Collection
from manyeyes.data.packing import Batch, pack_all, stack
from manyeyes.data.source import RecordError, Source
from manyeyes.inference.generate import generate
from manyeyes.inference.sampling import SamplingParams
from manyeyes.model.cross_entropy import chunked_cross_entropy
from manyeyes.model.multimodal import K25
from manyeyes.recipes.held_out import Answered, Question, blind_baseline, means, named, questions, score
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.recipes.sources import SOURCES
from manyeyes.train.batches import micro_batches
from manyeyes.train.stages import Stage
from manyeyes.train.system import System


class Evaluation:
    """The trainer's `evaluate` callback for one run."""

    def __init__(
        self,
        run: Run,
        tokenizer: Tokenizer,
        folder: RunFolder,
        *,
        announce: Callable[[str], None],
        data_folder: Path | None = None,
    ) -> None:
        self.run, self.tokenizer, self.folder = run, tokenizer, folder
        self.announce, self.data_folder = announce, data_folder
        self._questions: dict[tuple[str, int], list[Question]] = {}
        self._documents: dict[str, list[Batch]] = {}
        self._train: dict[str, Collection] = {}

    def __call__(self, system: System, stage: Stage, *, run_step: int, final: bool) -> Mapping[str, Any]:
        """Score the stage's held-out sets; all their records at the stage's end, a part before."""
        model = system.model_of(stage)
        by_name = {held_out.name: held_out for held_out in self.run.held_out}
        figures: dict[str, dict[str, float]] = {}
        shown: list[Answered] = []
        for name in stage.held_out:
            asked = by_name[name]
            if asked.scorer == "loss":
                figures[name] = {"loss": self._loss(model, asked)}
                continue
            answered = self.answer(model, asked, count=asked.records if final else asked.quick)
            figures[name] = means(answered)
            if asked.by_type:
                figures[name]["blind"] = self._blind(asked, answered)
            every = max(1, len(answered) // max(1, self.run.examples))
            shown += answered[::every][: self.run.examples]
        if final and shown:
            self._keep(shown, stage, run_step)
        if figures:
            self.announce(f"{stage.name}, step {run_step}: {summary(figures)}")
        return named(figures)

    def answer(self, model: K25, asked: HeldOut, *, count: int) -> list[Answered]:
        """Greedy answers to a held-out set, scored."""
        found = self._asked(asked, count)
        completions = generate(
            model,
            [question.prompt for question in found],
            params=SamplingParams(max_new_tokens=asked.new_tokens),
            stop_ids=(self.tokenizer.im_end, self.tokenizer.eos),
            rows=64 if asked.length <= 256 else 8,
        )
        return score(asked, found, completions, self.tokenizer)

    def _asked(self, asked: HeldOut, count: int) -> list[Question]:
        if (asked.name, count) not in self._questions:
            collection = SOURCES.open(asked.source, "test", seed=self.run.seed, folder=self.data_folder)
            self._questions[asked.name, count] = questions(
                collection, self.tokenizer, rules=self.run.model.rules, count=count, seed=self.run.seed
            )
        return self._questions[asked.name, count]

    def _blind(self, asked: HeldOut, answered: Sequence[Answered]) -> float:
        """The best that can be done without looking."""
        if asked.name not in self._train:
            self._train[asked.name] = SOURCES.open(asked.source, "train", seed=self.run.seed, folder=self.data_folder)
        return blind_baseline(self._train[asked.name], [item.question for item in answered])

    def _loss(self, model: K25, asked: HeldOut) -> float:
        total, weight = 0.0, 0.0
        device = model.head_weight.device
        for batch in self._batches(asked):
            for part in micro_batches(batch, len(batch.ids_BT), device=device):
                hidden_BTD = model(
                    part.ids_BT, positions_BT=part.positions_BT, segments_BT=part.segments_BT, media=part.media
                ).hidden_BTD
                loss = chunked_cross_entropy(
                    hidden_BTD.flatten(0, 1),
                    model.head_weight,
                    targets_N=part.targets_BT.flatten(),
                    weights_N=part.weights_BT.flatten(),
                )
                total, weight = total + float(loss), weight + float(part.weights_BT.sum())
        return total / max(weight, 1.0)

    def _batches(self, asked: HeldOut) -> list[Batch]:
        if asked.name not in self._documents:
            source = SOURCES.source(
                asked.source,
                self.tokenizer,
                rules=self.run.model.rules,
                part_length=asked.length,
                split="test",
                seed=self.run.seed,
                folder=self.data_folder,
            )
            rows = pack_all(self._samples(source, asked), asked.length, pad_id=self.tokenizer.pad)
            size = max(1, 4096 // asked.length)
            self._documents[asked.name] = [stack(rows[i : i + size]) for i in range(0, len(rows), size)]
        return self._documents[asked.name]

    def _samples(self, source: Source, asked: HeldOut) -> list[Sample]:
        """Documents that are scored, spread over the source. What cannot be scored is said, once: all later figures
        leave out the same ones."""
        samples: list[Sample] = []
        left_out = 0
        for index in range(0, len(source), max(1, len(source) // asked.records)):
            try:
                samples.append(source.sample(index, 0))
            except RecordError as error:
                left_out += 1
                self.announce(f"held-out set {asked.name} leaves out one: {error}")
            if len(samples) == asked.records:
                break
        if not samples:
            raise DataError(f"held-out set {asked.name}: none of {left_out} records of {asked.source} can be scored")
        return samples

    def _keep(self, shown: Sequence[Answered], stage: Stage, run_step: int) -> None:
        folder = self.folder.path / "examples"
        with readable_errors(folder):
            folder.mkdir(exist_ok=True)
        rows = []
        for number, item in enumerate(shown):
            picture = None
            if item.question.picture is not None:
                picture = f"{run_step:06d}_{number:02d}.png"
                write_atomic(folder / picture, as_png(first_pixels(item.question.picture)))
            rows.append(
                {
                    "stage": stage.name,
                    "name": item.question.name,
                    "asked": item.question.asked,
                    "picture": picture,
                    "clip": isinstance(item.question.picture, Clip),
                    "truth": item.question.truth,
                    "answer": item.answer,
                    "scores": item.scores,
                }
            )
        write_atomic(folder / f"{run_step:06d}.json", json.dumps(rows, indent=1, ensure_ascii=False))


def first_pixels(shown: Picture | Clip) -> np.ndarray:
    """A picture's pixels, or those of a clip's first frame: uint8 [H, W, 3]."""
    return shown.pixels() if isinstance(shown, Picture) else shown.frames[0].pixels()


def as_png(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8 [H, W, 3]."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def summary(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The main figure of each set in one line."""
    main = ("exact", "iou", "loss")
    parts = [f"{name} {figures[name][score]:.3f}" for name in figures for score in main if score in figures[name]]
    return ", ".join(parts)
