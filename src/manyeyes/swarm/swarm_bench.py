"""Swarm Bench, small: four kinds of work that reward dividing it, each with an exact check.

    wild        facts that stand one to three pages deep, nobody knows where; a search tells two pages, one of which is
                about something whose name only begins alike, and in half of the cases that one comes first
    download    ten files and more; their addresses have moved, the checksum stands behind the new one
    read        a collection of 120 documents in volumes of three, of which more than a hundred have to be read
    write       a report of sixteen sections and more, each in its own words around a fact that has to be looked up

Worlds, words and tools are those of `parl_plan`, so that a small model which was trained there can be asked. Forms that
training has in no way are `wild` (strangers among what a search tells) and `read` (volumes behind each other);
`download` is a construction of PARL with more files, and `write` a family of fine-tuning with more sections, that PARL
has not. Item-F1 counts right cells and sections. No content is in the training split.

Report: §5.2 (in-house Swarm Bench: WildSearch, batch download, WideRead, long-form writing).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.tools.local_web import WebPage
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.seeds import stream
from manyeyes.data.collection import Split
from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.retrieval import filler, names_of
from manyeyes.swarm.parl_plan import HOST, Plan, plan_at

Kind = Literal["wild", "download", "read", "write"]
SHELF, VOLUMES, BOUND = 12, 3, 3
"""Of a collection that is read: keys, volumes about each, and documents in a volume."""
COLLECTION = 120
"""Documents of it; those that are about no key are not asked for."""
SENTENCES = 2
"""Of a document."""
DEEPEST = 3
"""Pages behind each other."""
LOUD = 6
"""Times that a stranger's title names a key, or itself; the right page's names its key twice."""
MORE = re.compile(r"\[More\]\((\S+)\)")
APART = 1_000_003
"""Between the worlds of training's seeds and those of this benchmark."""


def bench_plan(kind: Kind, number: int, *, seed: int = 0, split: Split = "test") -> Plan:
    """The task of a number; the same one every time.

    Raises:
        ConfigError: no such kind.
    """
    if kind not in MAKERS:
        raise ConfigError(f"Swarm Bench has {', '.join(MAKERS)}, got {kind!r}")
    return MAKERS[kind](number, seed, split)


def least_steps(plan: Plan) -> int:
    """Critical steps of one agent that never errs: a search, its own pages and a put for each row; and the answer.

    `Plan.steps_alone` is the same where all rows have as many pages.

    Raises:
        DataError: a key has no page of its own.
    """
    return sum(2 + _pages_of(plan, key) for key in plan.rows) + 1


def _pages_of(plan: Plan, key: str) -> int:
    """From the page that is titled by the key alone along the links."""
    pages = {page.url: page for page in plan.pages}
    page = next((one for one in plan.pages if set(one.title.split()) == {key}), None)
    if page is None:
        raise DataError(f"{plan.prompt} has no page about {key}, so nobody could find it")
    count = 1
    while (link := MORE.search(page.text)) is not None:
        page, count = pages[link[1]], count + 1
    return count


def _wild(number: int, seed: int, split: Split) -> Plan:
    """Depths differ from key to key; searches tell pages of names that only begin like the right ones, too."""
    plan = plan_at(number, seed=seed + APART, split=split, rows=(8, 12), families={"deep": 1.0})
    draw = stream(seed, f"swarm/bench/wild/{split}", number)
    facts = {key: chain[-1].text for key, chain in chains(plan).items()}
    texts = {
        key: [*(f"{key}\n{filler(draw)}" for _ in range(between(draw, 0, DEEPEST - 1))), fact]
        for key, fact in facts.items()
    }
    pages = [*_chained(texts, draw), *_lookalikes(facts, draw)]
    return replace(plan, family="wide", pages=tuple(pages), reads=min(map(len, texts.values())), hits=2)


def chains(plan: Plan) -> dict[str, tuple[WebPage, ...]]:
    """The pages of each key of a task of `parl_plan`, in the order in which they have to be read."""
    reads = plan.reads
    return {key: plan.pages[at * reads : (at + 1) * reads] for at, key in enumerate(plan.rows)}


def _download(number: int, seed: int, split: Split) -> Plan:
    return plan_at(number, seed=seed + APART, split=split, rows=(10, 12), families={"download": 1.0})


def _read(number: int, seed: int, split: Split) -> Plan:
    """Volumes lead to each other, and the fact of a key stands at the end of the last: all of them have to be read."""
    plan = plan_at(number, seed=seed + APART, split=split, rows=(SHELF, SHELF), families={"document": 1.0})
    draw = stream(seed, f"swarm/bench/read/{split}", number)
    texts = {key: [_volume(draw) for _ in range(VOLUMES)] for key in plan.rows}
    for key, (value,) in plan.rows.items():
        texts[key][0] = f"{key}\n{texts[key][0]}"
        texts[key][-1] = f"{texts[key][-1]}\n{key} {value}"
    pages = [*_chained(texts, draw), *_others((COLLECTION - SHELF * VOLUMES * BOUND) // BOUND, draw)]
    return replace(plan, pages=tuple(pages), reads=VOLUMES)


def _volume(draw: np.random.Generator) -> str:
    """Documents, a paragraph each."""
    return "\n\n".join(" ".join(filler(draw) for _ in range(SENTENCES)) for _ in range(BOUND))


def _write(number: int, seed: int, split: Split) -> Plan:
    return plan_at(number, seed=seed + APART, split=split, rows=(16, 20), families={"report": 1.0})


MAKERS: Mapping[Kind, Callable[[int, int, Split], Plan]] = {
    "wild": _wild, "download": _download, "read": _read, "write": _write,
}  # fmt: skip


def task_source(seed: int = 0, split: Split = "test", *, benchmark: Kind = "wild", size: int = 10_000) -> Tasks:
    """Tasks of a kind, for the registry; they are asked in the environment `parl`.

    Raises:
        ConfigError: no such kind.
    """
    bench_plan(benchmark, 0, seed=seed, split=split)

    def at(number: int) -> Task:
        plan = bench_plan(benchmark, number, seed=seed, split=split)
        return Task(f"bench/{benchmark}/{split}/{seed}/{number}", plan.prompt, plan)

    return Tasks(at, size=size, seed=seed, epochs=None, name=f"bench-{benchmark}-{split}")


def _chained(texts: Mapping[str, list[str]], draw: np.random.Generator) -> list[WebPage]:
    """Pages with a link to the next of their key; the first is titled by the key."""
    numbers = iter(some(draw, range(10, 100), sum(map(len, texts.values()))))
    pages: list[WebPage] = []
    for key, told in texts.items():
        places = [next(numbers) for _ in told]
        links = [*(f"\n[More]({HOST}/{place})" for place in places[1:]), ""]
        titles = [f"{key} {key}", *("More" for _ in told[1:])]
        pages += [
            WebPage(f"{HOST}/{at}", title, text + link)
            for at, title, text, link in zip(places, titles, told, links, strict=True)
        ]
    return pages


def _lookalikes(facts: Mapping[str, str], draw: np.random.Generator) -> list[WebPage]:
    """A page for each key with another's fact, whose name only begins alike; half of them are titled by the key more
    often than the right page is, so that a search tells them first.
    """
    pages = []
    for at, (key, name) in enumerate(zip(facts, names_of(draw, len(facts)), strict=True)):
        other = pick(draw, tuple(facts))
        stranger = f"{key}{name.casefold()}"
        words = (LOUD, 1) if draw.random() < 0.5 else (1, LOUD)
        title = " ".join([key] * words[0] + [stranger] * words[1])
        pages.append(WebPage(f"{HOST}/{100 + at}", title, facts[other].replace(other, stranger, 1)))
    return pages


def _others(count: int, draw: np.random.Generator) -> list[WebPage]:
    """Volumes about what nobody asks for."""
    return [
        WebPage(f"{HOST}/{100 + at}", f"{name} {name}", f"{name}\n{_volume(draw)}")
        for at, name in enumerate(names_of(draw, count))
    ]
