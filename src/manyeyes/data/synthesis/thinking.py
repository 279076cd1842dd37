"""`Thinking`: dialogues that reason before they answer, at every length, and a share that answers at once.

    user       What is 4 + 17 + 8?
    assistant  <think>4 + 17 = 21
               21 + 8 = 29</think>29                 thinking mode, terse to wordy; or `29` alone, instant mode

Report: §4.4.1 (supervised fine-tuning with pipelines for each domain; thinking and instant mode).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import assistant, user
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.synthesis.generator import pick
from manyeyes.data.synthesis.thinking_dialogues import ThinkingDialogues
from manyeyes.data.synthesis.thinking_families import LEVELS, families, problem, require_levels
from manyeyes.data.synthesis.thinking_problem import Problem
from manyeyes.data.synthesis.thinking_trace import told


@dataclass(frozen=True, kw_only=True)
class Thinking(ThinkingDialogues):
    """A collection of dialogues; see the module and `ThinkingDialogues`.

    Attributes:
        families: which ones, in turns; all where nothing is said.
        levels: each as likely.

    Raises:
        ConfigError: nothing to draw from, or a level that one of the families does not have.
    """

    families: Sequence[str] | None = None
    levels: Sequence[int] = LEVELS
    name: str = "sft/thinking"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_levels(families(self.families), self.levels)
        if not self.levels:
            raise ConfigError(f"{self.name}: expected at least one level")

    def _draw(self, rng: np.random.Generator, index: int) -> Problem:
        names = families(self.families)
        return problem(names[index % len(names)], rng, level=pick(rng, self.levels), split=self.split)

    def _content(self, plan: Problem) -> str:
        return plan.question

    def _write(self, plan: Problem, name: str, rng: np.random.Generator) -> Dialogue:
        thinking = self._thinks(rng)
        reasoning = told(plan, rng, wordiness=self._wordiness(rng)) if thinking else None
        return Dialogue(name, (user(plan.question), assistant(plan.answer, reasoning=reasoning)), thinking=thinking)
