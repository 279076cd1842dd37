"""What a task asks for, read from its words: a table of a group, one answer about a group, or a part of a table.

Report: none; part of the rule-based model.
"""

import re
from dataclasses import dataclass, field

_TABLE = re.compile(r"table of all (?P<topic>.+?)\. ")
_COLUMNS = re.compile(r"exactly these columns, in this order: (?P<columns>.+?)\. ")
_WHICH = re.compile(
    r"Among all (?P<topic>.+?) there is exactly one with (?P<conditions>.+?)\. What is (?P<asked>.+?)\?"
)
_PART = re.compile(
    r"^Fill this part of a table of (?P<topic>.+?)\.\nColumns: (?P<columns>.+)\nRows:\n(?P<rows>(?:- .+\n)+)"
)
_KEEP = re.compile(r"^Keep only rows with (?P<conditions>.+)\.$", re.MULTILINE)
_CONDITION = re.compile(r"(?P<label>[^\d]+?) between (?P<low>[\d.,]+) and (?P<high>[\d.,]+)(?: and |$)")


@dataclass(frozen=True)
class Wanted:
    """A number that has to lie between two others."""

    label: str
    low: str
    high: str

    def holds(self, value: str) -> bool:
        """Whether a value, as a page writes it, does."""
        number = re.search(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?", value)
        return number is not None and _number(self.low) <= _number(number[0]) <= _number(self.high)

    def __str__(self) -> str:
        return f"{self.label} between {self.low} and {self.high}"


@dataclass(frozen=True)
class Plan:
    """A task understood.

    Attributes:
        topic: of the list page; "" where the task is not understood.
        columns: of the table; the first is the key. Of a question: key, conditions, what is asked.
        rows: that are given; () where a list has to be found.
        conditions: that a row must meet.
        asked: of a question; "" for a table.
        beyond: what is asked of the entity that `asked` names; "" where `asked` is the answer.

    Example:
        >>> plan_of("Among all metals of X there is exactly one with Weight between 1 and 2. What is its Name?").asked
        'Name'
    """

    topic: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    conditions: tuple[Wanted, ...] = field(default=())
    asked: str = ""
    beyond: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the facts that are wanted."""
        return self.columns[1:]

    @property
    def deep(self) -> bool:
        """Whether one answer is asked for."""
        return bool(self.asked)


def plan_of(task: str) -> Plan:
    """What a task asks for."""
    if part := _PART.search(task):
        keep = _KEEP.search(task)
        rows = tuple(line[2:] for line in part["rows"].splitlines())
        columns = tuple(part["columns"].split(" | "))
        return Plan(part["topic"], columns, rows, _conditions(keep["conditions"]) if keep else ())
    if (table := _TABLE.search(task)) and (columns := _COLUMNS.search(task)):
        return Plan(table["topic"], tuple(columns["columns"].split(", ")))
    if which := _WHICH.search(task):
        return _question(which["topic"], _conditions(which["conditions"]), which["asked"])
    return Plan()


def part_of_table(plan: Plan, rows: tuple[str, ...]) -> str:
    """The words that give a sub-agent its part; `plan_of` reads them."""
    keep = f"Keep only rows with {' and '.join(map(str, plan.conditions))}.\n" if plan.conditions else ""
    listed = "".join(f"- {row}\n" for row in rows)
    return (
        f"Fill this part of a table of {plan.topic}.\nColumns: {' | '.join(plan.columns)}\nRows:\n{listed}{keep}"
        f"Where pages disagree, the newest page is right. Return one Markdown table with these columns."
    )


def role_subject(topic: str) -> str:
    """What an agent for a topic is called after.

    Example:
        >>> [role_subject(topic) for topic in ("airports of Northern Europe", "chemical elements of the lanthanides")]
        ['Northern Europe Airport', 'Lanthanides Element']
    """
    kind, _, group = topic.partition(" of ")
    last = (kind.partition(" and ")[0].split() or ["table"])[-1]
    one = f"{last.removesuffix('ies')}y" if last.endswith("ies") else last.removesuffix("s")
    words = f"{group.removeprefix('the ')} {one}".split()
    return " ".join(word if word in ("and", "the", "of") else word[0].upper() + word[1:] for word in words)


def _question(topic: str, conditions: tuple[Wanted, ...], asked: str) -> Plan:
    over = re.fullmatch(r"the (.+) of its (.+)", asked)
    beyond, label = (over[1], over[2]) if over else ("", asked.removeprefix("its "))
    columns = ("Name", *(condition.label for condition in conditions), label)
    return Plan(topic, columns, (), conditions, label, beyond)


def _conditions(text: str) -> tuple[Wanted, ...]:
    return tuple(Wanted(found["label"], found["low"], found["high"]) for found in _CONDITION.finditer(text))


def _number(text: str) -> float:
    return float(text.replace(",", ""))
