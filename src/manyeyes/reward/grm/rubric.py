"""`Rubric`: the questions that a grader answers about a piece of work, each with levels in words.

    level i of n  →  i / (n - 1)          score = Σ weight · value / Σ weight, from 0 to 1

Levels are described, not only numbered: two graders mean the same by "2", and the mapping to a number is ours.
Report: §4.4.2 (fine-grained evaluators; several alternative rubrics for each task environment).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from manyeyes.core.errors import ConfigError

TaskKind = Literal["chat", "coding", "search", "artefact"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One question.

    Attributes:
        name: of its part of the score; a word.
        question: what is asked.
        levels: from worst to best, at least two, each in a few words.

    Example:
        >>> Criterion("brief", "Is it brief?", ("no", "nearly", "yes")).value(1)
        0.5
    """

    name: str
    question: str
    levels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.levels) < 2 or not self.name.isidentifier():
            raise ConfigError(f"a criterion needs a word as its name and two levels or more, got {self}")

    def value(self, level: int) -> float:
        """From 0 (worst) to 1 (best)."""
        return level / (len(self.levels) - 1)


@dataclass(frozen=True, slots=True)
class Rubric:
    """What one vote is about.

    Attributes:
        name: unique among those of its kind.
        stance: who the grader is to be, in a sentence.
        criteria: asked in this order.
        weights: of the criteria, by name; 1 where nothing is said.
    """

    name: str
    stance: str
    criteria: tuple[Criterion, ...]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        names = [criterion.name for criterion in self.criteria]
        if not names or len(set(names)) < len(names) or self.weights.keys() - set(names):
            raise ConfigError(f"rubric {self.name!r}: criteria {names} need distinct names, and weights only of these")
        if any(not 0 < weight < float("inf") for weight in self.weights.values()):
            raise ConfigError(f"rubric {self.name!r}: weights must be above 0 and finite, got {dict(self.weights)}")

    def score(self, values: Mapping[str, float]) -> float:
        """The weighted mean of values from 0 to 1, one for each criterion."""
        weights = {criterion.name: self.weights.get(criterion.name, 1.0) for criterion in self.criteria}
        return sum(weights[name] * values[name] for name in weights) / sum(weights.values())
