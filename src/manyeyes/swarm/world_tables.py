"""The real tables under the synthetic world: countries, elements and airports as entities with facts.

A fact has a label, a value as pages write it, and the page that tells it; numbers can be told wrong by older pages. A
group is a set of entities that a list page names and a task can ask for.

Source: countryinfo, mendeleev, airportsdata (assets/README.md). Report: §5 (WideSearch, BrowseComp).
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, NamedTuple

Kind = Literal["country", "element", "airport"]
Where = Literal["profile", "figures", "history"]
"""The page that tells a fact."""


class Fact(NamedTuple):
    """One thing that is known of an entity.

    Attributes:
        value: as pages write it.
        number: behind the value; None where it is no number that could have been another one in the past.
    """

    label: str
    value: str
    where: Where = "profile"
    number: float | None = None


@dataclass(frozen=True)
class Entity:
    """A thing that has a page.

    Attributes:
        name: as lists write it; the key of its row.
        groups: that it belongs to, each as a list's title says it.
        related: names of entities that its page links to.

    Example:
        >>> iceland = entities()["Iceland"]
        >>> iceland.facts["Capital"].value, iceland.groups
        ('Reykjavik', ('Europe', 'Northern Europe'))
    """

    kind: Kind
    name: str
    facts: dict[str, Fact]
    groups: tuple[str, ...]
    related: tuple[str, ...] = ()


PLURAL: dict[Kind, str] = {
    "country": "countries and territories",
    "element": "chemical elements",
    "airport": "international airports",
}
KEY: dict[Kind, str] = {"country": "Country", "element": "Element", "airport": "Airport"}
"""Name of the column that holds the entity."""


@functools.cache
def entities() -> dict[str, Entity]:
    """All, by name; countries first, then elements, then airports."""
    made = [*_countries(), *_elements(), *_airports()]
    return {entity.name: entity for entity in made}


@functools.cache
def groups() -> dict[tuple[Kind, str], tuple[Entity, ...]]:
    """The members of every group, by name of the entity."""
    found: dict[tuple[Kind, str], list[Entity]] = {}
    for entity in entities().values():
        for group in entity.groups:
            found.setdefault((entity.kind, group), []).append(entity)
    return {key: tuple(members) for key, members in found.items()}


def _rows(name: str) -> Iterator[dict[str, Any]]:
    text = (resources.files("manyeyes.swarm") / "assets" / f"{name}.json").read_text(encoding="utf-8")
    table = json.loads(text)
    return (dict(zip(table["columns"], row, strict=True)) for row in table["rows"])


def _countries() -> Iterator[Entity]:
    rows = list(_rows("countries"))
    names = {row["code"]: row["name"] for row in rows}
    for row in rows:
        facts = (
            Fact("Capital", row["capital"]),
            Fact("Country code", row["code"]),
            Fact("Currency", row["currency"]),
            Fact("Calling code", row["calling_code"]),
            Fact("Demonym", row["demonym"]),
            *([Fact("Languages", ", ".join(row["languages"]))] if row["languages"] else []),
            Fact("Population", f"{row['population']:,}", "figures", row["population"]),
            Fact("Area (km²)", f"{row['area']:,}", "figures", row["area"]),
        )
        related = tuple(names[code] for code in row["neighbours"] if code in names)
        yield _entity("country", row["name"], facts, (_the(row["region"]), row["subregion"]), related)


def _elements() -> Iterator[Entity]:
    for row in _rows("elements"):
        facts = (
            Fact("Symbol", row["symbol"]),
            Fact("Atomic number", str(row["atomic_number"])),
            Fact("Period", str(row["period"])),
            *([Fact("Group", f"{row['group_id']:g}")] if row["group_id"] is not None else []),
            Fact("Block", row["block"]),
            Fact("Series", row["series"]),
            Fact("Atomic weight", f"{row['atomic_weight']:g}", "figures", row["atomic_weight"]),
            Fact("Density (g/cm³)", f"{row['density']:g}", "figures", row["density"]),
            Fact("Discovery year", str(row["discovery_year"] or "unknown"), "history"),
            Fact("Discovered by", row["discoverers"], "history"),
        )
        series = f"the {row['series'].lower()}"
        yield _entity("element", row["name"], facts, (f"period {row['period']}", series))


def _airports() -> Iterator[Entity]:
    places = {row["name"]: (_the(row["region"]), row["subregion"]) for row in _rows("countries")}
    for row in _rows("airports"):
        facts = (
            Fact("IATA code", row["code"]),
            Fact("ICAO code", row["icao"]),
            Fact("City", row["city"]),
            Fact("Country", row["country"]),
            Fact("Time zone", row["zone"]),
            Fact("Elevation (feet)", f"{row['elevation']:,}", "figures", row["elevation"]),
        )
        name = f"{row['name']} ({row['code']})"
        yield _entity("airport", name, facts, places[row["country"]], (row["country"],))


def _entity(
    kind: Kind, name: str, facts: tuple[Fact, ...], groups: tuple[str, ...], related: tuple[str, ...] = ()
) -> Entity:
    return Entity(kind, name, {fact.label: fact for fact in facts}, tuple(dict.fromkeys(groups)), related)


def _the(region: str) -> str:
    return f"the {region}" if region == "Americas" else region
