"""A table task: what columns an answer must have, which of them name a row, how cells are compared, and the truth.

The format is WideSearch's: a record with `query` and `evaluation` (an object, or its JSON), and a CSV of the truth.
Column names lose their blanks and case. A task that contradicts itself is a `DataError`: it would score everybody 0.

Report: §5.2 (WideSearch); the data card of `ByteDance-Seed/WideSearch`.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from manyeyes.core.errors import DataError

PREPROCESSES = ("norm_str", "extract_number", "norm_date")
METRICS = ("exact_match", "url_match", "in_match", "number_near", "date_near", "llm_judge")


class Table(NamedTuple):
    """Column names and rows of as many cells.

    Example:
        >>> Table(["city", "people"], [["Rome", "2.8"]]).records()
        [{'city': 'Rome', 'people': '2.8'}]
    """

    columns: list[str]
    rows: list[list[str]]

    def records(self) -> list[dict[str, str]]:
        """Each row by column name; of two columns of one name the later counts."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """How the cells of a column are prepared and compared.

    Attributes:
        preprocess: some of `PREPROCESSES`, applied in order to answer and truth.
        metrics: some of `METRICS`.
        criterion: the relative tolerance of number_near, or the words that llm_judge is given.
    """

    preprocess: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    criterion: object = None

    @property
    def aligned(self) -> bool:
        """As a key, its values are matched by the judge before rows are joined."""
        return not {"llm_judge", "exact_match"}.isdisjoint(self.metrics)


@dataclass(frozen=True, slots=True)
class TableTask:
    """A question and its true table.

    Attributes:
        gold: the truth with exactly the required columns, cells as written in the file.
        required: column names in order.
        keys: the required columns that name a row.
        rules: by column name.

    Example:
        >>> task = TableTask(Table(["city", "people"], [["Rome", "2.8"]]), ("city", "people"), ("city",))
        >>> task.values
        ('people',)
    """

    gold: Table
    required: tuple[str, ...]
    keys: tuple[str, ...]
    rules: Mapping[str, ColumnRule] | None = None
    query: str = ""
    name: str = ""
    language: str = ""

    def __post_init__(self) -> None:
        if not self.keys or not set(self.keys) <= set(self.required):
            raise DataError(f"task {self.name}: expected key columns among {self.required}, got {self.keys}")
        if tuple(self.gold.columns) != self.required:
            raise DataError(f"task {self.name}: expected the gold columns {self.required}, got {self.gold.columns}")

    @property
    def values(self) -> tuple[str, ...]:
        """The required columns that are no keys."""
        return tuple(column for column in self.required if column not in self.keys)

    def rule(self, column: str) -> ColumnRule:
        """How a column is compared; an empty rule where the task names none."""
        return (self.rules or {}).get(column, ColumnRule())


def read_task(record: Mapping[str, Any], gold_csv: str) -> TableTask:
    """A task from a line of `widesearch.jsonl` and the text of its gold file.

    Raises:
        DataError: columns are missing from the file, or a rule is unknown.
    """
    name, evaluation = str(record.get("instance_id", "")), record.get("evaluation", {})
    try:
        evaluation = json.loads(evaluation) if isinstance(evaluation, str) else evaluation
        required = tuple(map(column_name, evaluation["required"]))
        keys = tuple(map(column_name, evaluation["unique_columns"]))
        rules = {column_name(column): _rule(item) for column, item in evaluation["eval_pipeline"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"task {name}: expected required, unique_columns and eval_pipeline, got {error!r}") from error
    unknown = {one for rule in rules.values() for one in (*rule.preprocess, *rule.metrics)} - {*PREPROCESSES, *METRICS}
    if unknown:
        raise DataError(f"task {name}: expected rules of {PREPROCESSES} and {METRICS}, got {sorted(unknown)}")
    gold = _choose(read_csv(gold_csv), required, name=name)
    query, language = str(record.get("query", "")), str(record.get("language", ""))
    return TableTask(gold, required, keys, rules, query, name, language)


def read_csv(text: str) -> Table:
    """The table of a CSV file: names normalised, short rows filled with empty cells, long ones cut."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if line]
    except csv.Error as error:
        raise DataError(f"expected a CSV file with a header, the reader says: {error}") from error
    columns = [column_name(cell) for cell in lines[0]] if lines else []
    return Table(columns, [fitted(line, len(columns)) for line in lines[1:]])


def column_name(text: str) -> str:
    """The form in which column names are compared.

    Example:
        >>> column_name(" Founded in ")
        'foundedin'
    """
    return text.strip().lower().replace(" ", "")


def fitted(cells: Sequence[str], width: int) -> list[str]:
    """Exactly `width` cells: empty ones added, later ones dropped."""
    return [*cells[:width], *[""] * (width - len(cells))]


def _rule(item: Mapping[str, Any]) -> ColumnRule:
    return ColumnRule(tuple(item.get("preprocess") or ()), tuple(item.get("metric") or ()), item.get("criterion"))


def _choose(table: Table, required: Sequence[str], *, name: str) -> Table:
    if missing := [column for column in required if column not in table.columns]:
        raise DataError(f"task {name}: expected the gold columns {list(required)}, missing are {missing}")
    places = [table.columns.index(column) for column in required]
    return Table(list(required), [[row[place] for place in places] for row in table.rows])
