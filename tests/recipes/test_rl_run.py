"""RL runs as data: written and read back, told apart, refused where they cannot be."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.rft_checks import check_rft
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_checks import check_rl
from manyeyes.recipes.rl_objectives import objective_of
from manyeyes.recipes.rl_parts import BlindRule, Frozen, Measured, PlaceSpec, PtxSpec
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.rl_settings import settings_of
from manyeyes.recipes.run import Run
from manyeyes.rl.grpo import Grpo
from manyeyes.rl.toggle import ToggleRule

from .post_worlds import LOOKS, PLACE, REGISTRY, little_run

NAMED = [name for name in RECIPES if "." in name]


@pytest.mark.parametrize("name", NAMED)
def test_every_recipe_of_post_training_is_read_back_as_it_was_written(name: str) -> None:
    run = recipe(name)
    assert run.name == name and type(run).from_json(run.to_json()) == run


@pytest.mark.parametrize("base", ["tiny", "small", "k25"])
def test_each_goes_on_from_one_before_it(base: str) -> None:
    chain = [name for name in RECIPES if name.split(".")[0] == base]
    for before, name in zip(chain, chain[1:], strict=False):
        assert recipe(name).after == before


def test_what_changes_the_result_changes_the_fingerprint() -> None:
    run = little_run(Path("start"))
    changed = [{"steps": 4}, {"groups": 3}, {"seed": 1}, {"objective": "grpo"}, {"start_model": "other"}]
    changed += [{"blind": BlindRule()}, {"frozen": (Frozen(1, "other"),)}]
    same = [{"about": "x"}, {"checkpoint_every": 7}, {"measured": ()}, {"evaluate_every": 1}, {"engine": "http://x"}]
    same += [{"keep_attempts": False}]
    assert all(dataclasses.replace(run, **fields).fingerprint != run.fingerprint for fields in changed)
    assert all(dataclasses.replace(run, **fields).fingerprint == run.fingerprint for fields in same)


def test_a_configuration_of_before_a_field_was_there_is_read() -> None:
    run = little_run(Path("start"), loop="async")
    data = run.to_json()
    assert data.pop("keep_attempts") is True
    assert RlRun.from_json(data) == run and RlRun.from_json(data).fingerprint == run.fingerprint
    without = dataclasses.replace(run, keep_attempts=False)
    assert RlRun.from_json(without.to_json()) == without


def test_attempts_are_kept_where_rollouts_go_on_beside_the_trainer() -> None:
    def kept(**fields: Any) -> bool:
        return settings_of(little_run(Path("start"), **fields), Tokenizer.tiny(), vocab_size=512).keep_attempts

    assert kept(loop="async") and not kept(loop="async", keep_attempts=False) and not kept(loop="sync")


def test_any_field_is_set_from_the_command_line() -> None:
    run = apply_overrides(recipe("tiny.toggle"), ["toggle.every=3", "schedule.peak=0.1", "places.0.weight=2.5"])
    assert isinstance(run, RlRun) and run.toggle is not None
    assert (run.toggle.every, run.schedule.peak, run.places[0].weight) == (3, 0.1, 2.5)
    without = apply_overrides(run, ["toggle=null"])
    assert isinstance(without, RlRun) and without.toggle is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"places": ()}, "at least one place"),
        ({"places": (PLACE, PLACE)}, "must differ"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"domains": {"coding": 1.0}}, "no place belongs to the domain coding"),
        ({"evaluate_every": -1}, "evaluate_every must be at least 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
        ({"gradient_norm": 0.0}, "gradient_norm above 0"),
        ({"domains": {"reasoning": 0.0}}, "weights of domains must be above 0, got {'reasoning': 0.0}"),
        ({"frozen": (Frozen(3, "a"), Frozen(1, "b"))}, "in the order of their steps"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        little_run(Path("start"), **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"context": 128}, "does not fit a row of 64"),
        ({"quorum": 4}, "quorum is between 1 and attempts=3"),
        ({"toggle": ToggleRule(every=2)}, "steps is an odd multiple of 2, got 3; set steps=2"),
        ({"toggle": ToggleRule(every=1), "steps": 4}, "begins and ends with a brief phase"),
        ({"cache_tokens": 63}, "must hold a conversation of 64 tokens"),
        ({"objective_options": {"taus": 1}}, "the objective eq1 has no taus"),
        ({"places": (dataclasses.replace(PLACE, tasks={"sed": 1}),)}, "place sums: .*sed"),
        ({"places": (dataclasses.replace(PLACE, tasks={"size": -3}),)}, "place sums: .*at least one task, got -3"),
        ({"places": (dataclasses.replace(PLACE, tasks={"epochs": 0}),)}, "has no task"),
        ({"measured": (Measured(dataclasses.replace(PLACE, tasks={"sed": 1})),)}, "place sums: .*sed"),
        ({"places": (dataclasses.replace(PLACE, world={"lenint": True}),)}, "place sums: .*lenint"),
        ({"frozen": (Frozen(3, "a"),)}, "never answers in 3 steps"),
        ({"frozen": (Frozen(0, "a"),), "frozen_model": "b"}, "two first ones"),
        ({"engine": "http://here"}, "engine and engine_weights go together"),
        ({"ptx": PtxSpec({"smal_talk": 1.0})}, "ptx: no source named 'smal_talk'; did you mean small_talk"),
        ({"places": (dataclasses.replace(PLACE, answer_tokens=64),)}, "leave no room for a prompt"),
        ({"places": (dataclasses.replace(LOOKS, tasks={}),), "blind": BlindRule()}, "set places.looks.tasks.size"),
        ({"places": (dataclasses.replace(PLACE, environment="sum"),)}, "did you mean 'sums'"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_made(fields: dict, words: str) -> None:
    run = little_run(Path("start"), **fields)
    with pytest.raises(ConfigError, match=words):
        check_rl(run, REGISTRY)


def budgets(world: dict[str, Any], tasks: dict[str, Any]) -> RlRun:
    swarm = PlaceSpec("swarm", "agentic", "parl", world=world, tasks=tasks, answer_tokens=32)
    return little_run(Path("start"), places=(swarm,), measured=())


@pytest.mark.parametrize(
    ("world", "tasks"),
    [
        ({"budget": 60}, {}),
        ({"budget": 60}, {"budget": 59}),
        ({}, {"budget": 8}),
        ({}, {"budget": 0}),
        ({"budget": 0}, {}),
        ({"budget": 12, "mode": "swarm"}, {"budget": 9}),
    ],
)
def test_nobody_learns_from_tasks_that_one_agent_can_do(world: dict[str, Any], tasks: dict[str, Any]) -> None:
    run = budgets(world, tasks)
    with pytest.raises(ConfigError, match="place swarm: one agent may be able to do its tasks alone: an episode has"):
        check_rl(run, tasks=False)
    rft = RftRun("rft", "", "", run.places, start_model="start", beside_share=0.0)
    with pytest.raises(ConfigError, match=r"set places.swarm.tasks.budget to places.swarm.world.budget or more"):
        check_rft(rft, tasks=False)
    held_out = (Measured(run.places[0], count=2, quick=1),)
    check_rl(dataclasses.replace(run, places=budgets({}, {}).places, measured=held_out), tasks=False)


@pytest.mark.parametrize(
    ("world", "tasks"),
    [({}, {}), ({"budget": 7}, {}), ({"budget": 20}, {"budget": 20}), ({"mode": "alone"}, {"budget": 0})],
)
def test_what_exceeds_one_agent_is_learned_from(world: dict[str, Any], tasks: dict[str, Any]) -> None:
    check_rl(budgets(world, tasks), tasks=False)


def test_a_budget_that_no_task_exceeds_is_told_by_its_tasks() -> None:
    """What stands in the configuration alone is not enough: tasks are verified against the budget that they name."""
    with pytest.raises(ConfigError, match="the budget is 60"):
        check_rl(budgets({"budget": 60}, {"budget": 60, "rows": [4, 4]}))


def test_every_recipe_fits_together() -> None:
    for run in map(recipe, NAMED):
        if isinstance(run, RlRun):
            check_rl(run, tasks=False)


@pytest.mark.parametrize("name", ["tiny.toggle", "small.toggle", "k25.toggle"])
def test_a_run_with_toggle_begins_and_ends_brief(name: str) -> None:
    """So that its model and that of a run without Toggle are of the same step, at the same rate of learning."""
    run = recipe(name)
    assert isinstance(run, RlRun) and run.toggle is not None
    phases = [run.toggle.phase(step) for step in range(run.steps)]
    assert phases[0] == phases[-1] == 0 and phases[run.unconstrained_step - 1] == 1
    assert set(phases[run.unconstrained_step :]) == {0}
    without = dataclasses.replace(run, toggle=None)
    assert without.unconstrained_step == 0 and not without.is_final(run.unconstrained_step)


def test_held_out_tasks_are_asked_at_the_end_of_each_phase() -> None:
    run = recipe("tiny.toggle")
    assert isinstance(run, RlRun) and run.toggle is not None
    assert [step for step in range(run.steps + 1) if run.is_final(step)] == [0, 50, 55]
    assert all(run.is_due(step) for step in range(0, run.steps + 1, run.toggle.every))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.34, 0.5, 1.0])
@pytest.mark.parametrize("name", ["tiny.toggle", "tiny.parl", "tiny.joint_rl", "small.toggle", "k25.parl"])
def test_a_shortened_run_scales_whatever_is_counted_in_steps(name: str, share: float) -> None:
    run = recipe(name)
    assert isinstance(run, RlRun)
    short = run.shortened(share)
    check_rl(short, tasks=False)
    assert 1 <= short.steps <= max(run.steps, 2) and short.is_due(short.steps)
    if run.toggle is not None and short.toggle is not None:
        assert short.steps // short.toggle.every % 2 == 1
        if run.toggle.every * share >= 1:
            assert short.steps / short.toggle.every == pytest.approx(run.steps / run.toggle.every, rel=0.4)
    if run.parl is not None and short.parl is not None:
        assert short.parl.parallel.at(short.steps) == 0.0 or run.parl.parallel.at(run.steps) > 0.0
    if share == 1.0:
        assert short == run


def drawn(run: RlRun) -> list[str]:
    domains = Places(run, REGISTRY).domains(None)
    return [one.task.id for _ in range(20) if (one := domains.draw(step=0)) is not None]


def test_arms_of_one_recipe_meet_the_same_tasks_and_another_recipe_meets_others() -> None:
    run = little_run(Path("start"), places=(PLACE, LOOKS))
    arm = dataclasses.replace(run, toggle=ToggleRule(every=1), steps=5)
    assert drawn(run) == drawn(arm) != drawn(dataclasses.replace(run, seed=1))
    assert drawn(run) != drawn(dataclasses.replace(run, name="other"))


def test_no_recipe_learns_again_what_one_before_it_has_learned() -> None:
    """The same kinds of pictures in visual RL, rejection sampling and joint RL; held-out ones are the same for all."""
    runs = [recipe(name) for name in ("tiny.vision_rl", "tiny.rft", "tiny.joint_rl")]
    rl = [run.as_rl() if isinstance(run, RftRun) else run for run in runs if isinstance(run, RlRun | RftRun)]
    learned, held_out = [set[str]() for _ in rl], [set[str]() for _ in rl]
    for number, run in enumerate(rl):
        places, spec = Places(run), next(one for one in run.places if one.name == "measure_gauge")
        measured = next(one for one in run.measured if one.name == "measure_gauge")
        for source, into in ((places.source(spec, "train"), learned), (places.held_out(measured), held_out)):
            into[number] = {task.id for _ in range(32) if (task := source.next()) is not None}
    assert all(len(one) == 32 for one in (*learned, *held_out))
    assert not (learned[0] & learned[1] or learned[0] & learned[2] or learned[1] & learned[2])
    assert held_out[0] == held_out[1] == held_out[2]


def test_a_shortened_run_keeps_its_sub_agents_in_order() -> None:
    many = (Frozen(0, "a"), Frozen(2, "b"), Frozen(40, "c"), Frozen(50, "d"))
    run = little_run(Path("start"), steps=60, frozen=many)
    short = run.shortened(0.1)
    assert [(one.from_step, one.model) for one in short.frozen] == [(0, "a"), (1, "b"), (4, "c"), (5, "d")]
    check_rl(short, REGISTRY)
    named = dataclasses.replace(run, frozen_model="z", frozen=many[1:]).shortened(0.1)
    check_rl(named, REGISTRY)
    assert [one.from_step for one in named.frozen] == [1, 4, 5] and named.frozen_at(0) == "z"
    assert [one.model for one in run.shortened(0.03).frozen] == ["a", "b"]
    assert run.shortened(1.0) == run


def test_places_and_measurements_have_limits() -> None:
    with pytest.raises(ConfigError, match="without '/'"):
        PlaceSpec("a/b", "reasoning", "sums")
    for own in ("seed", "split"):
        with pytest.raises(ConfigError, match=f"{own} of its tasks is the run's to give"):
            dataclasses.replace(PLACE, tasks={own: 1})
    with pytest.raises(ConfigError, match="quick between 1 and count"):
        Measured(PLACE, count=2, quick=3)
    with pytest.raises(ConfigError, match="temperature of 0 or more"):
        Measured(PLACE, temperature=-0.1)
    with pytest.raises(ConfigError, match="weights above 0"):
        PtxSpec({"small_talk": 0.0})
    with pytest.raises(ConfigError, match="at least one row"):
        PtxSpec({"small_talk": 1.0}, rows=0)
    with pytest.raises(ConfigError, match="at least one attempt"):
        BlindRule(attempts=0)


def test_objectives_take_their_own_options() -> None:
    assert objective_of("grpo", {"high": 0.5}) == Grpo(high=0.5)
    with pytest.raises(ConfigError, match="no heigh; it has low, high"):
        objective_of("grpo", {"heigh": 0.5})
    with pytest.raises(ConfigError, match="options of the objective eq1"):
        objective_of("eq1", {"tau": "much"})


def test_kinds_of_runs_are_told_apart() -> None:
    with pytest.raises(ConfigError, match="not an RL run"):
        RlRun.from_json(recipe("tiny").to_json())
    with pytest.raises(ConfigError, match="not an RFT run"):
        RftRun.from_json(little_run(Path("start")).to_json() | {"objective": 3})
    with pytest.raises(ConfigError, match="knows no places.0.wold, stepps"):
        run = little_run(Path("start")).to_json()
        run["places"][0]["wold"] = {}
        RlRun.from_json(run | {"stepps": 3})
    assert isinstance(recipe("tiny"), Run)
