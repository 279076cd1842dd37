"""`verdicts`: grading as a task: which of two works is better, for policies that are to become graders.

    environment("verdicts")      task_source("verdicts", kinds=["chat"], modalities=["text"], size=512)

One turn, no tools: the question is word for word what `GenerativeReward.compare` asks, with its pictures where they
stand, and the reward is 1 where a finished answer ends with the known verdict, else 0. It names itself `right`.

Report: §4.4.2 (generative reward models are optimised themselves, across modalities); the tasks are an open choice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, Rewards
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, Message, Part, TextPart, system, user
from manyeyes.data.collection import Split
from manyeyes.reward.grm.rubric import TaskKind
from manyeyes.reward.grm.verdict_pair import Modality
from manyeyes.reward.grm.verdict_task import VerdictTask, pairs_about, verdict_of, verdict_reward
from manyeyes.reward.grm.vote import text_of

MAX_TOKENS = 512
"""Of an answer: a few sentences and the object."""
_PICTURE = re.compile(r"\(a picture of \d+x\d+\)")
"""How `text_of` names a picture in a prompt, which is text alone."""


@dataclass
class Verdicts(Environment):
    """See the module."""

    def messages(self, task: Task) -> list[Message]:
        """See `Environment.messages`; pictures stand where the prompt names them. Raises ConfigError: no verdict."""
        asked = with_pictures(task.prompt, verdict_task_of(task).question.parts)
        return [*([system(self.system)] if self.system else []), user(*asked)]


def environment(*, max_tokens: int = MAX_TOKENS, **fields: Any) -> Verdicts:
    """Where works are compared.

    Args:
        max_tokens: of an answer; beyond it is cut off, and so wrong.
        fields: of `Environment`.

    Raises:
        ConfigError: it has no such field.
    """
    given: dict[str, Any] = {
        "name": "verdicts",
        "judge": Rewards(right=finished_right),
        "sampling": Sampling(temperature=1.0, top_p=1.0, max_tokens=max_tokens),
    }
    try:
        return Verdicts(lambda ctx: Together(), **(given | fields))
    except TypeError as error:
        raise ConfigError(f"environment verdicts: {error}") from None


def finished_right(case: Case) -> float:
    """1 for the known verdict of an attempt that came to its end."""
    return verdict_reward(case.outcome.text, verdict_task_of(case.task)) if case.outcome.finished else 0.0


def task_source(
    seed: int = 0,
    split: Split = "train",
    *,
    kinds: Sequence[TaskKind] | None = None,
    modalities: Sequence[Modality] | None = None,
    size: int | None = None,
    epochs: int | None = None,
) -> Tasks:
    """Comparisons, kinds of pairs in turns.

    Args:
        seed: of the comparisons and of their order.
        split: "train" or "test"; no content occurs in both, whatever the seeds.
        kinds: of tasks that the works were made for; all where nothing is said.
        modalities: of the works; without "image" for policies that see nothing.
        size: how many there are, so that they come again; None makes new ones without end.
        epochs: how often each comes; None goes on for ever. Only with a size.

    Raises:
        ConfigError: an unknown kind or modality, or nothing to draw from.
    """
    pairs = pairs_about(kinds, modalities)
    name = f"verdicts/{split}/{','.join(pairs)}"
    at = partial(_at, pairs, seed, split)
    return Tasks(at, size=size, seed=seed, shuffled=size is not None, epochs=epochs, name=name)


def verdict_task_of(task: Task) -> VerdictTask:
    """The comparison of a task. Raises ConfigError where it has none."""
    truth: Any = task.truth
    if not isinstance(truth, dict) or truth.keys() != {"pair", "number", "seed", "split"}:
        raise ConfigError(f"task {task.id!r} is no comparison; take tasks from task_source('verdicts')")
    return _made(truth["pair"], truth["number"], truth["seed"], truth["split"])


def with_pictures(prompt: str, parts: Sequence[Part]) -> list[Part]:
    """A prompt with pictures where it names them; all before it where it no longer names each."""
    pictures = [part for part in parts if isinstance(part, ImagePart)]
    texts = _PICTURE.split(prompt)
    if len(texts) != len(pictures) + 1:
        return [*pictures, TextPart(prompt)]
    between = [part for text, picture in zip(texts, pictures, strict=False) for part in (TextPart(text), picture)]
    return [part for part in (*between, TextPart(texts[-1])) if not isinstance(part, TextPart) or part.text]


def _at(pairs: Sequence[str], seed: int, split: Split, number: int) -> Task:
    pair, of_pair = pairs[number % len(pairs)], number // len(pairs)
    made = _made(pair, of_pair, seed, split)
    truth = {"pair": pair, "number": of_pair, "seed": seed, "split": split}
    return Task(made.id, text_of(made.question.parts), truth)


@lru_cache(maxsize=256)
def _made(pair: str, number: int, seed: int, split: Split) -> VerdictTask:
    """Attempts at one task come together, so each is drawn about once."""
    return verdict_of(pair, number, seed=seed, split=split)
