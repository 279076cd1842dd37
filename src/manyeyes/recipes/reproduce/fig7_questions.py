"""What figure 7 asks: arms, questions and contexts, as trials.

Report: §5.2, Figure 7; App. E.8 (15 and 100 steps).
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from manyeyes.core.errors import ConfigError
from manyeyes.recipes.reproduce.fig_trials import Planned
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.session import Mode, SessionConfig, Strategy
from manyeyes.swarm.world import DeepTask, deep_tasks

STEPS_ALONE = 400
BUDGETS = (25, 50, 100, 200, 400)
"""Critical steps at which the table reads the curves."""
CONTEXT = 24_000
SMALLER_CONTEXTS = (16_000, 20_000)


class Arm(NamedTuple):
    """A way to answer; `answers` of the model that it takes, about."""

    mode: Mode
    context: Strategy
    answers: float


ARMS = {
    "none": Arm("single", "none", 30.0),
    "discard-all": Arm("single", "discard-all", 110.0),
    "swarm": Arm("swarm", "none", 140.0),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the experiment is.

    Attributes:
        each: questions of each kind and seed.
        seeds: of questions and of the order in which candidates are looked at.
        contexts: tokens; the first is that of the figure, the others are tried with the first seed alone.
    """

    each: int = 5
    seeds: int = 2
    contexts: tuple[int, ...] = (CONTEXT, *SMALLER_CONTEXTS)

    def __post_init__(self) -> None:
        if not 1 <= self.each <= 8 or not 1 <= self.seeds <= 20:
            raise ConfigError(f"fig7 takes 1 to 8 questions of a kind and 1 to 20 seeds, got {self.each}, {self.seeds}")

    @property
    def identity(self) -> str:
        """Changes with what is run, but for the number of seeds: more of them may be added."""
        problems = [task.problem for task in deep_tasks(0, each=self.each)]
        text = repr((self.each, self.contexts, STEPS_ALONE, ARMS, problems))
        return hashlib.sha256(text.encode()).hexdigest()[:8]


QUICK = Scale(each=1, seeds=1, contexts=(CONTEXT,))


class Asked(NamedTuple):
    """A question in one arm."""

    arm: str
    context: int
    seed: int
    task: DeepTask

    @property
    def planned(self) -> Planned:
        """The trial."""
        arm = ARMS[self.arm]
        return Planned(
            f"{self.arm}-{self.context}/{self.seed}-{self.task.id}",
            SessionConfig(
                self.task.problem, mode=arm.mode, model="rules", preset="browsecomp",
                context=arm.context, context_tokens=self.context,
            ),
            lambda past: rule_model(context_tokens=self.context, seed=self.seed, past=past),
            answers=arm.answers,
            weight=arm.answers,
            steps=STEPS_ALONE,
        )  # fmt: skip


def questions(scale: Scale) -> list[Asked]:
    """All trials."""
    found = []
    for context in scale.contexts:
        for seed in range(scale.seeds if context == scale.contexts[0] else 1):
            tasks = deep_tasks(seed, each=scale.each)
            found += [Asked(arm, context, seed, task) for arm in ARMS for task in tasks]
    return found
