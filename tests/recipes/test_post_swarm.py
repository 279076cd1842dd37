"""What orchestrators are asked: the same tasks alone and as a swarm, all of which the registry can make."""

import dataclasses
import re

import pytest

from manyeyes.agent.registry import Found, Registry
from manyeyes.core.errors import ConfigError
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_swarm import (
    BENCH,
    COMPARED,
    PARL,
    TASKS,
    Mode,
    asked,
    orchestrated,
    steps_alone,
    tables_of,
    taught_alone,
    temperatures,
    to_compare,
)
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run
from manyeyes.swarm import parl_environment, swarm_bench
from manyeyes.swarm.parl_environment import plan_of

MODES: tuple[Mode, Mode] = ("alone", "swarm")
REGISTRY = Registry(
    {
        "environments": {PARL: parl_environment.environment, BENCH: parl_environment.environment},
        "task_sources": {PARL: parl_environment.task_source, BENCH: swarm_bench.task_source},
    },
    installed=Found(()),
)


@pytest.fixture
def run() -> RlRun:
    made = recipe("tiny.parl")
    assert isinstance(made, RlRun)
    return made


def test_every_benchmark_can_be_made_alone_and_as_a_swarm_with_the_same_tasks(run: RlRun) -> None:
    for name in TASKS:
        made = []
        for mode in ("alone", "swarm"):
            [one] = asked(run, (name,), mode=mode, count=5)
            environment = REGISTRY.environment(one.place.environment, **one.place.world)
            task = REGISTRY.task_source(one.place.environment, seed=3, split="test", **one.place.tasks).next()
            assert isinstance(environment, parl_environment.Parl) and environment.mode == mode and task is not None
            made.append((task.id, task.prompt))
        assert made[0] == made[1]


def test_a_swarm_keeps_the_recipes_world(run: RlRun) -> None:
    own = dataclasses.replace(orchestrated(run), world={"budget": 11})
    changed = dataclasses.replace(run, places=(own,))
    assert [one.place.world for one in asked(changed, ("deep",), mode="swarm", count=5)] == [
        {"budget": 11, "sub_temperature": COMPARED}
    ]
    assert orchestrated(changed) == own


def test_whoever_is_compared_is_as_calm_as_the_others_and_gets_the_recipes_tables(run: RlRun) -> None:
    tables, hot = tables_of(run), dataclasses.replace(run, evaluate_temperature=0.9)
    lone, swarm = (to_compare(tables_of(hot), mode=mode, count=4) for mode in MODES)
    for one in (lone, swarm, *(asked(hot, ("wide",), mode=mode, count=3)[0] for mode in MODES)):
        assert one.temperature == one.place.world["sub_temperature"] == COMPARED
    assert [one.place.world.get("mode", "swarm") for one in (lone, swarm)] == list(MODES)
    assert "temperature 0.9, their sub-agents at 0.3" in temperatures(hot)
    asked_of = [
        [task.id for task in Measuring("m", (dataclasses.replace(one, count=4, quick=4),)).tasks(REGISTRY)["wide"]]
        for one in (tables, lone, swarm)
    ]
    assert asked_of[0] == asked_of[1] == asked_of[2]


def test_an_agent_that_never_errs_takes_a_search_its_pages_and_a_put_for_each_row(run: RlRun) -> None:
    work = Measuring("m", asked(run, ("wide",), mode="alone", count=6))
    plans = [plan_of(task) for task in work.tasks(REGISTRY)["wide"]]
    expected = sum(1 + len(plan.rows) * (plan.reads + 2) for plan in plans) / 6
    assert steps_alone(work) == {"wide": pytest.approx(expected)}


def test_pages_of_wild_search_are_counted_row_by_row(run: RlRun) -> None:
    [wild] = asked(run, ("wild",), mode="alone", count=8)
    work = Measuring("m", (wild,))
    plans = [plan_of(task) for task in work.tasks(REGISTRY)["wild"]]
    own = [
        sum(re.match(rf"{key}\b", page.text) is not None for page in plan.pages) for plan in plans for key in plan.rows
    ]
    expected = sum(own) + sum(2 * len(plan.rows) + 1 for plan in plans)
    assert steps_alone(work) == {"wild": pytest.approx(expected / 8)} and expected > sum(p.steps_alone for p in plans)


def test_what_an_agent_alone_was_taught_is_said_of_its_fine_tuning() -> None:
    tuning = recipe("tiny.sft")
    assert isinstance(tuning, Run) and "wide up to 12 rows" in taught_alone(tuning)
    without = dataclasses.replace(tuning, stages=tuning.stages[:1])
    assert taught_alone(without) == "tiny.sft shows no agent that does a whole task alone"


def test_a_run_without_orchestrators_is_refused(run: RlRun) -> None:
    place = dataclasses.replace(orchestrated(run), environment="thoughts")
    with pytest.raises(ConfigError, match="expected a place of environment 'parl', got thoughts"):
        orchestrated(dataclasses.replace(run, places=(place,)))
