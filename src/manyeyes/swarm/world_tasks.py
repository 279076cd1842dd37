"""Tasks over the synthetic world with exact answers, in the formats of WideSearch and BrowseComp.

    wide    a table: one row for each member of a group, one column for each fact asked for
    deep    one answer: the only member of a group that meets conditions on its numbers, and something about it, for
            some over one more entity (the capital of the airport's country)

difficulty = rows x columns x hops; hops counts the kinds of pages that a row has to be read from.

Report: §5.2 (WideSearch, BrowseComp); formats: facts of the public data sets' cards.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from manyeyes.core.seeds import stream
from manyeyes.swarm.world_tables import KEY, PLURAL, Entity, Kind, entities, groups

NUMBER_TOLERANCE = 0.01
"""Of `number_near`; outdated numbers of the world are off by 8 % at least."""
TRIES = 200

WIDE: tuple[tuple[Kind, str, tuple[str, ...]], ...] = (
    ("element", "period 2", ("Symbol", "Atomic number")),
    ("country", "Northern Europe", ("Capital", "Currency", "Population")),
    ("element", "the lanthanides", ("Symbol", "Atomic weight", "Discovery year")),
    ("airport", "Western Asia", ("IATA code", "City", "Country", "Elevation (feet)")),
    ("element", "the transition metals", ("Symbol", "Atomic number", "Density (g/cm³)")),
    ("country", "Europe", ("Capital", "Currency", "Population", "Area (km²)")),
    ("element", "the transition metals", ("Symbol", "Atomic weight", "Density (g/cm³)", "Discovery year")),
    ("country", "Africa", ("Capital", "Currency", "Calling code", "Population", "Area (km²)")),
)
DEEP: tuple[tuple[Kind, str, tuple[str, ...], str], ...] = (
    ("country", "Africa", ("Population", "Area (km²)"), "Capital"),
    ("country", "Asia", ("Population", "Area (km²)"), "Currency"),
    ("country", "Europe", ("Population", "Area (km²)"), "Demonym"),
    ("element", "the transition metals", ("Atomic weight", "Density (g/cm³)"), "Discovered by"),
    ("airport", "Europe", ("Elevation (feet)",), "ICAO code"),
    ("airport", "Asia", ("Elevation (feet)",), "Country/Capital"),
    ("airport", "Africa", ("Elevation (feet)",), "Country/Currency"),
)
"""Kind, group, conditions, what is asked; "Country/Capital" asks for the capital of its country."""


@dataclass(frozen=True)
class WideTask:
    """A table to be filled.

    Attributes:
        columns: in order; the first is the key.
        gold: rows in the same order.
        hops: kinds of pages that a row is read from.

    Example:
        >>> task = wide_tasks()[0]
        >>> task.columns, task.gold[0], task.difficulty
        (('Element', 'Symbol', 'Atomic number'), ('Lithium', 'Li', '3'), 24)
    """

    id: str
    query: str
    columns: tuple[str, ...]
    gold: tuple[tuple[str, ...], ...]
    hops: int
    numeric: frozenset[str] = frozenset()

    @property
    def difficulty(self) -> int:
        """Rows x columns x hops."""
        return len(self.gold) * len(self.columns) * self.hops

    @property
    def evaluation(self) -> dict[str, Any]:
        """How it is scored, as WideSearch's data says it: columns by their normalised names."""
        names = [normal(column) for column in self.columns]
        number = {"preprocess": ["extract_number"], "metric": ["number_near"], "criterion": NUMBER_TOLERANCE}
        text = {"preprocess": ["norm_str"], "metric": ["exact_match"]}
        pipeline = {normal(column): number if column in self.numeric else text for column in self.columns}
        return {"unique_columns": names[:1], "required": names, "eval_pipeline": pipeline}

    @property
    def row(self) -> dict[str, str]:
        """A line of `widesearch.jsonl`; the gold table is in `gold_csv`."""
        evaluation = json.dumps(self.evaluation, ensure_ascii=False)
        return {"instance_id": self.id, "query": self.query, "evaluation": evaluation, "language": "en"}

    @property
    def gold_csv(self) -> str:
        """The text of `widesearch_gold/<id>.csv`."""
        text = io.StringIO()
        csv.writer(text).writerows([self.columns, *self.gold])
        return text.getvalue()


@dataclass(frozen=True)
class DeepTask:
    """A question with one answer.

    Attributes:
        candidates: entities that have to be looked at in the worst case.
        subject: the one that meets the conditions.
    """

    id: str
    problem: str
    answer: str
    candidates: int
    hops: int
    subject: str


class Condition(NamedTuple):
    """A number that has to lie between two others."""

    label: str
    low: float
    high: float

    def holds(self, entity: Entity) -> bool:
        """Whether it does."""
        number = entity.facts[self.label].number
        return number is not None and self.low <= number <= self.high

    def __str__(self) -> str:
        return f"{self.label} between {_written(self.low)} and {_written(self.high)}"


def wide_tasks() -> tuple[WideTask, ...]:
    """From the smallest to the largest."""
    made = [_wide(number, *spec) for number, spec in enumerate(WIDE, 1)]
    return tuple(sorted(made, key=lambda task: task.difficulty))


def group_tasks(*, least: int = 8) -> tuple[WideTask, ...]:
    """A table of every group with so many members, two facts of each; what an orchestrator meets in all its variety."""
    asked = {
        "country": ("Capital", "Population"),
        "element": ("Symbol", "Atomic weight"),
        "airport": ("City", "Country"),
    }
    return tuple(
        _wide(100 + number, kind, group, asked[kind])
        for number, ((kind, group), members) in enumerate(groups().items())
        if len(members) >= least
    )


def deep_tasks(seed: int = 0, *, each: int = 2) -> tuple[DeepTask, ...]:
    """`each` questions of every kind, about different entities."""
    made: list[DeepTask] = []
    for number, spec in enumerate(DEEP):
        draw = stream(seed, "swarm/deep", number)
        for _ in range(each):
            made.append(_deep(f"deep_{len(made) + 1:03d}", spec, draw, [task.subject for task in made]))
    return tuple(made)


def normal(column: str) -> str:
    """A column's name as the scorer compares it.

    Example:
        >>> normal("Atomic number")
        'atomicnumber'
    """
    return "".join(column.split()).lower()


def _wide(number: int, kind: Kind, group: str, labels: Sequence[str]) -> WideTask:
    members = groups()[kind, group]
    columns = (KEY[kind], *labels)
    query = (
        f"I need a table of all {PLURAL[kind]} of {group}. There is a complete list of them on the web. For each of "
        f"them, find: {', '.join(labels)}. Where pages disagree, the newest page is right. Give the result as one "
        f"Markdown table with exactly these columns, in this order: {', '.join(columns)}. Write values as the pages "
        f"write them, do not ask questions, and leave no row out."
    )
    gold = tuple((entity.name, *(entity.facts[label].value for label in labels)) for entity in members)
    hops = len({members[0].facts[label].where for label in labels})
    numeric = frozenset(label for label in labels if members[0].facts[label].number is not None)
    return WideTask(f"world_{number:03d}", query, columns, gold, hops, numeric)


def _deep(
    id: str, spec: tuple[Kind, str, tuple[str, ...], str], draw: np.random.Generator, asked_before: Sequence[str]
) -> DeepTask:
    kind, group, labels, asked = spec
    members = groups()[kind, group]
    subject, conditions = _only_one(members, labels, draw, asked_before)
    fact, _, beyond = asked.partition("/")
    what = f"the {beyond} of its {fact}" if beyond else f"its {fact}"
    answer = subject.facts[fact].value
    problem = (
        f"Among all {PLURAL[kind]} of {group} there is exactly one with {' and '.join(map(str, conditions))}. What is "
        f"{what}? Where pages disagree, the newest page is right. Answer with three lines: Explanation, Exact Answer, "
        f"Confidence."
    )
    answer = entities()[answer].facts[beyond].value if beyond else answer
    hops = 1 + len({subject.facts[label].where for label in (*labels, fact)}) + bool(beyond)
    return DeepTask(id, problem, answer, len(members), hops, subject.name)


def _only_one(
    members: Sequence[Entity], labels: Sequence[str], draw: np.random.Generator, asked_before: Sequence[str]
) -> tuple[Entity, list[Condition]]:
    for _ in range(TRIES):
        subject = members[int(draw.integers(len(members)))]
        conditions = [_around(subject, label, draw) for label in labels]
        meeting = [entity for entity in members if all(condition.holds(entity) for condition in conditions)]
        if meeting == [subject] and subject.name not in asked_before:
            return subject, conditions
    raise ValueError(f"no member of the group can be told from the others by {', '.join(labels)}")


def _around(subject: Entity, label: str, draw: np.random.Generator) -> Condition:
    number = subject.facts[label].number
    assert number is not None
    low, high = (number * float(draw.uniform(*span)) for span in ((0.93, 0.99), (1.01, 1.07)))
    return Condition(label, float(f"{min(low, high):.3g}"), float(f"{max(low, high):.3g}"))


def _written(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:g}"
