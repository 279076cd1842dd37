"""The synthetic world: real tables, pages that are spread and contradict each other, tasks with exact answers."""

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from manyeyes.agent.tools.page import Page, plain
from manyeyes.reward.table_judge import ExactJudge
from manyeyes.reward.table_task import read_task
from manyeyes.reward.wide_table import score_table
from manyeyes.swarm.rule_notes import table_text
from manyeyes.swarm.world import deep_tasks, group_tasks, wide_tasks, world_web
from manyeyes.swarm.world_pages import ARCHIVE, NEWEST, address, list_title, world_pages
from manyeyes.swarm.world_tables import KEY, PLURAL, Entity, entities, groups
from manyeyes.swarm.world_tasks import normal

ROOT = Path(__file__).resolve().parents[2]
PAGES = list(world_pages())


def told(text: str) -> dict[str, str]:
    """Labels and values of a page."""
    found = re.findall(r"^([^:|\n]{2,40}): (.+)$", text, re.MULTILINE)
    return dict(found + re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE))


def about(entity: Entity) -> list:
    return [page for page in PAGES if page.title.startswith(f"{entity.name} – ")]


def kinds(name: str) -> dict[str, dict[str, str]]:
    """What each kind of page tells of an entity."""
    return {page.title.rpartition(" – ")[2]: told(page.text) for page in about(entities()[name])}


def test_the_tables_are_there_and_whole() -> None:
    count = Counter(entity.kind for entity in entities().values())
    assert count["country"] >= 190 and count["element"] == 118 and count["airport"] >= 250
    assert all(fact.value and "|" not in fact.value for entity in entities().values() for fact in entity.facts.values())
    assert entities()["Iceland"].facts["Capital"].value == "Reykjavik"
    assert entities()["Iron"].facts["Atomic number"].value == "26"
    assert entities()["Keflavik International Airport (KEF)"].facts["Country"].value == "Iceland"


def test_the_tables_are_what_the_packages_say() -> None:
    for package in ("countryinfo", "mendeleev", "airportsdata"):
        pytest.importorskip(package)
    script = [sys.executable, str(ROOT / "docs/make_world.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_pages_or_entities_share_an_address() -> None:
    assert len({page.url for page in PAGES}) == len(PAGES) > 1500
    assert len({address(entity) for entity in entities().values()}) == len(entities())
    assert [page for page in world_pages(0)] == PAGES and [page.text for page in world_pages(1)] != [
        p.text for p in PAGES
    ]


def test_the_newest_page_that_tells_a_fact_tells_the_truth() -> None:
    pages: dict[str, list] = {}
    for page in PAGES:
        pages.setdefault(page.title.partition(" – ")[0], []).append((page.date, told(page.text)))
    for entity in entities().values():
        for fact in entity.facts.values():
            tellers = [(date, facts[fact.label]) for date, facts in pages[entity.name] if fact.label in facts]
            assert max(tellers)[1] == fact.value, (entity.name, fact)


def test_facts_are_spread_and_some_are_contradicted() -> None:
    iceland = {page.title.rpartition(" – ")[2]: told(page.text) for page in about(entities()["Iceland"])}
    assert (
        "Capital" in iceland["Profile"] and "Capital" not in iceland["Figures"] and "Population" in iceland["Figures"]
    )
    assert {"Profile", "Figures", "Discovery"} <= {
        page.title.rpartition(" – ")[2] for page in about(entities()["Iron"])
    }
    wrong = [
        (entity, fact, told(page.text)[fact.label], page)
        for entity in entities().values()
        for page in about(entity)
        for fact in entity.facts.values()
        if told(page.text).get(fact.label, fact.value) != fact.value
    ]
    assert len(wrong) > 200 and any(ARCHIVE in page.url for *_, page in wrong)
    assert any(page.title.endswith("Profile") for *_, page in wrong) and all(int(p.date[:4]) <= 2017 for *_, p in wrong)
    for _, fact, value, _ in wrong:
        assert fact.number is not None
        off = abs(float(value.replace(",", "")) - fact.number) / abs(fact.number)
        assert off > 0.05


def test_list_pages_name_all_members_and_lead_to_them() -> None:
    web = world_web()
    for (kind, group), members in groups().items():
        (listed,) = [page for page in PAGES if page.title == list_title(kind, group)]
        page = asyncio.run(web.page(listed.url))
        names = [plain(line)[2:] for line in page.lines if line.startswith("- ")]
        assert names == [member.name for member in members]
        assert [link.url for link in page.links] == [address(member) for member in members]
    assert any(len(Page.from_markdown(page.url, page.title, page.text).lines) > 60 for page in PAGES)


def test_dates_are_of_the_past() -> None:
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", page.date) and int(page.date[:4]) <= NEWEST for page in PAGES)


def test_wide_tasks_have_exact_gold_in_the_formats_of_the_benchmark() -> None:
    tasks = wide_tasks()
    assert max(len(task.gold) for task in tasks) >= 40 and len({task.id for task in tasks}) == len(tasks) >= 8
    assert [task.difficulty for task in tasks] == sorted(task.difficulty for task in tasks)
    for task in tasks:
        evaluation = json.loads(task.row["evaluation"])
        assert evaluation["required"] == [normal(column) for column in task.columns]
        assert evaluation["unique_columns"] == [normal(task.columns[0])]
        assert set(evaluation["eval_pipeline"]) == set(evaluation["required"])
        assert all(len(row) == len(task.columns) and all(row) for row in task.gold)
        assert len({row[0] for row in task.gold}) == len(task.gold) and 1 <= task.hops <= 3
        assert all(column in task.query for column in task.columns[1:])
        assert not any(value in task.query for row in task.gold for value in row if len(value) > 3 and " " in value)
    assert {task.columns[0] for task in tasks} == set(KEY.values()) and set(PLURAL) == set(KEY)


def test_every_larger_group_has_a_small_table_of_its_own() -> None:
    tasks = group_tasks(least=8)
    assert len(tasks) == sum(len(members) >= 8 for members in groups().values()) > 30
    assert len({task.id for task in (*tasks, *wide_tasks())}) == len(tasks) + len(wide_tasks())
    assert all(len(task.columns) == 3 and len(task.gold) >= 8 and all(map(all, task.gold)) for task in tasks)


def test_deep_tasks_have_one_answer_and_many_candidates() -> None:
    tasks = deep_tasks()
    assert len(tasks) >= 12 and len({task.subject for task in tasks}) == len(tasks) and deep_tasks() == tasks
    assert all(task.candidates >= 40 and task.hops >= 3 for task in tasks) and max(task.hops for task in tasks) == 4
    for task in tasks:
        assert task.answer and task.answer not in task.problem and task.subject not in task.problem
    assert {task.subject for task in deep_tasks(seed=1)} != {task.subject for task in tasks}


def test_the_scorer_reads_tasks_and_gives_the_gold_everything() -> None:
    for task in wide_tasks():
        read = read_task(task.row, task.gold_csv)
        right = asyncio.run(score_table(read, table_text(task.columns, task.gold), ExactJudge()))
        assert (right.item.f1, right.row.f1) == (1.0, 1.0)
        half = asyncio.run(score_table(read, table_text(task.columns, task.gold[::2]), ExactJudge()))
        assert half.item.precision == 1.0 and half.item.recall < 0.65
