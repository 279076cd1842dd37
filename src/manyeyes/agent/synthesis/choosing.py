"""Which of the candidates that passed are kept: none twice, none nearly like another one, the best few of each seed.

Best is a higher score, then fewer characters, so that of two right answers the brief one is learned (as `rl.rft`).

Report: §4.4.1; Kimi K1.5 (arXiv 2501.12599, §2.4: shortest rejection sampling).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.likeness import Likeness, said
from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class KeepRule:
    """How many, and how different.

    Attributes:
        per_seed: kept of a seed at most.
        per_teacher: of these, of one teacher at most: several experts are wanted, not one expert several times.
        likeness: similarity from which two dialogues are one; see `likeness`.

    Raises:
        ConfigError: numbers out of range.
    """

    per_seed: int = 2
    per_teacher: int = 1
    likeness: float = 0.8

    def __post_init__(self) -> None:
        if min(self.per_seed, self.per_teacher) < 1:
            raise ConfigError(
                f"per_seed and per_teacher must be at least 1, got {self.per_seed} and {self.per_teacher}"
            )
        Likeness(self.likeness)


class Scored(NamedTuple):
    """A candidate that passed all stages, with the score of the last stage that measured something."""

    candidate: Candidate
    score: float


class Chosen(NamedTuple):
    """What is kept, and why each of the others is not: "same", "near", "more"."""

    kept: list[Scored]
    left: dict[str, str]


def different(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Candidates of one seed without repetitions, and the repetitions: nobody need grade one text twice."""
    first: dict[str, Candidate] = {}
    repeated: list[Candidate] = []
    for one in candidates:
        if first.setdefault(said(one), one) is not one:
            repeated.append(one)
    return list(first.values()), repeated


def chosen(by_seed: Iterable[Sequence[Scored]], rule: KeepRule) -> Chosen:
    """The choice over all seeds, in their order."""
    seen, kept, left = Likeness(rule.likeness), [], {}
    for scored in by_seed:
        of_seed: list[Scored] = []
        for one in sorted(scored, key=_worst_last):
            teachers = [other.candidate.teacher for other in of_seed]
            if len(of_seed) == rule.per_seed or teachers.count(one.candidate.teacher) == rule.per_teacher:
                left[one.candidate.key] = "more"
            elif seen.add(one.candidate.key, said(one.candidate)) is not None:
                left[one.candidate.key] = "near"
            else:
                of_seed.append(one)
        kept += of_seed
    return Chosen(kept, left)


def _worst_last(one: Scored) -> tuple[float, int, str]:
    return -one.score, one.candidate.size, one.candidate.key
