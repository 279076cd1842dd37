"""`Tally`: what became of every candidate, and for each stage how many it dropped and why.

    proposed = unasked + dropped by a stage + unverified + same + near + more + kept        counted by teacher

Report: §4.4.1 (what the stages are for is seen here).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

UNASKED, UNVERIFIED, SAME, NEAR, MORE, KEPT = "unasked", "unverified", "same", "near", "more", "kept"
ENDS = (UNASKED, UNVERIFIED, SAME, NEAR, MORE, KEPT)
"""Fates beside "dropped by <stage>"."""
COMMON = 5
"""Reasons of a stage that are told."""


@dataclass(slots=True)
class Tally:
    """See the module.

    Attributes:
        stages: names in order.
        fates: by candidate: one of `ENDS`, or the name of the stage that dropped it.
        teachers: of each candidate.
        reasons: by stage.
    """

    stages: tuple[str, ...]
    fates: dict[str, str] = field(default_factory=dict)
    teachers: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)

    def note(self, key: str, teacher: str, fate: str, why: str = "") -> None:
        """The fate of a candidate, once it is known; a later one takes the place of an earlier one."""
        self.fates[key], self.teachers[key] = fate, teacher
        if why:
            self.reasons.setdefault(fate, Counter())[why] += 1

    def count(self, fate: str, teacher: str = "") -> int:
        """Candidates of that fate, of one teacher or of all."""
        return sum(one == fate and teacher in ("", self.teachers[key]) for key, one in self.fates.items())

    @property
    def columns(self) -> tuple[str, ...]:
        """All fates in the order in which they befall."""
        return (UNASKED, *self.stages, UNVERIFIED, SAME, NEAR, MORE, KEPT)

    def to_json(self) -> dict[str, Any]:
        """As plain data: counts by teacher and fate, and the commonest reasons of each stage."""
        names = sorted(set(self.teachers.values()))
        return {
            "candidates": len(self.fates),
            "kept": self.count(KEPT),
            "teachers": {name: {fate: self.count(fate, name) for fate in self.columns} for name in names},
            "reasons": {stage: dict(found.most_common(COMMON)) for stage, found in sorted(self.reasons.items())},
        }
