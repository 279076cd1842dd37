"""Figure 7: accuracy rises with critical steps, a swarm's sooner; one run of a question tells its whole curve."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.tools.web import web_tools
from manyeyes.core.errors import ConfigError
from manyeyes.recipes.reproduce import fig7
from manyeyes.recipes.reproduce.fig7_questions import CONTEXT, STEPS_ALONE, Asked, questions
from manyeyes.swarm.deep_grade import grade_deep
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.trial import trial
from manyeyes.swarm.world import deep_tasks, world_web


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fig7")


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    return asyncio.run(fig7.run(folder, fig7.QUICK))


def test_the_experiment_has_at_least_thirty_questions_of_one_answer() -> None:
    asked = questions(fig7.Scale())
    different = {one.task.problem for one in asked if one.arm == "swarm" and one.context == CONTEXT}
    assert len(different) >= 60 and len({one.planned.name for one in asked}) == len(asked)
    assert all(len({one.task.subject for one in asked if one.seed == seed}) == 35 for seed in (0, 1))


def test_the_swarm_is_as_accurate_within_fewer_critical_steps(result: dict[str, Any]) -> None:
    swarm, discard, none = (result["arms"][arm] for arm in ("swarm", "discard-all", "none"))
    assert swarm["accuracy"] >= discard["accuracy"] > none["accuracy"]
    assert swarm["within"]["50"] > discard["within"]["50"]
    assert swarm["critical_steps"] < discard["critical_steps"] < swarm["total_steps"]
    assert "context_overflow" in none["stops"] and "context_overflow" not in discard["stops"]


def test_curves_rise_to_the_accuracy(result: dict[str, Any]) -> None:
    for arm in result["arms"].values():
        curve = arm["curve"]
        assert curve["accuracy"] == sorted(curve["accuracy"]) and curve["accuracy"][-1] == arm["accuracy"]
        assert curve["steps"] == sorted(set(curve["steps"])) and arm["low"] <= arm["accuracy"] <= arm["high"]
        assert list(arm["within"].values()) == sorted(arm["within"].values())


def test_the_result_comes_from_the_journals_alone(folder: Path, result: dict[str, Any]) -> None:
    before = {path: path.stat().st_size for path in folder.rglob("events.jsonl")}
    assert asyncio.run(fig7.run(folder, fig7.QUICK)) == result
    assert {path: path.stat().st_size for path in folder.rglob("events.jsonl")} == before


@pytest.mark.parametrize("arm", ["discard-all", "none"])
def test_a_run_with_fewer_steps_is_the_beginning_of_one_with_more(tmp_path: Path, arm: str) -> None:
    web, task = world_web(), deep_tasks(each=1)[3]
    asked = Asked(arm, CONTEXT, 0, task)

    async def right(steps: int) -> tuple[bool, int]:
        session = trial(tmp_path / str(steps), asked.planned.config, steps=steps)
        model = rule_model(context_tokens=asked.context, seed=asked.seed)
        outcome = await session.run(model, lambda ctx: web_tools(web, web, ctx))
        return (await grade_deep(task, outcome.text)).correct, session.figures().critical_steps

    async def go() -> None:
        correct, needed = await right(STEPS_ALONE)
        for steps in (needed // 3, needed - 2, needed - 1, needed + 5):
            assert (await right(steps))[0] is (correct and steps >= needed - 1)

    asyncio.run(go())


def test_sizes_are_checked_and_seeds_may_be_added() -> None:
    with pytest.raises(ConfigError, match="1 to 8 questions"):
        fig7.Scale(each=0)
    assert fig7.Scale(seeds=5).identity == fig7.Scale().identity != fig7.QUICK.identity
