"""Swarm Bench: its tasks can be done with the tools, by one agent and by many; each kind is what it says."""

import asyncio
import re

import pytest

from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.swarm.parl_environment import BUDGET, Parl, world_of
from manyeyes.swarm.parl_log import log_of
from manyeyes.swarm.parl_plan import Limit, exceeds, plan_at
from manyeyes.swarm.parl_scripts import parallel, serial
from manyeyes.swarm.parl_shared import LEAST_WORDS, WRITTEN
from manyeyes.swarm.parl_steps import work_of
from manyeyes.swarm.swarm_bench import BOUND, COLLECTION, MAKERS, Kind, bench_plan, task_source

from .parl_play import attempt

KINDS: list[Kind] = list(MAKERS)


@pytest.mark.parametrize("kind", KINDS)
def test_who_reads_on_finds_everything_alone_and_in_parallel_in_half_the_steps(kind: Kind) -> None:
    task = task_source(benchmark=kind).next()
    assert task is not None
    alone = attempt(Parl(mode="alone"), task, serial)
    swarm = attempt(Parl(), task, parallel)
    for found in (alone, swarm):
        assert found.reward == 1.0
    assert work_of(swarm).critical <= work_of(alone).critical / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_always_the_same_one_and_no_page_stands_twice(kind: Kind) -> None:
    for number in range(5):
        plan = bench_plan(kind, number, seed=3)
        assert plan == bench_plan(kind, number, seed=3) != bench_plan(kind, number, seed=4)
        urls = [page.url for page in plan.pages]
        assert len(set(urls)) == len(urls)


def test_every_task_exceeds_one_agent() -> None:
    for kind in KINDS:
        assert all(exceeds(bench_plan(kind, number), Limit(BUDGET, BUDGET)) for number in range(10))


def test_more_than_a_hundred_documents_of_a_collection_have_to_be_read() -> None:
    task = task_source(benchmark="read").next()
    assert task is not None
    assert len(task.truth.pages) * BOUND == COLLECTION
    found = attempt(Parl(), task, parallel)
    opened = {call.arguments for deeds in log_of(found).values() for call in deeds.calls if call.name == "open"}
    assert found.reward == 1.0 and len(opened) * BOUND > 100
    pages = {page.url.rpartition("/")[2]: page for page in task.truth.pages}
    for volume in re.findall(r"\d+", " ".join(opened)):
        assert pages[volume].text.partition("\n[More]")[0].count("\n\n") == BOUND - 1


def test_whoever_leaves_a_volume_out_does_not_find_its_fact() -> None:
    plan = bench_plan("read", 1)
    for key, (value,) in plan.rows.items():
        (holding,) = [page for page in plan.pages if f"{key} {value}" in page.text.splitlines()]
        number = holding.url.rpartition("/")[2]
        assert holding.title == "More" and sum(f"/{number})" in page.text for page in plan.pages) == 1


def test_a_report_is_long_and_every_section_says_its_fact_in_its_own_words() -> None:
    assert all(len(bench_plan("write", number).rows) >= 16 for number in range(5))
    task = task_source(benchmark="write").next()
    assert task is not None and task.prompt.startswith("Write ")
    found = attempt(Parl(), task, parallel)
    noted = [call.result["data"] for deeds in log_of(found).values() for call in deeds.calls]
    sections = {key: text for data in noted for key, text in data.get(WRITTEN, {}).items()}
    assert sections.keys() == task.truth.rows.keys() and found.reward == 1.0
    assert sum(len(text.split()) for text in sections.values()) > 16 * LEAST_WORDS


def test_searches_of_a_wild_world_tell_strangers_often_first() -> None:
    first, depths = 0, set[int]()
    for number in range(4):
        plan = bench_plan("wild", number)
        web, titles = world_of(plan.pages), {page.url: page.title.split() for page in plan.pages}
        for key in plan.rows:
            hits = asyncio.run(web.search(key, count=plan.hits))
            told = [titles[hit.url] for hit in hits]
            assert sorted(title == [key, key] for title in told) == [False, True], (key, told)
            (stranger,) = [title for title in told if title != [key, key]]
            assert stranger[-1].startswith(key) and len(stranger[-1]) > 1 and stranger[-1].isalpha()
            first += told[0] != [key, key]
            depths.add(sum(re.match(rf"{key}\b", page.text) is not None for page in plan.pages))
    rows = sum(len(bench_plan("wild", number).rows) for number in range(4))
    assert rows // 4 < first < 3 * rows // 4 and len(depths) > 1


def test_who_believes_the_first_page_is_wrong_about_strangers() -> None:
    """A worker that takes whatever number it meets first gets what strangers say."""

    def hasty(prompt: str):
        key = prompt.partition("(")[2][0]
        (told,) = yield [("search", {"query": key})]
        value = None
        page = re.search(r"Page (\d+)", told)
        while page is not None and value is None:
            (told,) = yield [("open", {"page": int(page[1])})]
            fact, page = re.search(r"^\w+ (\d+)$", told, re.MULTILINE), re.search(r"More (\d+)", told)
            value = None if fact is None or fact[0].startswith("More") else int(fact[1])
        if value is not None:
            yield [("put", {"key": key, "value": value})]
        return "Done."

    task = task_source(benchmark="wild").next()
    assert task is not None
    found = attempt(Parl(), task, parallel, hasty)
    assert found.reward is not None and 0.0 < found.reward < 1.0


def test_nothing_of_it_is_trained_on() -> None:
    trained = {str(plan_at(number, rows=(10, 12), families={"download": 1.0}).rows) for number in range(200)}
    assert not trained & {str(bench_plan("download", number).rows) for number in range(50)}


def test_an_unknown_kind_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="wild, download, read, write, got 'sing'"):
        task_source(benchmark="sing")  # pyright: ignore[reportArgumentType]
    assert isinstance(task_source(benchmark="read").next(), Task)
