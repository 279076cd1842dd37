"""Chemical elements as facts: symbol, number, weight, group, period, series, discovery, description, uses.

Read straight from the package's SQLite file: no object layer, no import of the package.

Source: mendeleev 1.3.0 (MIT). Report: App. B.2 (knowledge).
"""

import functools
import sqlite3
from contextlib import closing
from typing import Any

from manyeyes.data.collection import Split
from manyeyes.data.packaged.facts import Entity, Fact, entity_split, table
from manyeyes.data.packages import MENDELEEV

LONGEST_ANSWER = 240
"""Characters; longer texts are told on the page and not asked for."""

_QUERY = """
select e.atomic_number, e.name, e.symbol, e.atomic_weight, e.period, e.group_id, e.block, s.name as series,
       e.density, e.electronic_configuration, e.discovery_year, e.discoverers, e.description, e.uses, e.name_origin,
       e.is_radioactive
from elements e join series s on s.id = e.series_id order by e.atomic_number
"""


@functools.cache
def elements() -> tuple[Entity, ...]:
    """All 118, by atomic number."""
    return tuple(_entity(row) for row in _rows())


def element_tables(split: Split) -> list[str]:
    """One table for each period, with the elements of a split."""
    rows = [row for row in _rows() if entity_split("element", row["name"]) == split]
    head = ("Number", "Name", "Symbol", "Weight", "Series")
    return [
        table(f"Elements of period {period}", head, [_cells(row) for row in rows if row["period"] == period])
        for period in sorted({row["period"] for row in rows})
    ]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return str(row["atomic_number"]), row["name"], row["symbol"], f"{row['atomic_weight']:g}", row["series"]


@functools.cache
def _rows() -> tuple[dict[str, Any], ...]:
    path = MENDELEEV.folder() / "elements.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return tuple(dict(row) for row in database.execute(_QUERY))


def _entity(row: dict[str, Any]) -> Entity:
    return Entity(row["name"], "element", tuple(fact for fact in _facts(row) if fact))


def _facts(row: dict[str, Any]) -> list[Fact | None]:
    name = row["name"].lower()
    radioactive = "yes" if row["is_radioactive"] else "no"
    return [
        _fact("symbol", name, row["symbol"]),
        _fact("atomic number", name, row["atomic_number"]),
        _reverse(row["symbol"], row["name"]),
        _fact("atomic weight", name, f"{row['atomic_weight']:g}"),
        _fact("period", name, row["period"]),
        _fact("group", name, row["group_id"]),
        _series(name, row["series"]),
        _fact("electron configuration", name, row["electronic_configuration"]),
        _fact("discovery year", name, row["discovery_year"]),
        Fact("radioactive", (f"Is {name} radioactive?",), radioactive, _whether(row["name"], row["is_radioactive"])),
        _told("description", f"What is {name} like?", row["description"]),
        _told("uses", f"What is {name} used for?", row["uses"]),
        _told("name origin", f"Where does the name {name} come from?", row["name_origin"]),
    ]


def _fact(attribute: str, name: str, value: Any) -> Fact | None:
    questions = (f"What is the {attribute} of {name}?", f"{name.capitalize()}: {attribute}?")
    return (
        Fact(attribute, questions, str(value), f"The {attribute} of {name} is {value}.") if value is not None else None
    )


def _reverse(symbol: str, name: str) -> Fact:
    questions = (f"Which element has the symbol {symbol}?", f"What does {symbol} stand for in chemistry?")
    return Fact("name", questions, name, f"{symbol} stands for {name.lower()}.")


def _series(name: str, series: str) -> Fact:
    kind = series.lower().rstrip("s")
    return Fact("series", (f"What kind of element is {name}?",), kind, f"It belongs to the {series.lower()}.")


def _whether(name: str, radioactive: int | None) -> str:
    return f"{name} is radioactive." if radioactive else f"{name} has stable isotopes."


def _told(attribute: str, question: str, text: str | None) -> Fact | None:
    told = " ".join((text or "").split())
    asked = (question,) if len(told) <= LONGEST_ANSWER else ()
    return Fact(attribute, asked, told, told if told.endswith(".") else told + ".") if told else None
