"""Pages of the synthetic world: what is true is spread over several, what is old contradicts it.

    profile     of every entity; most are new, every fourth is years old and gives an outdated number
    figures     the numbers, new
    history     of elements: who found them, when
    archive     of every third entity: an old edition of its figures, all numbers outdated
    letters     of every second entity: a traveller's tale that mentions it and some loose numbers
    list        of every group: links to the profiles

Where pages disagree, the newest is right; every page says its date. Titles are "Entity – kind of page".

Report: §5 (WideSearch, BrowseComp).
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from manyeyes.agent.tools.local_web import WebPage
from manyeyes.core.seeds import stream
from manyeyes.swarm.world_tables import PLURAL, Entity, Fact, Kind, entities, groups

HOST: dict[Kind, str] = {"country": "atlas.example", "element": "periodic.example", "airport": "airfields.example"}
LISTS, FIGURES, HISTORY, ARCHIVE, LETTERS = (
    "lists.example", "figures.example", "history.example", "archive.example", "letters.example",
)  # fmt: skip
STALE_EVERY, ARCHIVED_EVERY, LETTERS_EVERY = 4, 3, 2
NEWEST = 2025
OUTDATED = (0.08, 0.35)
"""By how much, of the value, an outdated number is off: never so little that a tolerance of 5 % lets it pass."""
ABOUT = (
    "This page is kept by volunteers and read by editors before it appears.",
    "Spelling of names follows the form that is most common in English.",
    "Numbers are rounded as their sources round them; nothing was rounded again.",
    "A correction can be proposed by anybody and is answered within a few weeks.",
    "Earlier editions are kept in the archive and are not changed any more.",
    "Where two sources differed, the editors chose the one that names its method.",
    "The editors thank the libraries that lent their yearbooks for this edition.",
    "Pictures were left out of this edition so that it loads fast everywhere.",
    "Tables of this page may be copied as long as the source is named.",
    "Readers asked for more languages; translations are under way.",
    "The layout was made simpler, so that screen readers follow it well.",
    "Some links lead to pages that other people keep, and may change without notice.",
    "This text was checked against the printed volume of the same year.",
    "Units are those of the international system unless a label says otherwise.",
)


def world_pages(seed: int = 0) -> Iterator[WebPage]:
    """All pages."""
    for number, entity in enumerate(entities().values()):
        draw = stream(seed, "swarm/world", number)
        yield _profile(entity, draw, stale=int(draw.integers(STALE_EVERY)) == 0)
        for where, host, kind in (("figures", FIGURES, "Figures"), ("history", HISTORY, "Discovery")):
            told = [fact for fact in entity.facts.values() if fact.where == where]
            if told:
                yield _facts_page(entity, draw, told, host=host, kind=kind)
        if int(draw.integers(ARCHIVED_EVERY)) == 0:
            yield _archive(entity, draw)
        if int(draw.integers(LETTERS_EVERY)) == 0:
            yield _letters(entity, draw)
    for (kind, group), members in groups().items():
        yield _list(kind, group, members, stream(seed, f"swarm/world/list/{kind}/{group}"))


def address(entity: Entity) -> str:
    """Of an entity's profile."""
    return f"https://{HOST[entity.kind]}/{slug(entity.name)}"


def list_title(kind: Kind, group: str) -> str:
    """Of a group's list."""
    words = f"{PLURAL[kind]} of {group}"
    return f"{words[0].upper()}{words[1:]} – List"


def slug(name: str) -> str:
    """A name as a piece of an address.

    Example:
        >>> slug("São Tomé and Príncipe")
        'sao-tome-and-principe'
    """
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")


def outdated(fact: Fact, draw: np.random.Generator) -> str:
    """What an old page says instead of the value; written alike."""
    assert fact.number is not None
    low, high = OUTDATED
    number = fact.number * (1 + float(draw.choice((-1.0, 1.0))) * float(draw.uniform(low, high)))
    if "," in fact.value or isinstance(fact.number, int):
        return f"{_different(round(number), round(fact.number)):,}"
    return f"{number:.4g}"


def _different(number: int, true: int) -> int:
    return number if number != true else number + 1


def _profile(entity: Entity, draw: np.random.Generator, *, stale: bool) -> WebPage:
    date = _date(draw, *((2011, 2017) if stale else (NEWEST - 2, NEWEST)))
    facts = [f"{fact.label}: {fact.value}" for fact in entity.facts.values() if fact.where == "profile"]
    if stale:
        numbers = [fact for fact in entity.facts.values() if fact.number is not None]
        facts += [f"{fact.label}: {outdated(fact, draw)}" for fact in numbers[:1]]
    draw.shuffle(facts)
    lists = [f"- [{list_title(entity.kind, group)}]({_list_address(entity.kind, group)})" for group in entity.groups]
    seen = [f"- [{name}]({address(entities()[name])})" for name in entity.related]
    text = _text(
        f"# {entity.name}",
        f"Edition of {date}.",
        f"{entity.name} is one of the {PLURAL[entity.kind]} that this site describes.",
        "## At a glance",
        "\n".join(facts),
        "## See also",
        "\n".join([*seen, *lists]),
        "## About this page",
        _about(draw, 8),
    )
    return WebPage(address(entity), f"{entity.name} – Profile", text, date)


def _facts_page(entity: Entity, draw: np.random.Generator, facts: Sequence[Fact], *, host: str, kind: str) -> WebPage:
    date = _date(draw, NEWEST - 1, NEWEST)
    table = "\n".join(["| Quantity | Value |", "| --- | --- |", *(f"| {f.label} | {f.value} |" for f in facts)])
    text = _text(
        f"# {entity.name}: {kind.lower()}",
        f"Edition of {date}.",
        _about(draw, 5),
        table,
        f"[Profile of {entity.name}]({address(entity)})",
        "## Method",
        _about(draw, 5),
    )
    return WebPage(f"https://{host}/{slug(entity.name)}", f"{entity.name} – {kind}", text, date)


def _archive(entity: Entity, draw: np.random.Generator) -> WebPage:
    date = _date(draw, 2003, 2010)
    numbers = [fact for fact in entity.facts.values() if fact.number is not None]
    text = _text(
        f"# {entity.name}",
        f"Archived edition of {date}. It is kept as it was and is not up to date.",
        "\n".join(f"{fact.label}: {outdated(fact, draw)}" for fact in numbers),
        "## About this page",
        _about(draw, 6),
    )
    return WebPage(f"https://{ARCHIVE}/{date[:4]}/{slug(entity.name)}", f"{entity.name} – Archive", text, date)


def _letters(entity: Entity, draw: np.random.Generator) -> WebPage:
    date = _date(draw, 2012, NEWEST)
    said = [fact for fact in entity.facts.values() if fact.number is not None]
    loose = [f"Somebody there told me that {f.label.lower()} was about {outdated(f, draw)}, or so." for f in said]
    text = _text(
        f"# Letters about {entity.name}",
        f"Written on {date}.",
        f"When I first read about {entity.name}, I knew nothing but its name.",
        *loose,
        _about(draw, 6),
        f"More, and better, is on the [profile of {entity.name}]({address(entity)}).",
    )
    return WebPage(f"https://{LETTERS}/{slug(entity.name)}", f"Letters about {entity.name}", text, date)


def _list(kind: Kind, group: str, members: Sequence[Entity], draw: np.random.Generator) -> WebPage:
    date = _date(draw, NEWEST - 1, NEWEST)
    title = list_title(kind, group)
    text = _text(
        f"# {title.removesuffix(' – List')}",
        f"Edition of {date}. This list is complete; it has {len(members)} entries.",
        "\n".join(f"- [{entity.name}]({address(entity)})" for entity in members),
        "## About this list",
        _about(draw, 6),
    )
    return WebPage(_list_address(kind, group), title, text, date)


def _list_address(kind: Kind, group: str) -> str:
    return f"https://{LISTS}/{kind}/{slug(group)}"


def _date(draw: np.random.Generator, first: int, last: int) -> str:
    """A day of the years from `first` to `last`."""
    return f"{draw.integers(first, last + 1)}-{draw.integers(1, 13):02d}-{draw.integers(1, 29):02d}"


def _about(draw: np.random.Generator, sentences: int) -> str:
    return "\n".join(ABOUT[int(number)] for number in draw.permutation(len(ABOUT))[:sentences])


def _text(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block)
