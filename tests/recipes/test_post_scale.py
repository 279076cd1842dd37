"""How large experiments are: shares of steps, quick ones, and what fits into minutes."""

import dataclasses
from pathlib import Path

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce.post_experiments import POST
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_runs import Plan, makespan, ordered
from manyeyes.recipes.reproduce.post_scale import CORES, WITHIN, Scale, fitted
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

START = Path("start")


@pytest.mark.parametrize("name", POST)
def test_every_experiment_of_three_seeds_ends_within_two_hours_on_two_cores(name: str) -> None:
    scale = fitted(Scale(START), POST[name].plan)
    assert makespan(ordered(POST[name].plan(scale).values()), processes=CORES) <= 120
    assert scale.seeds == 3


@pytest.mark.parametrize("name", POST)
def test_quick_is_a_few_steps_and_tasks_of_everything(name: str) -> None:
    quick, whole = (ordered(POST[name].plan(Scale(START, seeds=1, quick=q)).values()) for q in (True, False))
    assert [one.label for one in quick] == [one.label for one in whole]
    for one in quick:
        if isinstance(one.work, Run):
            assert one.work.steps <= 3 * len(one.work.stages)
        else:
            assert all(asked.count <= 4 for asked in one.work.measured)
            assert isinstance(one.work, Measuring) or one.work.steps <= 3


def test_a_share_shortens_runs_and_the_fading_of_rewards_with_them() -> None:
    start = Scale(START).tuned("tiny.sft", 0)
    whole, half = (Scale(START, share=share).reinforced("tiny.parl", 0, start).work for share in (1.0, 0.5))
    assert isinstance(whole, RlRun) and isinstance(half, RlRun) and whole.parl and half.parl
    assert half.steps == round(whole.steps / 2)
    assert half.parl.parallel.until == round(whole.parl.parallel.until / 2)
    assert half.parl.parallel.at(half.steps) == 0.0


def test_sub_agents_are_frozen_where_the_orchestrator_began() -> None:
    start = Scale(START).tuned("tiny.sft", 0)
    assert Scale(START).reinforced("tiny.parl", 0, start).frozen == start
    assert Scale(START).reinforced("tiny.toggle", 0, start).frozen is None


def test_curves_have_points_even_where_the_recipe_measures_the_ends_alone() -> None:
    def ends(name: str):
        made = recipe(name)
        return dataclasses.replace(made, evaluate_every=0) if isinstance(made, RlRun) else made

    scale = Scale(START, recipes=ends)
    run = scale.reinforced("tiny.toggle", 0, scale.tuned("tiny.sft", 0)).work
    assert isinstance(run, RlRun) and 0 < run.evaluate_every <= run.steps / 8


def a_plan(scale: Scale) -> Plan:
    return {("arm", seed): scale.reinforced("tiny.toggle", seed, scale.tuned("tiny.sft", seed)) for seed in range(3)}


def test_fewer_minutes_make_shorter_runs_and_too_few_are_refused() -> None:
    whole = fitted(Scale(START), a_plan, minutes=1000)
    assert whole.share == 1.0
    half = fitted(Scale(START), a_plan, minutes=makespan(ordered(a_plan(whole).values()), processes=CORES) / 2)
    assert half.share == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ConfigError, match="--quick to see that all works"):
        fitted(Scale(START), a_plan, minutes=2)
    assert fitted(Scale(START, quick=True), a_plan, minutes=2).share == 1.0 and WITHIN < 120


@pytest.mark.parametrize(("seeds", "share"), [(0, 1.0), (1, 0.0), (1, 1.5)])
def test_a_scale_that_is_none_is_refused(seeds: int, share: float) -> None:
    with pytest.raises(ConfigError, match="seeds and a share above 0 to 1"):
        Scale(START, seeds=seeds, share=share)
