"""Swarm Bench: its tasks can be done with the tools, by one agent and by many; each kind is what it says."""

import pytest

from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.swarm.parl_environment import Parl
from manyeyes.swarm.parl_plan import plan_at
from manyeyes.swarm.parl_scripts import parallel, serial
from manyeyes.swarm.parl_steps import work_of
from manyeyes.swarm.swarm_bench import COLLECTION, MAKERS, Kind, bench_plan, chains, task_source

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


def test_a_collection_has_more_than_a_hundred_documents_and_a_third_is_to_be_read() -> None:
    plan = bench_plan("read", 0)
    told = [page for chain in chains(plan).values() for page in chain]
    assert len(plan.pages) == COLLECTION and len(plan.rows) * 2 == len(set(told)) >= 20


def test_the_longest_answers_have_sixteen_sections_and_more() -> None:
    assert all(len(bench_plan("write", number).rows) >= 16 for number in range(5))


def test_facts_of_a_wild_search_stand_at_different_depths_among_lookalikes() -> None:
    plan = bench_plan("wild", 0)
    depths = {sum(page.text[: len(key)] == key for page in plan.pages) for key in plan.rows}
    strangers = [page.title.split()[0] for page in plan.pages if page.title.split()[0] not in (*plan.rows, "More")]
    assert len(depths) > 1 and {name[0] for name in strangers} == plan.rows.keys()


def test_nothing_of_it_is_trained_on() -> None:
    trained = {str(plan_at(number, rows=(10, 12), families={"download": 1.0}).rows) for number in range(200)}
    assert not trained & {str(bench_plan("download", number).rows) for number in range(50)}


def test_an_unknown_kind_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="wild, download, read, write, got 'sing'"):
        task_source(benchmark="sing")  # pyright: ignore[reportArgumentType]
    assert isinstance(task_source(benchmark="read").next(), Task)
