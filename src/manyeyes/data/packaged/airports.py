"""Airports with a three-letter code as facts: city, country, elevation; and lists of airports by country.

Source: airportsdata 20260905 (MIT). Report: App. B.2 (knowledge).
"""

import csv
import functools
from itertools import groupby

from manyeyes.data.collection import Split
from manyeyes.data.packaged.countries import country_names
from manyeyes.data.packaged.facts import Entity, Fact, entity_split, table
from manyeyes.data.packages import AIRPORTSDATA


@functools.cache
def airports() -> tuple[Entity, ...]:
    """International airports with an IATA code, a city and a known country, by code."""
    return tuple(_entity(row) for row in _rows() if "International" in row["name"])


def airport_tables(split: Split) -> list[str]:
    """One table for each country with all its coded airports, of a split."""
    rows = [row for row in _rows() if entity_split("airport", _title(row)) == split]
    rows.sort(key=lambda row: (row["country"], row["iata"]))
    head = ("Code", "Airport", "City")
    return [
        table(f"Airports in {country}", head, [(row["iata"], row["name"], row["city"]) for row in group])
        for country, group in groupby(rows, key=lambda row: row["country"])
    ]


def _title(row: dict[str, str]) -> str:
    return f"{row['name']} ({row['iata']})"


@functools.cache
def _rows() -> tuple[dict[str, str], ...]:
    names = country_names()
    with (AIRPORTSDATA.folder() / "airports.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["iata"] and row["city"] and row["country"] in names]
    named = {row["iata"]: row | {"country": names[row["country"]]} for row in rows}
    return tuple(named[code] for code in sorted(named))


def _entity(row: dict[str, str]) -> Entity:
    code, name, city, country = row["iata"], row["name"], row["city"], row["country"]
    feet = f"{round(float(row['elevation'])):,} feet"
    return Entity(
        _title(row),
        "airport",
        (
            Fact("city", (f"Which city does {name} serve?", f"Where is {name}?"), city, f"{name} serves {city}."),
            Fact("country", (f"In which country is the airport {code}?",), country, f"It is in {country}."),
            Fact("code", (f"What is the code of {name}?",), code, f"Its code is {code}."),
            Fact("name", (f"Which airport has the code {code}?",), name, f"{code} stands for {name}."),
            Fact("elevation", (f"How high is {name}?",), feet, f"It lies {feet} above the sea."),
        ),
    )
