"""Writes the tables of the synthetic world (src/manyeyes/swarm/assets/*.json) from the packages of the extra `demo`.

    python docs/make_world.py             writes the three files
    python docs/make_world.py --check     changes nothing; fails when a file is not what the packages say

The base install runs the swarm's demo without those packages; this is how their rows came into it. Which rows are
left out, and why, stands beside each table.
"""

import argparse
import csv
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from manyeyes.data.packaged.countries import LANGUAGES
from manyeyes.data.packages import AIRPORTSDATA, COUNTRYINFO, MENDELEEV

ASSETS = Path(__file__).resolve().parents[1] / "src/manyeyes/swarm/assets"
SMALLEST = 50_000
"""People; below that most facts of the table are missing."""
GONE = "Serbia and Montenegro"
"""No longer a country; both of its successors are in the table."""
AIRPORTS_A_COUNTRY = 2
COUNTRY_NEEDS = ("capital", "region", "subregion", "population", "area", "currencies", "demonym", "callingCodes")
ELEMENTS = """
select e.name, e.symbol, e.atomic_number, e.atomic_weight, e.period, e.group_id, e.block, s.name as series, e.density,
       e.discovery_year, e.discoverers, e.discovery_location
from elements e join series s on s.id = e.series_id order by e.atomic_number
"""


class Table(NamedTuple):
    """A file of assets."""

    source: str
    columns: tuple[str, ...]
    rows: list[list[Any]]


def main() -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    found = countries()
    codes = {row[2]: row[0] for row in found.rows}
    wrong = []
    for name, made in (("countries", found), ("elements", elements()), ("airports", airports(codes))):
        path, text = ASSETS / f"{name}.json", written(made)
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            wrong.append(str(path))
        elif not check:
            path.write_text(text, encoding="utf-8")
            print(f"{path}: {len(made.rows)} rows")
    print("\n".join(f"{path} is not what the packages say; run docs/make_world.py" for path in wrong), end="")
    return bool(wrong)


def written(made: Table) -> str:
    """A row a line, so that a change of one is a change of one line."""
    rows = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in made.rows)
    head = f'"source":{json.dumps(made.source)},\n"columns":{json.dumps(made.columns, separators=(",", ":"))}'
    return f'{{{head},\n"rows":[\n{rows}\n]}}\n'


def countries() -> Table:
    """Those with every fact that a page tells, and enough people; without a second entry of the same country."""
    folder = COUNTRYINFO.folder() / "data"
    plain = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    full = [one for one in plain if all(one.get(need) for need in COUNTRY_NEEDS) and one["population"] >= SMALLEST]
    full = [one for one in full if one["name"] != GONE]
    kept = {one["ISO"]["alpha3"]: one for one in full}
    rows = [_country(one, kept) for one in kept.values()]
    columns = (
        "name", "code", "code2", "capital", "region", "subregion", "population", "area", "currency", "calling_code",
        "demonym", "languages", "neighbours",
    )  # fmt: skip
    return Table("countryinfo 1.0.1", columns, sorted(rows))


def _country(one: dict[str, Any], kept: dict[str, Any]) -> list[Any]:
    capital = one["capital"] if isinstance(one["capital"], str) else one["capital"][0]
    spoken = [LANGUAGES[code] for code in one.get("languages") or [] if code in LANGUAGES]
    return [
        _told(one["name"]), one["ISO"]["alpha3"], one["ISO"]["alpha2"], _told(capital), one["region"],
        _joined(one["subregion"]), round(one["population"]), round(one["area"]), one["currencies"][0],
        "+" + one["callingCodes"][0], _told(one["demonym"]), spoken[:3],
        [code for code in one.get("borders") or [] if code in kept],
    ]  # fmt: skip


def _joined(subregion: str) -> str:
    """One country writes its region with another capital letter than its neighbours."""
    return "South-eastern Asia" if subregion.casefold() == "south-eastern asia" else subregion


def elements() -> Table:
    """All 118; read straight from the package's database."""
    with closing(sqlite3.connect(f"file:{MENDELEEV.folder() / 'elements.db'}?mode=ro&immutable=1", uri=True)) as data:
        found = data.execute(ELEMENTS)
        columns = tuple(column[0] for column in found.description)
        rows = [[_cell(cell) for cell in row] for row in found]
    return Table("mendeleev 1.3.0", columns, rows)


def _cell(cell: Any) -> Any:
    if isinstance(cell, float):
        return float(f"{cell:.10g}")
    return _told(cell) if isinstance(cell, str) else cell


def airports(countries: dict[str, str]) -> Table:
    """International ones with a code and a city, above the sea: so many a country, the main city's first."""
    with (AIRPORTSDATA.folder() / "airports.csv").open(encoding="utf-8", newline="") as file:
        plain = [row for row in csv.DictReader(file) if row["country"] in countries and row["iata"] and row["icao"]]
    plain = [row for row in plain if "International" in row["name"] and row["city"] and float(row["elevation"]) > 0]
    rows: list[list[Any]] = []
    for code in sorted(countries):
        here = sorted((row for row in plain if row["country"] == code), key=lambda row: _rank(row))
        rows += [_airport(row, countries[code]) for row in here[:AIRPORTS_A_COUNTRY]]
    columns = ("name", "code", "icao", "city", "country", "elevation", "zone")
    return Table("airportsdata 20260905", columns, sorted(rows, key=lambda row: row[1]))


def _rank(row: dict[str, str]) -> tuple[bool, str]:
    """The city that names the time zone is mostly the largest."""
    return row["tz"].rpartition("/")[2].replace("_", " ") != row["city"], row["iata"]


def _airport(row: dict[str, str], country: str) -> list[Any]:
    name, city = _told(row["name"]), _told(row["city"])
    return [name, row["iata"], row["icao"], city, country, round(float(row["elevation"])), row["tz"]]


def _told(text: str) -> str:
    """On one line, without what a table's cell cannot hold."""
    return " ".join(text.replace("|", "/").split()).rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
