"""`VerdictTask`: grading as a task that can be learned: which of two works is better, with a known answer.

    task = verdict_task(seed, index)            one of many, across kinds of tasks and modalities
    verdict_reward(reply, task)                 1 for the known verdict, 0 for another one or none that can be read
    verdict_sample(task, tokenizer, rules=…)    the same with the known verdict as a supervised sample
    verdict_of("chart_drawn", 7, split="train")        of one kind of pair, on one side of the line to held-out ones

The question is word for word what `GenerativeReward.compare` asks, so that what is learned here grades there. Which
work is A is drawn; one task in six shows one work twice, and the answer is a tie, so that a grader who always finds a
difference, or always says A, is worth what chance is.

Report: §4.4.2 (graders are optimised themselves, across modalities); the tasks are an open choice here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np

from manyeyes.core.chat import render
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.media import MediaRules
from manyeyes.core.messages import Message, assistant, user
from manyeyes.core.sample import Sample
from manyeyes.core.seeds import stream
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.collection import Split
from manyeyes.data.held_out import split_of
from manyeyes.reward.grm.question import Question, Work, about_two
from manyeyes.reward.grm.rubric import Criterion, Rubric, TaskKind
from manyeyes.reward.grm.rubrics import RUBRICS
from manyeyes.reward.grm.verdict import Side, read_sides
from manyeyes.reward.grm.verdict_pair import TEXT_PAIRS, MakePair, Modality, VerdictPair
from manyeyes.reward.grm.verdict_picture import PICTURE_PAIRS

PAIRS = TEXT_PAIRS + PICTURE_PAIRS
NAMED: dict[str, MakePair] = {make.__name__: make for make in PAIRS}
"""Kinds of pairs by name."""
HELD_OUT = 250
"""Of a thousand contents, those that are never trained on; some kinds of pairs have no more than eight."""
PATIENCE = 1_000
"""Draws before a split counts as empty."""
TIES = 6
"""One task in so many is a tie."""


@dataclass(frozen=True, slots=True)
class VerdictTask:
    """One comparison to be judged.

    Attributes:
        id: unique for a seed.
        kind, modality: of the works.
        question: what the grader is asked.
        rubric: of one criterion.
        truth: the side that is better.
    """

    id: str
    kind: TaskKind
    modality: Modality
    question: Question
    rubric: Rubric
    truth: Side

    @property
    def message(self) -> Message:
        """What the grader is sent."""
        return user(*self.question.parts)

    @property
    def verdict(self) -> str:
        """The reply that is right, without a reason."""
        (criterion,) = self.rubric.criteria
        return f'{{"mark": "{self.question.mark}", "{criterion.name}": "{self.truth}"}}'

    @property
    def truth_data(self) -> dict[str, Any]:
        """What `verdict_reward` needs, as plain JSON, for tasks that are stored."""
        return {"mark": self.question.mark, "criterion": self.rubric.criteria[0].name, "side": self.truth}


def verdict_task(seed: int, index: int) -> VerdictTask:
    """Task number `index` of the source with this seed; kinds of pairs take turns.

    Example:
        >>> task = verdict_task(0, 1)
        >>> task.kind, task.rubric.criteria[0].name, verdict_reward("I think so. " + task.verdict, task)
        ('chat', 'instructions', 1.0)
    """
    pair_of = PAIRS[index % len(PAIRS)]
    return _task(pair_of, stream(seed, "grm/tasks", index), f"grm/{seed}/{index}", seed=seed, split=None)


def verdict_of(pair: str, number: int, *, seed: int = 0, split: Split = "train") -> VerdictTask:
    """Task `number` of one kind of pair; no content of the one split occurs in the other, whatever the seeds.

    Args:
        pair: one of `NAMED`.

    Raises:
        ConfigError: there is no such kind or split.

    Example:
        >>> verdict_of("one_word", 0).id, verdict_of("one_word", 0, split="test").modality
        ('verdict/one_word/train/0/0', 'text')
    """
    if pair not in NAMED or split not in get_args(Split):
        raise ConfigError(f"expected a pair of {', '.join(NAMED)} and train or test, got {pair!r} and {split!r}")
    name = f"verdict/{pair}/{split}/{seed}/{number}"
    return _task(NAMED[pair], stream(seed, f"grm/tasks/{pair}/{split}", number), name, seed=seed, split=split)


def pairs_about(kinds: Sequence[TaskKind] | None = None, modalities: Sequence[Modality] | None = None) -> list[str]:
    """Names of the kinds of pairs that are about these kinds of tasks and shown in these modalities; None for all.

    Raises:
        ConfigError: one of them is unknown, or nothing is left.

    Example:
        >>> pairs_about(["artefact"]), pairs_about(modalities=["trajectory"])
        (['chart_drawn'], ['run_or_claim', 'source_or_none'])
    """
    for given, known in ((kinds, get_args(TaskKind)), (modalities, get_args(Modality))):
        if unknown := sorted(set(given or ()) - set(known)):
            raise ConfigError(f"verdicts are about {', '.join(known)}, got {', '.join(unknown)}")
    found = [
        name for name in NAMED
        if (kinds is None or _about(name)[0] in kinds) and (modalities is None or _about(name)[1] in modalities)
    ]  # fmt: skip
    if not found:
        raise ConfigError(f"no pairs are both of {kinds} and shown as {modalities}")
    return found


def _task(make: MakePair, draw: np.random.Generator, name: str, *, seed: int, split: Split | None) -> VerdictTask:
    pair = _pair(make, draw, split)
    rubric = _rubric(pair, int(draw.integers(1 << 16)))
    better, worse = (Work(pair.kind, pair.task, answer) for answer in (pair.better, pair.worse))
    swapped, tie = bool(draw.integers(2)), not draw.integers(TIES)
    truth: Side = "tie" if tie else "B" if swapped else "A"
    shown = (better, better) if tie else (worse, better) if swapped else (better, worse)
    return VerdictTask(name, pair.kind, pair.modality, about_two(*shown, rubric, seed=seed, name=name), rubric, truth)


def _pair(make: MakePair, draw: np.random.Generator, split: Split | None) -> VerdictPair:
    for _ in range(PATIENCE):
        pair = make(draw)
        if split in (None, side_of(make.__name__, pair)):
            return pair
    raise DataError(f"{make.__name__}: no content belongs to split {split!r}")


def side_of(name: str, pair: VerdictPair) -> Split:
    """Whether a pair is trained on or held out."""
    return split_of(f"verdict/{name}/{pair.content}", per_mille=HELD_OUT)


@cache
def _about(name: str) -> tuple[TaskKind, Modality]:
    pair = NAMED[name](np.random.default_rng(0))
    return pair.kind, pair.modality


def verdict_reward(reply: str, task: VerdictTask) -> float:
    """1 where a reply ends with the right verdict; a reply without a verdict is the learner's own fault: 0."""
    (criterion,) = task.rubric.criteria
    sides = read_sides(reply, task.rubric, task.question.mark)
    return float(sides is not None and sides[criterion.name] == task.truth)


def verdict_sample(task: VerdictTask, tokenizer: Tokenizer, *, rules: MediaRules, why: str = "") -> Sample:
    """A supervised sample in instant mode; only the verdict carries weight.

    Args:
        why: said before it.
    """
    said = assistant(f"{why}\n{task.verdict}" if why else task.verdict)
    return render([task.message, said], tokenizer, rules=rules, thinking=False).sample(task.id)


def _rubric(pair: VerdictPair, choice: int) -> Rubric:
    """One criterion of that name, in the wording and with the stance of one of the rubrics."""
    found: list[tuple[Rubric, Criterion]] = [
        (rubric, one) for rubric in RUBRICS[pair.kind] for one in rubric.criteria if one.name == pair.criterion
    ]
    rubric, criterion = found[choice % len(found)]
    return Rubric(f"{rubric.name}/{criterion.name}", rubric.stance, (criterion,), {})
