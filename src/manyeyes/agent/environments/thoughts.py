"""`thoughts`: short text problems with exact answers, for policies that reason in words before they answer.

    environment("thoughts")    task_source("thoughts", families=["sum", "trace"], size=512)    or capability="coding"

No tools: the reward is 1 where the last line of what is said behind the reasoning is the answer, else 0. So it may be
gated by a budget of tokens (Toggle). Families and the line between their splits are those of supervised fine-tuning
(`data.synthesis.thinking_families`); which are trained on and which are kept for transfer, a recipe chooses.

Report: §4.4.2 (rule-based outcome rewards, Toggle), §2.3 (domains by capability), Fig. 5.
"""

from collections.abc import Sequence
from typing import Any

from manyeyes.agent.answer_rewards import same_answer
from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, Rewards
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError
from manyeyes.core.seeds import stream
from manyeyes.data.collection import Split
from manyeyes.data.synthesis.thinking_families import LEVELS, problem, require_levels
from manyeyes.data.synthesis.thinking_families import families as names_of
from manyeyes.data.synthesis.thinking_problem import Capability

MAX_TOKENS = 384
"""Of an answer with its reasoning: about twenty times the tersest traces."""


def environment(*, max_tokens: int = MAX_TOKENS, **fields: Any) -> Environment:
    """Where problems are answered.

    Args:
        max_tokens: of an answer; beyond it is cut off, and so wrong.
        fields: of `Environment`.
    """
    given: dict[str, Any] = {
        "name": "thoughts",
        "judge": Rewards(correct=finished_right),
        "sampling": Sampling(temperature=1.0, top_p=1.0, max_tokens=max_tokens),
    }
    return Environment(lambda ctx: Together(), **(given | fields))


def finished_right(case: Case) -> float:
    """1 for the right answer of an attempt that came to its end; what was cut off is wrong, whatever it says."""
    return same_answer(case) if case.outcome.finished else 0.0


def task_source(
    seed: int = 0,
    split: Split = "train",
    *,
    families: Sequence[str] | None = None,
    capability: Capability | None = None,
    levels: Sequence[int] = LEVELS,
    size: int | None = None,
    epochs: int | None = None,
) -> Tasks:
    """Problems, families and levels in turns.

    Args:
        seed: of the problems and of their order.
        split: "train" or "test"; no question occurs in both.
        families: all where nothing is said.
        capability: of these only those that ask for it.
        size: how many there are, so that they come again; None makes new ones without end.
        epochs: how often each comes; None goes on for ever. Only with a size.

    Raises:
        ConfigError: nothing to draw from.
    """
    require_levels(names_of(families, capability), levels)
    offers = [(family, level) for level in levels for family in names_of(families, capability)]
    if not offers:
        raise ConfigError("a source of thoughts needs at least one level")
    name = f"thoughts/{split}/{','.join(dict.fromkeys(f for f, _ in offers))}/{','.join(map(str, levels))}"

    def at(number: int) -> Task:
        family, level = offers[number % len(offers)]
        return thought_task(family, number, level=level, split=split, seed=seed)

    return Tasks(at, size=size, seed=seed, shuffled=size is not None, epochs=epochs, name=name)


def thought_task(family: str, number: int, *, level: int, split: Split = "train", seed: int = 0) -> Task:
    """Problem `number` of a family and level; always the same one."""
    drawn = problem(family, stream(seed, f"thoughts/{split}/{family}/{level}", number), level=level, split=split)
    return Task(f"thoughts/{family}/{level}/{split}/{seed}/{number}", drawn.question, drawn.answer)
