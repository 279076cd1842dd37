"""Results of the experiments from runs that are finished on paper: the numbers they rest on, and plain sentences."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.trajectory import Trajectory
from manyeyes.data.mixture import constant
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce import fig2, fig4, fig5, sft, table2, table6
from manyeyes.recipes.reproduce.fig5_pairs import Question, compare
from manyeyes.recipes.reproduce.fig5_scaling import FREE, THEN
from manyeyes.recipes.reproduce.post_attempts import Attempt
from manyeyes.recipes.reproduce.post_curves import Curve
from manyeyes.recipes.reproduce.post_ends import Steps
from manyeyes.recipes.reproduce.post_experiments import POST
from manyeyes.recipes.reproduce.post_result import fine_tuned_once, identity
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan, ordered
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.rl_run import RlRun
from manyeyes.rl.toggle import Toggle
from manyeyes.view import figure_experiment
from manyeyes.view.figure_panels import document

from . import post_toys
from .post_toys import finish, measured_attempt, real_scale, store


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return post_toys.start_at(tmp_path_factory.mktemp("start"))


def asked(made: Made) -> list[str]:
    """Names of what a run is measured on."""
    return [one.name for one in getattr(made.work, "measured", ())]


def told(result: dict[str, Any], words: str) -> str:
    """The one sentence that holds these words."""
    [found] = [sentence for sentence in result["sentences"] if words in sentence]
    return found


def vision(gain: float, *, calls: float = 0.75):
    """Figures of visual models that end at `gain` above 0.2, and begin at 0.2; runs draw a rise whatever they gain."""

    def tell(arm: str, made: Made) -> dict[str, float]:
        value = 0.2 + 0.01 * made.work.seed + (0.0 if arm == fig2.BEFORE else gain)
        told = {"reward": value, "calls": calls, "questions": 100.0, "failed": 0.0}
        return {f"{name}/{figure}": one for name in asked(made) for figure, one in told.items()}

    def begin(arm: str, name: str, value: float) -> float:
        return value - 0.19 if name.endswith("reward") else 80.0 if name.endswith("questions") else value

    return tell, begin


def result_of(name: str, scale: Scale, root: Path, tell, begin=None, plan: Plan | None = None) -> dict[str, Any]:
    made = plan or POST[name].plan(scale)
    finish(made, root, tell, curve=begin)
    return POST[name].results(Finished(made, root), scale)


def test_visual_rl_that_rises_by_twenty_points_is_shown(start: Path, tmp_path: Path) -> None:
    scale = real_scale(start, seeds=3)
    result = result_of("fig2", scale, tmp_path, *vision(0.2))
    kinds = asked(fig2.vision_rl(scale, 0))
    assert ": shown; +20.0 points" in told(result, "raises the mean reward")
    assert f"({len(kinds)} of {len(kinds)} kinds)" in told(result, "Rising in all seeds")
    assert "3 domains are asked for: reached" in told(result, "by at least 15 points")
    assert ": reached; before RL it does so in 75.0 ± 0.0 %" in told(result, "call tools on real pictures")
    assert "100 tasks of each kind" in result["about"][0] and "80 to 100" not in result["about"][0]
    assert "80 tasks of each kind" in result["about"][1] and "Nothing that is said here" in result["about"][1]
    assert len(kinds) >= 4 and len(result["panels"]) == len(kinds) + 1
    assert len(result["figures"]["domains"]) == 3 and len(result["tables"][1]["rows"]) == 3


def test_visual_rl_that_falls_is_not_shown_and_says_where(start: Path, tmp_path: Path) -> None:
    result = result_of("fig2", real_scale(start), tmp_path, *vision(-0.1, calls=0.2))
    assert "not shown" in told(result, "raises the mean reward") and "none (0 of" in told(result, "Rising in all seeds")
    assert "domains none" in told(result, "by at least") and "asked for: not reached" in told(result, "by at least")
    assert "measure_" in told(result, "Lower than before") or "see_" in told(result, "Lower than before")
    assert "not reached; before RL it does so in 20.0" in told(result, "call tools")


def test_tasks_that_are_chosen_by_the_starts_failures_show_no_rise(start: Path, tmp_path: Path) -> None:
    result = result_of("fig2", real_scale(start, seeds=3), tmp_path, *vision(0.0))
    kinds = asked(fig2.vision_rl(real_scale(start), 0))
    curves = [result["figures"]["curves"][name]["seeds"] for name in kinds]
    assert all(own[-1] - own[0] > 0.15 for seeds in curves for own in seeds)  # the run's own curve rises all the same
    assert "not shown; +0.0 points" in told(result, "raises the mean reward")
    assert "domains none" in told(result, "by at least") and "not reached" in told(result, "by at least")
    plan = fig2.plan(real_scale(start))
    assert plan[fig2.BEFORE, 0].work.as_run().blind is None  # pyright: ignore[reportAttributeAccessIssue]
    assert plan[fig2.BEFORE, 1].key == sft.plan(real_scale(start))[f"{sft.ZERO} {sft.BEFORE}", 1].key


@pytest.mark.parametrize(
    ("change", "words"),
    [(0.03, "visual RL improves text"), (-0.03, "text is worse beyond noise"), (0.0, "text is not better")],
)
def test_text_is_compared_before_and_after_by_seed(start: Path, tmp_path: Path, change: float, words: str) -> None:
    def tell(arm: str, made: Made) -> dict[str, float]:
        added = change + 0.002 * made.work.seed * bool(change) if arm == table2.AFTER else 0.0
        losses = [one.name for one in getattr(made.work, "losses", ())]
        return {f"{n}/reward": 0.5 + 0.1 * made.work.seed + added for n in asked(made)} | {
            f"{n}/loss": 3.0 + (0.2 if arm == table2.AFTER else 0.0) for n in losses
        }

    result = result_of("table2", real_scale(start, seeds=3), tmp_path, tell)
    assert words in (said := told(result, "after - before visual RL"))
    beside = "which did not keep it." if change < 0 else "so this is no effect of pictures."
    assert said.endswith(f"fine-tuning's text was learned beside the rewards, {beside}")
    assert any("Beside its rewards tiny.vision_rl learns fine-tuning's dialogues, with weight 0.2" in line
               for line in result["about"])  # fmt: skip
    assert "+0.200 nats a token; language modelling is a little worse" in told(result, "held-out text")
    assert result["tables"][2]["rows"][0] == ["MMLU-Pro", "84.7", "86.4", "+1.7"]


def test_text_vision_sft_shows_the_same_conversations_with_their_pictures(start: Path) -> None:
    scale = real_scale(start)
    both = zip(fig2.sft(scale, 0).work.stages, sft.text_vision(scale, 0).work.stages, strict=True)  # pyright: ignore
    segments = [(zero.mixture.segments[0], other.mixture.segments[0]) for zero, other in both]
    assert all(zero == other for zero, other in segments if "sft/zero_vision" not in zero.weights)
    zero, other = next(pair for pair in segments if "sft/zero_vision" in pair[0].weights)
    swapped = {sft.SWAPPED.get(name, name): weight for name, weight in zero.weights.items()}
    assert other.weights == swapped and "sft/text_vision" in other.weights
    assert zero.vision == 0.0
    assert other.vision == pytest.approx(zero.weights["sft/zero_vision"] / sum(zero.weights.values()), abs=1e-6)
    with pytest.raises(ConfigError, match="must hold sft/zero_vision"):
        sft.with_pictures(constant(0.0, weights={"small_talk": 1.0}))


def test_one_text_vision_sft_stands_beside_one_that_is_named(start: Path, tmp_path: Path) -> None:
    run = dataclasses.replace(recipe("tiny.sft"), seed=5, start_model=str(start))
    folder = RunFolder.create(tmp_path / "sft", run.to_json())
    model = post_toys.start_at(folder.path / "model")
    scale = real_scale(start, seeds=2, fine_tuned=model)
    made = [sft.text_vision(scale, seed) for seed in range(2)]
    assert made[0].key == made[1].key and made[0].work.seed == 5 and made[0].start == start
    assert [one.label for one in ordered(sft.plan(scale).values())].count("text-vision-sft 5") == 1
    arms = [sft.plan(scale)[arm, 1].work for arm in sft.ARMS]
    assert arms[0] == arms[1] == dataclasses.replace(fig2.vision_rl(scale, 1).work, blind=None)  # pyright: ignore
    with pytest.raises(ConfigError, match="in the folder of its run of tiny.sft"):
        sft.text_vision(real_scale(start, fine_tuned=start), 0)


def test_zero_vision_is_compared_before_and_after_the_same_rl(start: Path, tmp_path: Path) -> None:
    level = {sft.BEFORE: 0.2, sft.AFTER: 0.4}

    def tell(arm: str, made: Made) -> dict[str, float]:
        lower = 0.1 if arm.startswith(sft.TEXT_VISION) else 0.0
        value = level.get(arm.partition(" ")[2], 0.4) + 0.01 * made.work.seed - lower
        return {
            f"{name}/{figure}": one
            for name in asked(made)
            for figure, one in {"reward": value, "calls": value, "questions": 100.0}.items()
        }

    result = result_of("sft", real_scale(start, seeds=3), tmp_path, tell)
    for when in ("before RL", "after RL"):
        assert ": shown; +10.0 points" in told(result, f"better than text-vision SFT {when}")
    assert "+20.0 points" in told(result, "Visual RL after text-vision SFT")
    assert "the arm that shows them sees fewer conversations" in result["about"][0]
    assert "without the recipe's blind filter" in result["about"][0] and "100 of each kind" in result["about"][0]


def test_what_failed_is_said_where_it_is_more_than_one_in_a_hundred(start: Path, tmp_path: Path) -> None:
    tell, _ = vision(0.2)
    lost = asked(fig2.vision_rl(real_scale(start), 0))[0]

    def some_fail(arm: str, made: Made) -> dict[str, float]:
        counts = {f"{n}/questions": 200.0 for n in asked(made)} | {f"{n}/failed": 1.0 for n in asked(made)}
        return tell(arm, made) | counts | ({f"{lost}/failed": 8.0} if made.work.seed == 1 and asked(made) else {})

    result = result_of("fig2", real_scale(start), tmp_path, some_fail)
    said = told(result, "came to no verdict")
    assert f"tiny.vision_rl 1, {lost}, step 0: 4.0 %" in said and "in 4 measurements" in said
    assert {one["run"] for one in result["failed"]} == {
        "tiny.vision_rl 1", "seen-zero-vision-sft 1", "seen-vision-rl 1",
    }  # fmt: skip


ACCURATE = {
    "performance": 0.9, "parallelism": 4.0, "agents": 6.0, "critical_steps": 7.0, "finish": 0.95, "started": 6.0,
    "finished": 5.7,
}  # fmt: skip
SERIAL = {
    "performance": 0.2, "parallelism": 1.1, "agents": 0.3, "critical_steps": 9.0, "finish": 0.2, "started": 0.3,
    "finished": 0.1,
}  # fmt: skip
LONE = {
    "performance": 0.85, "parallelism": 1.0, "agents": 0.0, "critical_steps": 25.0, "finish": 0.0, "started": 0.0,
    "finished": 0.0,
}  # fmt: skip
IDLE = ACCURATE | {"performance": 0.1, "agents": 8.0, "finish": 0.9, "started": 8.0, "finished": 0.8}
"""Eight of ten tasks are for nothing, though the mean over attempts of the share that finishes is high."""


def orchestrators(by_arm: dict[str, dict[str, float]]):
    def tell(arm: str, made: Made) -> dict[str, float]:
        wobble = 1 + 0.01 * made.work.seed
        parts = by_arm.get(arm, ACCURATE)
        found = {f"{name}/part_{part}": value * wobble for name in asked(made) for part, value in parts.items()}
        ends = {"stop_done": 0.75, "stop_context_overflow": 0.25} if arm == fig4.ALONE or arm == table6.ALONE else ENDED
        return found | {f"{name}/{way}": share for name in asked(made) for way, share in ends.items()}

    def begin(arm: str, name: str, value: float) -> float:
        return SERIAL.get(name.rpartition("part_")[2], value)

    return tell, begin


ENDED = {"stop_done": 1.0}


def swarms(name: str, scale: Scale, root: Path, by_arm: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The result of an experiment of orchestrators; every fourth attempt of an agent alone is cut off at 2 steps."""
    plan = POST[name].plan(scale)
    tell, begin = orchestrators(by_arm)
    finish(plan, root, tell, curve=begin)
    for (arm, _), made in plan.items():
        lone, steps = arm in (fig4.ALONE, table6.ALONE), by_arm.get(arm, ACCURATE)["critical_steps"]
        store(
            made.path(root),
            [
                measured_attempt(
                    place, f"t/{number}", reward=1.0, tokens=5, critical=2.0 if lone and number == 3 else steps,
                    step=made.work.steps if isinstance(made.work, RlRun) else 0,
                    stop="context_overflow" if lone and number == 3 else "done",
                )
                for place in asked(made) for number in range(4)
            ],
        )  # fmt: skip
    return POST[name].results(Finished(plan, root), scale)


def test_parl_that_parallelises_is_shown_with_its_ablations(start: Path, tmp_path: Path) -> None:
    arms = {fig4.ALONE: LONE, fig4.NO_PARALLEL: SERIAL, fig4.NO_FINISH: IDLE}
    result = swarms("fig4", real_scale(start, seeds=3), tmp_path, arms)
    assert ": shown;" in told(result, "Accuracy (item-F1") and ": shown;" in told(result, "Parallelism rises")
    said = told(result, "at most a third")
    assert (
        "by the 95 % interval): reached; 7.0 instead of 25.0 steps on the 9 tables that both brought to an end and the"
        in said
    )
    assert "swarm filled as well, 28 % (95 %" in said
    assert "(95 % interval 28 to 28, 3 seeds)" in said and "+5.1 points (95 % interval" in said
    assert "alone by itself or its budget 75 %, context overflow 25 %" in result["about"][1]
    assert "within 9 critical steps, at which a swarm is ended" in result["about"][0]
    assert [row[0] for row in result["tables"][0]["rows"]][:2] == ["compared: one agent alone", "compared: after PARL"]
    assert "chosen after an exploratory ablation" in result["about"][2] and "not reached" in result["about"][2]
    assert "Beside its rewards tiny.parl learns fine-tuning's dialogues, with weight 0.05" in result["about"][3]
    said = told(result, "without r_parallel")
    assert "and stays there (one seed): reached; 0.3 sub-agents" in said and "never fewer than 6.0" in said
    said = told(result, "without r_finish")
    assert ": reached; 10 instead of 95 % of the assigned tasks" in said
    assert "(1 of 1 seeds" in said and "0 of 1 seeds without it work alone at the end, 0 with it" in said
    least = result["figures"]["steps_alone"]
    assert 20 < least < 40 and f"one call at a time takes {least:.1f}" in result["about"][1]
    assert (
        "their sub-agents at 0.3" in result["about"][0] and "temperature 0.2: the trained swarm" in result["about"][1]
    )


def test_ablations_that_change_nothing_are_not_shown(start: Path, tmp_path: Path) -> None:
    result = swarms("fig4", real_scale(start), tmp_path, {fig4.ALONE: LONE | {"performance": 0.99}})
    assert "not reached" in told(result, "without r_parallel") and "not reached" in told(result, "without r_finish")
    assert "not reached" in told(result, "at most a third")  # one agent alone is more accurate


def test_a_third_of_the_steps_is_asked_of_every_seed_and_accuracy_of_the_interval() -> None:
    def said(ours: list[float], theirs: list[float], both: Steps) -> str:
        trained = {"accuracy": ours, "critical steps": [7.0, 7.0]}
        return fig4.steps_sentence(trained, {"accuracy": theirs}, both, 30.0)

    third = Steps([5, 5], [7.0, 7.0], [25.0, 25.0])
    assert "interval): reached; 7.0 instead of 25.0" in said([0.9, 0.8], [0.9002, 0.7998], third)
    assert "interval): not reached" in said([0.9, 0.7], [0.75, 0.75], third)  # better in the mean of the seeds alone
    assert "interval): not reached" in said([0.9, 0.8], [0.92, 0.82], third)
    assert "interval): not reached" in said([0.9, 0.8], [0.9, 0.8], Steps([5, 5], [7.0, 9.0], [25.0, 25.0]))
    assert "interval): not reached" in said([0.9, 0.8], [0.9, 0.8], Steps([5, 0], [7.0], [25.0]))
    nothing = said([0.9, 0.8], [0.9, 0.8], Steps([0, 0], [], []))
    assert "not reached; no table was brought to an end by both" in nothing


def test_a_few_points_fewer_that_finish_are_no_spurious_parallelism(start: Path, tmp_path: Path) -> None:
    arms = {fig4.ALONE: LONE, fig4.NO_FINISH: ACCURATE | {"finished": 5.3}}
    result = swarms("fig4", real_scale(start), tmp_path, arms)
    assert ": not reached; 88 instead of 95 %" in told(result, "without r_finish")


def test_only_who_divides_the_work_can_do_so_in_vain() -> None:
    def arm(agents: list[float], started: list[float], finished: list[float]) -> dict[str, Curve]:
        found = {"sub-agents": agents, "started": started, "finished": finished}
        return {name: Curve([20], [[value] for value in values]) for name, values in found.items()}

    full = arm([8.0, 9.0, 0.1], [8.0, 9.0, 0.1], [6.4, 7.2, 0.0])
    said = fig4._spurious(arm([0.0, 9.0, 9.0], [0.0, 9.0, 9.0], [0.0, 4.5, 0.0]), full)
    assert "spurious: reached; 50 instead of 80 % of the assigned tasks" in said and "(1 of 3 seeds" in said
    assert "1 of 3 seeds without it work alone at the end, 1 with it." in said
    none = fig4._spurious(arm([0.0, 0.5, 9.0], [0.0, 0.5, 9.0], [0.0, 0.0, 0.0]), full)
    assert "spurious: not reached; no seed divides the work both" in none and "2 of 3 seeds" in none
    mixed = fig4._spurious(arm([9.0, 9.0, 0.0], [9.0, 9.0, 0.0], [1.0, 7.0, 0.0]), full)
    assert "not reached; 11 instead of 80 %, 78 instead of 80 %" in mixed


def test_a_policy_that_comes_back_did_collapse() -> None:
    def arm(*agents: float) -> dict[str, Curve]:
        return {"sub-agents": Curve([0, 20, 40], [list(agents)]), "accuracy": Curve([0, 40], [[0.4, 0.9]])}

    said = fig4._collapse(arm(2.0, 0.2, 7.0), arm(2.0, 5.0, 8.0))
    assert "but not for good (one seed): reached; 0.2 sub-agents after 20 steps and 7.0 at the end" in said
    assert "never fewer than 5.0 and 8.0 at the end" in said
    assert "at any measurement (one seed): not reached" in fig4._collapse(arm(0.5, 3.0, 7.0), arm(0.5, 5.0, 8.0))
    assert "and stays there (one seed): not reached" in fig4._collapse(arm(2.0, 0.2, 0.1), arm(2.0, 0.5, 8.0))


def test_ablations_leave_out_one_reward_each(start: Path) -> None:
    plan = fig4.plan(real_scale(start))
    arms = (fig4.FULL, fig4.PLAIN, fig4.NO_PARALLEL, fig4.PUSHED, fig4.NO_FINISH)
    full, plain, no_parallel, pushed, no_finish = (plan[arm, 0].work.parl for arm in arms)
    assert plain == full and no_parallel.parallel.start == 0 and no_parallel.finish == full.finish
    assert [pushed.parallel.start, pushed.finish.start] == pytest.approx(
        [3 * full.parallel.start, 3 * full.finish.start]
    )
    assert (pushed.parallel.hold, pushed.parallel.until) == (full.parallel.hold, full.parallel.until)
    assert no_finish == dataclasses.replace(pushed, finish=dataclasses.replace(pushed.finish, start=0.0))
    assert all(plan[arm, 0].work.ptx is None for arm in fig4.ABLATED) and plan[fig4.FULL, 0].work.ptx is not None
    assert plan[fig4.ALONE, 0].work.measured[0].place.world["mode"] == "alone"


def test_what_an_extra_reward_is_for_is_asked_while_it_is_paid(start: Path) -> None:
    plan = fig4.plan(real_scale(start))
    whole, ablated = plan[fig4.FULL, 0].work, [plan[arm, 0].work for arm in fig4.ABLATED]
    steps = {one.steps for one in ablated}
    assert len(steps) == 1 and max(steps) < whole.steps
    for fade in (whole.parl.parallel, whole.parl.finish):
        assert fade.at(max(steps)) > 0 == fade.at(whole.steps)


def test_table_6_has_the_three_benchmarks_and_the_reports_numbers(start: Path, tmp_path: Path) -> None:
    arms = {table6.ALONE: LONE, table6.BEFORE: SERIAL}
    scale = real_scale(start, seeds=3)
    result = swarms("table6", scale, tmp_path, arms)
    assert ": shown; +5.1 points" in told(result, "deep (for BrowseComp)")
    assert "on the 9 tasks that both brought to an end, and it did as well, it takes 28 %" in told(
        result, "wide (for WideSearch)"
    )
    assert "The report: +6.3" in told(result, "wide (for WideSearch)")
    assert "download up to 12 rows" in result["about"][2] and "the whole task alone" in result["about"][2]
    assert "one agent 75 %, swarm before PARL 100 %, swarm 100 % of all" in result["about"][3]
    scored, whole, stepped, ended = result["tables"][:4]
    assert ended["rows"][0][1] == "by itself 75 %, context overflow 25 %"
    assert "before and after, and after as well, it takes 78 %" in told(result, "PARL improves the swarm")
    swarms_asked = [table6.plan(scale)[arm, 0].work.measured for arm in (table6.BEFORE, table6.AFTER)]
    assert {one.place.world["budget"] for asked_of in swarms_asked for one in asked_of} == {0}
    assert stepped["rows"][0][1:5] == ["9", "25.0", "7.0", "0.28"]
    assert [row[0] for row in whole["rows"]] == [row[0] for row in scored["rows"]]
    assert "The report: +16.7 points." in told(result, "bench (for in-house")
    assert [row[0] for row in result["tables"][0]["rows"]][-1] == "bench (mean of the four)"
    assert stepped["rows"][-1][1] == "36"
    assert stepped["heads"][-1] == "one that never errs, all tasks"
    assert all(float(row[-1]) > 20 for row in stepped["rows"])
    plan = table6.plan(scale)
    tasks = [[one.place.tasks for one in plan[arm, 0].work.measured] for arm in table6.ARMS]
    assert tasks[0] == tasks[1] == tasks[2]
    assert plan[table6.AFTER, 0].start == fig4.plan(scale)[fig4.FULL, 0]


def toggled(start: Path, tmp_path: Path, *, saved: float, lost: int = 0, cut: int = 0, hard: int = 0) -> dict[str, Any]:
    """Toggle saves a share of the tokens, and `lost` of ten answers of each family are wrong that were right.

    As the last unconstrained phase ends, one answer of ten is wrong in either arm that is right at the end.

    Args:
        cut: of ten answers behind the unconstrained phase, that are wrong and right without Toggle.
        hard: of ten answers at the hardest level, after the last brief phase.
    """
    scale = real_scale(start, seeds=2)
    plan = fig5.plan(scale)
    finish(plan, tmp_path, lambda arm, made: {"length": 30.0})

    def answers(name: str, ids: Sequence[str], arm: str, *, seed: int) -> list[Trajectory]:
        made, brief, free, then = [], arm == fig5.WITH, arm == FREE, arm in (FREE, THEN)
        for n, task in enumerate(ids):
            level = int(task.split("/")[2])
            tokens = round((100 + 10 * seed + 20 * (level - 1) + 5 * then) * (1 - saved * (brief or free)))
            right = n % 10 < 8 - then - lost * brief - cut * free - hard * (brief and level == 3)
            made.append(measured_attempt(name, task, tokens=tokens, reward=float(right)))
        return made

    for (arm, seed), made in plan.items():
        if not arm.startswith("run"):
            for name, tasks in made.work.tasks().items():
                store(made.path(tmp_path), answers(name, [task.id for task in tasks[:10]], arm, seed=seed))
    return fig5.results(Finished(plan, tmp_path), scale)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fig5, "ASKED", 100)


def test_toggle_that_saves_a_third_at_no_loss_is_shown_for_old_and_new_families(
    start: Path, tmp_path: Path, few
) -> None:
    result = toggled(start, tmp_path, saved=0.3)
    assert "1 point of accuracy: reached; it saves 30.0 % (95 %" in result["sentences"][0]
    for families in ("All families", "Families trained on", "Families not trained on"):
        said = told(result, f"{families}:")
        assert "30.0 % fewer" in said and "accuracy +0.0" in said
        assert "questions), +0.0 points (95 % interval +0.0 to +0.0, 2 seeds)" in said
    assert "brief phase: reached; against the run without Toggle it is furthest behind" in told(result, "Scaling")
    at_phase_end = "within 384 tokens 70.0 % are right, without Toggle 70.0 %, after the brief phase 80.0 %"
    assert at_phase_end in told(result, "Scaling") and "from 123 to 128 by then" in told(result, "Scaling")
    assert "answers take 28 tokens more than at the easiest" in told(result, "Scaling")
    assert "phase are +3.5 tokens longer" in told(result, "Scaling")
    whole = result["figures"]["compared"]["all"]
    assert whole["pairs"] == 20 * len(result["figures"]["families"])
    assert whole["questions"] <= whole["items"]["clusters"] <= whole["pairs"]
    assert f"{whole['questions']:,} distinct questions" in result["about"][0]
    assert list(result["figures"]["levels"]) == ["level 1", "level 2", "level 3"]
    assert sum(one["pairs"] for one in result["figures"]["levels"].values()) == whole["pairs"]
    assert set(result["figures"]["trained_on"]) < set(result["figures"]["families"])


def test_toggle_that_costs_accuracy_is_not_shown(start: Path, tmp_path: Path, few) -> None:
    result = toggled(start, tmp_path, saved=0.4, lost=1)
    assert "not reached" in result["sentences"][0]
    assert "accuracy -10.0 points" in told(result, "All families:")


def test_a_model_that_more_tokens_help_less_has_not_kept_its_scaling(start: Path, tmp_path: Path, few) -> None:
    result = toggled(start, tmp_path, saved=0.4, cut=1)
    free = result["figures"]["caps"][FREE]["right"]
    means = [sum(seeds) for seeds in free.values()]
    assert means == sorted(means) and means[0] < means[-1]  # as it is for any model
    assert "last brief phase: not reached" in told(result, "Scaling")
    assert "furthest behind within 384 tokens, -10.0 points" in told(result, "Scaling")


def test_nor_has_one_that_is_worse_at_hard_problems_alone(start: Path, tmp_path: Path, few) -> None:
    worse = toggled(start, tmp_path, saved=0.4, hard=8)
    assert "furthest behind within 384 tokens, +0.0 points" in told(worse, "Scaling")
    assert "last brief phase: not reached" in told(worse, "Scaling")
    assert "take 24 tokens more than at the easiest, without Toggle 40" in told(worse, "Scaling")
    assert "At the hardest level -66.7 points (95 % interval" in told(worse, "Scaling")  # two of three were right
    assert "questions), -66.7 points" in told(worse, "Scaling")


def test_without_toggle_is_the_same_run_but_for_toggle(start: Path) -> None:
    plan = fig5.plan(real_scale(start, seeds=1))
    with_it, without = (plan[f"run {arm}", 0].work for arm in (fig5.WITH, fig5.WITHOUT))
    assert with_it.toggle is not None and without.toggle is not None
    assert without == dataclasses.replace(with_it, toggle=dataclasses.replace(with_it.toggle, threshold=fig5.NEVER))
    assert with_it.toggle.phase(with_it.steps - 1) == 0 and with_it.is_final(with_it.unconstrained_step)
    toggle = Toggle(without.toggle)
    toggle.observe("t", [True, True], [10, 50])
    assert toggle.gate("t", [1.0, 1.0], [10, 50], step=0).rewards == [1.0, 1.0]  # the best there are, beyond the budget
    asked_items = sum(one.count for one in plan[fig5.WITH, 0].work.measured)
    assert asked_items >= fig5.ASKED  # as many as three seeds ask together
    assert sum(one.count for one in fig5.plan(real_scale(start, seeds=3))[fig5.WITH, 0].work.measured) >= 4000 / 3
    for arm, of, folder in (
        (FREE, fig5.WITH, "model_unconstrained"),
        (THEN, fig5.WITHOUT, "model_unconstrained"),
        (fig5.WITH, fig5.WITH, "model"),
    ):
        made, run = plan[arm, 0], plan[f"run {of}", 0]
        assert made.start == run and made.resolved(start).start_model == str(run.path(start) / folder)
    assert {tuple(one.place.tasks["levels"]) for one in plan[fig5.WITH, 0].work.measured} == {(1, 2, 3)}


def test_a_question_that_comes_again_counts_once() -> None:
    questions = {"t/1": Question("2 + 2", 1), "t/2": Question("2 + 2", 1), "t/3": Question("3 + 3", 2)}

    def found(*rewards: float):
        return {("sum", f"t/{n}#0"): Attempt("sum", f"t/{n}#0", r, 10) for n, r in enumerate(rewards, start=1)}

    asked_of = {fig5.BEFORE: [found(1, 1, 1)], fig5.WITHOUT: [found(1, 1, 1)], fig5.WITH: [found(0, 0, 1)]}
    whole = compare(asked_of, questions)
    assert (whole["pairs"], whole["questions"], whole["items"]["clusters"]) == (3, 2, 2)
    assert whole["items"]["mean"] == pytest.approx(-2 / 3)
    assert compare(asked_of, questions, lambda one: questions[one.task_id].level == 2)["items"]["mean"] == 0


@pytest.mark.parametrize("name", POST)
def test_more_seeds_may_be_added_to_an_experiment(start: Path, name: str) -> None:
    one, three = (POST[name].plan(real_scale(start, seeds=seeds)) for seeds in (1, 3))
    if name != "fig5":  # up to three seeds, more of them need fewer questions each
        assert identity(one) == identity(three) != identity(three, tune_each=True)
        assert {made.key for made in one.values()} <= {made.key for made in three.values()}
    more = POST[name].plan(real_scale(start, seeds=4))
    assert {made.key for made in three.values()} <= {made.key for made in more.values()}


def test_a_result_is_drawn_and_told_with_the_report_beside_it(start: Path, tmp_path: Path) -> None:
    result = result_of("fig2", real_scale(start), tmp_path, *vision(0.2))
    assert json.loads(json.dumps(result)) == result
    drawn = document(figure_experiment.picture(result))
    assert drawn.startswith("<?xml") and drawn.count("RL steps") == len(result["panels"])
    assert "reached, not reached" in figure_experiment.NOTE
    page = figure_experiment.markdown(result, picture="fig2.svg")
    assert "![" in page and "## What the report says" in page and "2 seeds" in page and "--quick" not in page
    assert figure_experiment.table(result)[1][-1][0] == "mean"
    quick = figure_experiment.markdown(result | {"quick": True, "share": 0.5}, picture="x.svg")
    assert "means nothing else" in quick and "at 50 % of its recipe's steps" in quick


def test_one_fine_tuning_for_all_seeds_is_told_by_the_plan(start: Path) -> None:
    once, named, each = (real_scale(start, **given) for given in ({}, {"fine_tuned": start}, {"tune_each": True}))
    for name in ("fig2", "fig4", "sft", "table6"):
        [said] = fine_tuned_once(POST[name].plan(once), once)
        assert said.startswith("All seeds start from one fine-tuning: their spread is")
        assert fine_tuned_once(POST[name].plan(each), each) == []
        alone = dataclasses.replace(once, seeds=1)
        assert fine_tuned_once(POST[name].plan(alone), alone) == []
    [said] = fine_tuned_once(POST["fig4"].plan(named), named)
    assert said.startswith("All seeds start from one finished fine-tuning (--start): ")
    of_one = dataclasses.replace(named, seeds=1)
    assert fine_tuned_once(POST["fig4"].plan(of_one), of_one) == ["It starts from one finished fine-tuning (--start)."]


def test_trained_swarms_of_different_fine_tunings_are_not_said_to_share_one(tmp_path: Path) -> None:
    models = [post_toys.start_at(tmp_path / name) for name in ("a", "b", "parl-a", "parl-b")]
    scale = real_scale(models[0])
    tables = recipe("tiny.parl").measured[:1]
    for tuned, wanted in ((models[:2], 0), ([models[0]] * 2, 1)):
        plan = {
            ("swarm", seed): scale.measuring("fig8-swarm", seed, models[2 + seed], measured=tables, frozen=tuned[seed])
            for seed in range(2)
        }
        assert len(fine_tuned_once(plan, scale)) == wanted
