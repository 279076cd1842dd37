"""Countries as facts: capital, region, neighbours, languages, currency, people, area, codes.

Source: countryinfo 1.0.1 (MIT). Report: App. B.2 (knowledge).
"""

import functools
import json
from typing import Any

from manyeyes.data.collection import Split
from manyeyes.data.packaged.facts import Entity, Fact, entity_split, table
from manyeyes.data.packages import COUNTRYINFO

LANGUAGES = {
    "ar": "Arabic", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "nl": "Dutch", "pt": "Portuguese", "ru": "Russian", "sv": "Swedish", "tr": "Turkish",
    "zh": "Chinese",
    "da": "Danish", "fi": "Finnish", "no": "Norwegian", "is": "Icelandic", "el": "Greek", "pl": "Polish", "hi": "Hindi",
    "cs": "Czech", "hu": "Hungarian", "ro": "Romanian", "bg": "Bulgarian", "uk": "Ukrainian", "vi": "Vietnamese",
    "th": "Thai", "id": "Indonesian", "ms": "Malay", "fa": "Persian", "ur": "Urdu", "sw": "Swahili", "he": "Hebrew",
    "hr": "Croatian", "sr": "Serbian", "sk": "Slovak", "sl": "Slovene", "et": "Estonian", "lv": "Latvian",
    "lt": "Lithuanian", "ga": "Irish", "mt": "Maltese", "sq": "Albanian", "hy": "Armenian", "ka": "Georgian",
    "bn": "Bengali", "ta": "Tamil", "km": "Khmer", "lo": "Lao", "my": "Burmese", "mn": "Mongolian", "ne": "Nepali",
}  # fmt: skip
"""ISO 639-1 codes that the table uses and that have a common English name; facts with others are left out."""


@functools.cache
def countries() -> tuple[Entity, ...]:
    """All countries with a capital, by name."""
    return tuple(_entity(row) for row in _rows())


def country_tables(split: Split) -> list[str]:
    """One table for each region of the world, with the countries of a split."""
    rows = [row for row in _rows() if entity_split("country", row["name"]) == split]
    head = ("Country", "Capital", "Currency", "Code")
    return [
        table(f"Countries in {region}", head, [_cells(row) for row in rows if row["subregion"] == region])
        for region in sorted({row["subregion"] for row in rows})
    ]


def country_names() -> dict[str, str]:
    """ISO alpha-2 code to name.

    Example:
        >>> country_names()["IS"]
        'Iceland'
    """
    return {row["ISO"]["alpha2"]: row["name"] for row in _rows()}


@functools.cache
def _rows() -> tuple[dict[str, Any], ...]:
    folder = COUNTRYINFO.folder() / "data"
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    named = {row["name"]: row for row in rows if row.get("capital") and row.get("region") and row.get("subregion")}
    return tuple(named[name] | {"capital": _one_text(named[name]["capital"])} for name in sorted(named))


def _one_text(names: str | list[str]) -> str:
    """South Africa has three capitals, given as a list."""
    return names if isinstance(names, str) else ", ".join(names)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return row["name"], row["capital"], (row.get("currencies") or ["-"])[0], row["ISO"]["alpha3"]


def _entity(row: dict[str, Any]) -> Entity:
    return Entity(row["name"], "country", tuple(fact for fact in _facts(row) if fact))


def _facts(row: dict[str, Any]) -> list[Fact | None]:
    name = row["name"]
    return [
        _fact("capital", name, row["capital"], "The capital of {} is {}."),
        _where(name, row["subregion"], row["region"]),
        _fact("population", name, _count(row.get("population")), "The population of {} is {}."),
        _fact("area", name, _count(row.get("area"), " km²"), "The area of {} is {}."),
        _fact("currency", name, " ".join(row.get("currencies") or []), "The currency of {} is {}."),
        _language(name, row.get("languages") or []),
        _demonym(name, row.get("demonym")),
        _fact("calling code", name, _joined(row.get("callingCodes"), "+"), "The calling code of {} is {}."),
        _fact("country code", name, row["ISO"]["alpha3"], "The country code of {} is {}."),
        _borders(name, row.get("borders") or []),
    ]


def _fact(attribute: str, name: str, answer: str, sentence: str) -> Fact | None:
    questions = (f"What is the {attribute} of {name}?", f"{name}: {attribute}?", f"Tell me the {attribute} of {name}.")
    return Fact(attribute, questions, answer, sentence.format(name, answer)) if answer else None


def _where(name: str, subregion: str, region: str) -> Fact:
    questions = (f"Where is {name}?", f"In which part of the world is {name}?")
    sentence = f"{name} is a country in {subregion}" + ("." if region.rstrip("s") in subregion else f", {region}.")
    return Fact("place", questions, subregion, sentence)


def _demonym(name: str, demonym: str | None) -> Fact | None:
    questions = (f"What are people from {name} called?", f"What is somebody from {name} called?")
    return Fact("demonym", questions, demonym, f"People from {name} are called {demonym}.") if demonym else None


def _language(name: str, codes: list[str]) -> Fact | None:
    if not codes or any(code not in LANGUAGES for code in codes):
        return None
    answer = " and ".join(LANGUAGES[code] for code in codes[:3])
    questions = (f"Which languages are spoken in {name}?", f"What do people speak in {name}?")
    return Fact("languages", questions, answer, f"People in {name} speak {answer}.")


def _borders(name: str, codes: list[str]) -> Fact:
    neighbours = [_by_alpha3()[code] for code in codes if code in _by_alpha3()]
    answer = ", ".join(neighbours) if neighbours else "none"
    sentence = f"Its neighbours are {answer}." if neighbours else f"{name} has no land neighbours."
    return Fact("neighbours", (f"Which countries border {name}?", f"Name the neighbours of {name}."), answer, sentence)


@functools.cache
def _by_alpha3() -> dict[str, str]:
    return {row["ISO"]["alpha3"]: row["name"] for row in _rows()}


def _count(value: float | None, unit: str = "") -> str:
    return f"{round(value):,}{unit}" if value else ""


def _joined(codes: list[str] | None, prefix: str) -> str:
    return prefix + codes[0] if codes else ""
