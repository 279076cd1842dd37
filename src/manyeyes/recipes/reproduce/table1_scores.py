"""Scores a run of Table 1 while it trains: multiple choice in six categories, and the loss on held-out text.

    accuracy       share of questions whose right option scores above all three wrong ones (chance: a quarter)
    confidence     mean of softmax(option scores x tokens of the right option)[right]: smoother than accuracy
    text_loss      mean negative log-likelihood a token of held-out prose, code and maths, in nats

The loss is measured at every probe, because a dip at vision's arrival may be short; questions at every fifth one. Each
row also holds the tokens drawn so far, of text and of vision.
Report: Figure 9 (learning curves), App. B.1 (dip and recovery).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.packing import Batch, pack_all, stack
from manyeyes.data.registry import REGISTRY
from manyeyes.inference.likelihood import Choice, option_scores
from manyeyes.model.cross_entropy import chunked_cross_entropy
from manyeyes.model.multimodal import K25
from manyeyes.recipes.reproduce.table1 import FULL, PROBES, ROW_LENGTH, Budget
from manyeyes.recipes.reproduce.table1_questions import CATEGORIES, Asked, questions
from manyeyes.recipes.run import Run
from manyeyes.train.batches import micro_batches
from manyeyes.train.stages import Stage
from manyeyes.train.system import System

TEXT_SOURCES = ("package_prose", "package_repositories", "maths_document")
"""Where the held-out text comes from whose loss is measured."""


class Table1Scores:
    """The trainer's `evaluate` callback of one run.

    Args:
        drawn: tells the tokens drawn so far, by domain.
    """

    def __init__(self, run: Run, budget: Budget, tokenizer: Tokenizer, *, drawn: Mapping[str, int]) -> None:
        self.run, self.budget, self.tokenizer, self.drawn = run, budget, tokenizer, drawn
        self._asked: dict[str, list[Asked]] = {}
        self._text: Batch | None = None

    def __call__(self, system: System, stage: Stage, *, run_step: int, final: bool) -> Mapping[str, Any]:
        """The figures of a row; nothing in a stage that is not scored."""
        if not stage.evaluate_every:
            return {}
        figures: dict[str, Any] = {"tokens": sum(self.drawn.values())} | {
            f"tokens_{k}": v for k, v in self.drawn.items()
        }
        figures["text_loss"] = self.text_loss(system.main)
        if final or run_step % (stage.steps // PROBES * FULL) == 0:
            for category in CATEGORIES:
                found = category_scores(system.main, self.asked(category, final=final))
                figures |= {f"{category}/{name}": value for name, value in found.items()}
        return figures

    def asked(self, category: str, *, final: bool) -> list[Asked]:
        """The questions of a category: the first few of all on the way."""
        if category not in self._asked:
            self._asked[category] = questions(
                category, self.tokenizer, rules=self.run.model.rules, count=self.budget.questions, seed=self.run.seed,
                row_length=ROW_LENGTH,
            )  # fmt: skip
        return self._asked[category][: None if final else self.budget.quick]

    def text_loss(self, model: K25) -> float:
        """Nats a token on the same held-out text in all runs."""
        if self._text is None:
            self._text = held_out_text(self.run, self.tokenizer, count=self.budget.documents)
        total = weight = 0.0
        for part in micro_batches(self._text, 16, device=model.head_weight.device):
            hidden_BTD = model(part.ids_BT, positions_BT=part.positions_BT, segments_BT=part.segments_BT).hidden_BTD
            total += float(
                chunked_cross_entropy(
                    hidden_BTD.flatten(0, 1), model.head_weight, targets_N=part.targets_BT.flatten(),
                    weights_N=part.weights_BT.flatten(),
                )
            )  # fmt: skip
            weight += float(part.weights_BT.sum())
        return total / weight


def category_scores(model: K25, asked: Sequence[Asked]) -> dict[str, float]:
    """Accuracy, confidence and number of questions."""
    scores = option_scores(model, [Choice(question.ids, question.options, question.media) for question in asked])
    right = [float(s[0] > s[1:].max()) for s in scores]
    sure = [confidence(s, tokens=len(question.options[0])) for s, question in zip(scores, asked, strict=True)]
    return {"accuracy": float(np.mean(right)), "confidence": float(np.mean(sure)), "questions": len(asked)}


def confidence(scores: NDArray[np.float64], *, tokens: int) -> float:
    """Probability of the first option when the mean log-probabilities count for `tokens` tokens each."""
    logits = scores * tokens
    weights = np.exp(logits - logits.max())
    return float(weights[0] / weights.sum())


def held_out_text(run: Run, tokenizer: Tokenizer, *, count: int) -> Batch:
    """`count` packed held-out documents of each source: the same in every run."""
    samples = []
    for name in TEXT_SOURCES:
        source = REGISTRY.source(name, tokenizer, rules=run.model.rules, part_length=ROW_LENGTH, split="test", seed=0)
        step = max(1, len(source) // count)
        samples += [source.sample(index, 0) for index in range(0, len(source), step)][:count]
    return stack(pack_all(samples, ROW_LENGTH, pad_id=tokenizer.pad))
