"""How large experiments are: shares of steps, quick ones, and what fits into minutes."""

import dataclasses
from pathlib import Path

import pytest

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce import fig2, fig4, fig5
from manyeyes.recipes.reproduce.post_experiments import POST, sharing
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_runs import Made, Plan, makespan, ordered
from manyeyes.recipes.reproduce.post_scale import CORES, WITHIN, Scale, fitted
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

from . import post_toys


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return post_toys.start_at(tmp_path_factory.mktemp("start"))


def plans(name: str) -> list:
    return [one.plan for one in sharing(name)]


@pytest.mark.parametrize("name", POST)
def test_every_experiment_of_three_seeds_ends_within_two_hours_on_two_cores(name: str, start: Path) -> None:
    scale = fitted(Scale(start), plans(name))
    assert makespan(ordered(POST[name].plan(scale).values()), processes=CORES) <= 120
    assert scale.seeds == 3


@pytest.mark.parametrize(("names", "arm"), [(("fig2", "table2"), "tiny.vision_rl"), (("fig4", "table6"), "tiny.parl")])
def test_experiments_that_share_runs_make_the_same_ones(names: tuple[str, str], arm: str, start: Path) -> None:
    keys = []
    for name in names:
        scale = fitted(Scale(start), plans(name), minutes=100)
        runs = ordered(POST[name].plan(scale).values())
        keys.append({one.key for one in runs if one.label in (f"{arm} 0", f"{arm} 1", f"{arm} 2")})
    assert keys[0] == keys[1] and len(keys[0]) == 3


@pytest.mark.parametrize("name", ["fig2", "fig4"])
def test_more_seeds_take_more_minutes_and_leave_the_runs_that_are_there(name: str, start: Path) -> None:
    minutes = 0.9 * max(makespan(ordered(plan(Scale(start)).values()), processes=CORES) for plan in plans(name))
    three, five = (fitted(Scale(start, seeds=seeds), plans(name), minutes=minutes) for seeds in (3, 5))
    assert three.share == five.share < 1 and five.seeds == 5
    runs = [ordered(POST[name].plan(scale).values()) for scale in (three, five)]
    assert {one.key for one in runs[0]} < {one.key for one in runs[1]}
    assert makespan(runs[1], processes=CORES) > makespan(runs[0], processes=CORES) <= minutes


def test_fine_tuning_is_the_same_at_every_share(start: Path) -> None:
    whole, half = (fig2.sft(Scale(start, share=share), 0) for share in (1.0, 0.5))
    assert isinstance(whole, Made) and isinstance(half, Made) and whole.key == half.key


def test_all_arms_and_seeds_start_from_a_fine_tuning_that_is_named(start: Path) -> None:
    scale = Scale(start, fine_tuned=start, seeds=2)
    for plan in (fig2.plan(scale), fig4.plan(scale), fig5.plan(scale)):
        runs = ordered(plan.values())
        assert not [one for one in runs if isinstance(one.work, Run)]
        assert all(one.start == start for one in runs if isinstance(one.work, RlRun))
    assert fig4.plan(scale)[fig4.FULL, 0].frozen == start


@pytest.mark.parametrize("name", POST)
def test_one_fine_tuning_is_made_for_all_seeds_or_one_for_each(name: str, start: Path) -> None:
    for tune_each, wanted in ((False, {0}), (True, {0, 1})):
        runs = ordered(POST[name].plan(Scale(start, seeds=2, tune_each=tune_each)).values())
        kinds = {one.label.rpartition(" ")[0] for one in runs if isinstance(one.work, Run)}
        assert kinds and all({one.work.seed for one in runs if one.label.startswith(f"{k} ")} == wanted for k in kinds)
    with pytest.raises(ConfigError, match="of each seed's own"):
        Scale(start, fine_tuned=start, tune_each=True)


@pytest.mark.parametrize("name", POST)
def test_quick_is_a_few_steps_and_tasks_of_everything(name: str, start: Path) -> None:
    quick, whole = (ordered(POST[name].plan(Scale(start, seeds=1, quick=q)).values()) for q in (True, False))
    assert [one.label for one in quick] == [one.label for one in whole]
    for one in quick:
        if isinstance(one.work, Run):
            assert one.work.steps <= 3 * len(one.work.stages)
        else:
            assert all(asked.count <= 4 for asked in one.work.measured)
            assert isinstance(one.work, Measuring) or one.work.steps <= 3


def test_a_share_shortens_runs_and_the_fading_of_rewards_with_them(start: Path) -> None:
    whole, half = (Scale(start, share=share).shortened("tiny.parl") for share in (1.0, 0.5))
    assert whole.parl and half.parl and half.steps == round(whole.steps / 2)
    assert half.parl.parallel.until == round(whole.parl.parallel.until / 2)
    assert half.parl.parallel.at(half.steps) == 0.0


@pytest.mark.parametrize("share", [1.0, 0.7, 0.33])
def test_a_shorter_toggle_has_shorter_phases_and_ends_with_a_brief_one(start: Path, share: float) -> None:
    plan = fig5.plan(Scale(start, seeds=1, share=share))
    with_it, without = (plan[f"run {arm}", 0].work for arm in (fig5.WITH, fig5.WITHOUT))
    assert isinstance(with_it, RlRun) and isinstance(without, RlRun) and with_it.toggle is not None
    assert with_it.toggle.every == round(share * recipe_of_toggle().every) and without.steps == with_it.steps
    assert with_it.steps % (2 * with_it.toggle.every) == with_it.toggle.every
    assert with_it.unconstrained_step == without.unconstrained_step == with_it.steps - with_it.toggle.every


def recipe_of_toggle():
    run = recipe("tiny.toggle")
    assert isinstance(run, RlRun) and run.toggle is not None
    return run.toggle


def test_sub_agents_are_frozen_where_the_orchestrator_began(start: Path) -> None:
    began = Scale(start).tuned("tiny.sft", 0)
    assert Scale(start).reinforced("tiny.parl", 0, began).frozen == began
    assert Scale(start).reinforced("tiny.toggle", 0, began).frozen is None


def test_curves_have_points_even_where_the_recipe_measures_the_ends_alone(start: Path) -> None:
    def ends(name: str):
        made = recipe(name)
        return dataclasses.replace(made, evaluate_every=0) if isinstance(made, RlRun) else made

    run = Scale(start, recipes=ends).shortened("tiny.toggle")
    assert 0 < run.evaluate_every <= run.steps / 8


def a_plan(scale: Scale) -> Plan:
    return {("arm", seed): scale.reinforced("tiny.vision_rl", seed, scale.start) for seed in range(3)}


def test_fewer_minutes_make_shorter_runs_and_too_few_are_refused(start: Path) -> None:
    whole = fitted(Scale(start), [a_plan], minutes=1000)
    assert whole.share == 1.0
    minutes = makespan(ordered(a_plan(whole).values()), processes=CORES)
    half = fitted(Scale(start), [a_plan], minutes=0.6 * minutes)
    assert 0.3 < half.share < 0.9
    assert makespan(ordered(a_plan(half).values()), processes=CORES) <= 0.6 * minutes
    with pytest.raises(ConfigError, match="--quick to see that all works"):
        fitted(Scale(start), [a_plan], minutes=0.5)
    assert fitted(Scale(start, quick=True), [a_plan], minutes=0.5).share == 1.0 and WITHIN < 120


@pytest.mark.parametrize(("seeds", "share"), [(0, 1.0), (1, 0.0), (1, 1.5)])
def test_a_scale_that_is_none_is_refused(seeds: int, share: float, start: Path) -> None:
    with pytest.raises(ConfigError, match="seeds and a share above 0 to 1"):
        Scale(start, seeds=seeds, share=share)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: expected a checkpoint folder"):
        ordered(a_plan(Scale(tmp_path / "nowhere")).values())
