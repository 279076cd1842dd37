"""Figure 4 of the report at small scale: PARL over training, accuracy and parallelism; what each extra reward is for.

    command      manyeyes reproduce fig4
    chain        tiny → tiny.sft → tiny.parl, the last for each seed; sub-agents are the frozen SFT checkpoint
    ablations    without r_parallel, and the same with both; without r_finish, and the same with both, where each extra
                 reward weighs `PUSH` times as much. One seed each, from rewards alone (without the recipe's PTX loss,
                 whose dialogues show both working alone and dividing the work), for a third of the steps, while the
                 extra rewards have not faded
    compared     the trained swarm, and one agent alone: the SFT checkpoint without sub-agents, with as many steps as it
                 takes; on twice as many tables, both at `COMPARED`, the swarm's sub-agents too

Measured on held-out tables of 4 to 12 rows within the budget of critical steps. Parallelism is agents at work at once:
steps of all agents over critical steps. Spurious parallelism: fewer of the sub-agents that are started finish what they
were given. Steps of the swarm and of one agent are compared on the tables that both brought to an end and the swarm
filled as well (`post_ends`): the budget alone ends a swarm early, so that it takes few steps says nothing by itself.
Report: §3, Figure 4.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.fig2 import sft
from manyeyes.recipes.reproduce.post_curves import Curve, curve, last_figures
from manyeyes.recipes.reproduce.post_ends import Steps, asked_of, ends_of, said, steps_on_both
from manyeyes.recipes.reproduce.post_findings import Reached, percent, points, risen, spread, threshold
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.post_swarm import (
    COMPARED,
    CONTEXT,
    Mode,
    orchestrated,
    steps_alone,
    tables_of,
    temperatures,
    to_compare,
)
from manyeyes.recipes.reproduce.verdict import Difference, paired
from manyeyes.recipes.rl_run import RlRun
from manyeyes.swarm.parl import ParlRule
from manyeyes.swarm.parl_environment import BUDGET

RECIPE = "tiny.parl"
FULL, TRAINED, ALONE = "PARL", "trained", "alone"
PUSH = 3.0
PLAIN, NO_PARALLEL = "rewards alone", "without r_parallel"
PUSHED, NO_FINISH = f"rewards alone, extra x {PUSH:g}", f"without r_finish, extra x {PUSH:g}"
ABLATED = (PLAIN, NO_PARALLEL, PUSHED, NO_FINISH)
"""Arms from rewards alone. Without r_finish, at the recipe's weights, policies of this size work alone after 20 steps
(three seeds of three, docs/experiments/fig4_exploratory.json); only one that divides the work can do so in vain, and
at `PUSH` times the weights single runs of either arm do. The factor was chosen after that was seen."""
FACTOR = (
    f"The factor {PUSH:g} was chosen after an exploratory ablation of r_finish at the recipe's weights: there the "
    "policy works alone without it from step 20 on (three seeds of three), so parallelism cannot be spurious: not "
    "reached. With both rewards all three divide the work from step 40 on, one of which did not at step 20 either "
    "(docs/experiments/fig4_exploratory.json)."
)
ABLATED_SHARE = 1 / 3
"""Of the steps, that these make: what an extra reward is for shows while it is paid, and all are 0 at the end."""
TABLES = 96
"""Of each seed, that the trained swarm and one agent are compared on."""
MARGIN = 0.01
"""By how much the swarm's item-F1 may be lower and still count as equal: the whole 95 % interval is less than that."""
THIRD = 1 / 3
"""Of the critical steps of one agent, that the swarm may take."""
SERIAL = 1.0
"""Sub-agents of an attempt below which a policy counts as serial."""
REPORT = (
    "Figure 4: in the PARL environment training accuracy rises smoothly as training goes on, and so does the degree of "
    "parallelism (curves only, no figures are printed).",
    "§3: r_parallel mitigates serial collapse (a single agent by default); r_finish prevents spurious parallelism "
    "(sub-agents started in numbers, with no meaningful task).",
)
FIGURES = {
    "accuracy": "part_performance",
    "parallelism": "part_parallelism",
    "sub-agents": "part_agents",
    "critical steps": "part_critical_steps",
    "finish": "part_finish",
    "started": "part_started",
    "finished": "part_finished",
}
SPURIOUS = 0.1
"""By how much the share of assigned tasks that are finished must be lower for parallelism to be called spurious."""


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    made: dict[tuple[str, int], Made] = {}
    for seed in range(scale.seeds):
        made[FULL, seed] = parl(scale, seed)
        made[TRAINED, seed] = compared(scale, seed, "swarm")
        made[ALONE, seed] = compared(scale, seed, "alone")
    extra = _extra(scale)
    made[PLAIN, 0] = _ablated(scale, extra, "rewards-alone")
    made[NO_PARALLEL, 0] = _ablated(scale, _without(extra, "parallel"), "no-r-parallel")
    made[PUSHED, 0] = _ablated(scale, pushed(extra), "pushed")
    made[NO_FINISH, 0] = _ablated(scale, _without(pushed(extra), "finish"), "no-r-finish")
    return made


def parl(scale: Scale, seed: int) -> Made:
    """The orchestrator's training."""
    return scale.reinforced(RECIPE, seed, sft(scale, seed))


def compared(scale: Scale, seed: int, mode: Mode) -> Made:
    """The trained swarm, or the SFT checkpoint without sub-agents, on the same tables."""
    start, tables = sft(scale, seed), to_compare(tables_of(scale.shortened(RECIPE)), mode=mode, count=TABLES)
    if mode == "alone":
        return scale.measuring("alone", seed, start, measured=(tables,), context=CONTEXT)
    return scale.measuring("trained", seed, parl(scale, seed), measured=(tables,), frozen=start, context=CONTEXT)


def pushed(rule: ParlRule) -> ParlRule:
    """The same with each extra reward `PUSH` times as heavy."""
    return ParlRule(*(replace(one, start=PUSH * one.start) for one in (rule.parallel, rule.finish)))


def _extra(scale: Scale) -> ParlRule:
    if (rule := scale.shortened(RECIPE).parl) is None:
        raise ConfigError(f"{RECIPE}: expected extra rewards to leave out, and it has none (parl=null)")
    return rule


def _without(rule: ParlRule, part: str) -> ParlRule:
    """The same with one of the two extra rewards at 0."""
    return replace(rule, **{part: replace(getattr(rule, part), start=0.0)})


def _ablated(scale: Scale, rule: ParlRule, label: str) -> Made:
    """The first seed's training with other extra rewards, from rewards alone."""
    return scale.reinforced(RECIPE, 0, sft(scale, 0), label=label, parl=rule, ptx=None, steps=ablated_steps(scale))


def ablated_steps(scale: Scale) -> int:
    """Of an ablation, and of what it is compared with."""
    return max(1, round(ABLATED_SHARE * scale.shortened(RECIPE).steps))


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the logs and the stored attempts.

    Raises:
        DataError: a measurement lacks figures or attempts.
    """
    work: RlRun = found.work(FULL)
    name = tables_of(work).name
    curves = {
        arm: {title: curve(found.runs(arm), f"{name}/{key}") for title, key in FIGURES.items()}
        for arm in (FULL, *ABLATED)
    }
    trained, lone = ({title: _figures(found.runs(arm), f"{name}/{key}") for title, key in FIGURES.items()}
                     for arm in (TRAINED, ALONE))  # fmt: skip
    full, least = curves[FULL], steps_alone(found.work(ALONE))[name]
    both = steps_on_both(asked_of(found.runs(TRAINED)), asked_of(found.runs(ALONE)), [name], as_good=True)
    return result(
        "fig4", "PARL: accuracy and parallelism over training", found, scale,
        about=[
            f"{scale.seeds} seeds of {RECIPE} ({work.steps} steps of {work.groups} tasks x {work.attempts} attempts), "
            f"and from rewards alone (one seed, {ablated_steps(scale)} steps) without r_parallel and with both extra "
            f"rewards, and without r_finish and with both where they are {PUSH:g} times as heavy; followed on "
            f"{tables_of(work).count} held-out tables (half of them in between) within {budget_of(work)} critical "
            f"steps, at which a swarm is ended; there {temperatures(work)}.",
            f"Compared on {TABLES} held-out tables, all agents at temperature {COMPARED:g}: the trained swarm, and "
            "alone: the SFT checkpoint, not reinforced, without sub-agents, as many steps as it takes; one agent "
            f"that never errs and makes one call at a time takes {least:.1f}. How attempts ended: swarm "
            f"{said(ends_of(found.runs(TRAINED), name))}; alone "
            f"{said(ends_of(found.runs(ALONE), name))}.",
            FACTOR,
        ],
        report=REPORT,
        sentences=[*rise_sentences(full), steps_sentence(trained, lone, both, least), *ablation_sentences(curves)],
        tables=[table("Held-out tables", HEADS, rows(curves, trained, lone))],
        panels=[_panel(title, {arm: of[title] for arm, of in curves.items()}, lone[title]) for title in DRAWN],
        figures={arm: {title: one.seeds for title, one in of.items()} for arm, of in curves.items()}
        | {TRAINED: trained, ALONE: lone, "steps_alone": least, "both_ended": both._asdict()},
    )  # fmt: skip


DRAWN = ("accuracy", "parallelism", "sub-agents", "critical steps", "finish")
SHARES = ("accuracy", "finish")
OF_ONE = ("accuracy", "critical steps")
"""Figures that one agent alone has as well."""


Means = dict[str, list[float]]
"""Figures by title, one a seed."""


def _panel(title: str, curves: dict[str, Curve], lone: list[float]) -> dict[str, Any]:
    """A figure of all arms over training, and the level of one agent alone."""
    series = [one.series(arm) for arm, one in curves.items()]
    if title in OF_ONE:
        level = round(mean(lone), 4)
        ends = [curves[FULL].steps[0], curves[FULL].steps[-1]]
        series.append({"name": "one agent alone", "xs": ends, "ys": [level, level], "form": "steps", "dashed": True})
    shares: dict[str, Any] = {"percent": True, "y_range": (0.0, 1.0)} if title in SHARES else {}
    return panel(title, "RL steps", series, **shares)


HEADS = ["policy", "item-F1, %", "parallel", "agents", "steps", "finished, %"]


def budget_of(run: RlRun) -> str:
    """Of an episode, for people."""
    return str(orchestrated(run).world.get("budget", BUDGET))


def rise_sentences(full: dict[str, Curve]) -> list[str]:
    """Whether accuracy and parallelism rise."""
    accuracy, outcome = risen(full["accuracy"].first, full["accuracy"].last)
    parallel, how = risen(full["parallelism"].first, full["parallelism"].last)
    agents = full["sub-agents"]
    return [
        f"Accuracy (item-F1 within the budget) rises over training: {outcome}; {points(accuracy)}, from "
        f"{percent(full['accuracy'].first)} to {percent(full['accuracy'].last)} %.",
        f"Parallelism rises over training: {how}; from {mean(full['parallelism'].first):.2f} to "
        f"{mean(full['parallelism'].last):.2f} agents at work at once ({parallel.mean:+.2f}), from "
        f"{mean(agents.first):.1f} to {mean(agents.last):.1f} sub-agents an attempt.",
    ]


def no_worse(difference: Difference) -> bool:
    """Whether something is equal or better, by the 95 % interval; with one seed by the figure itself."""
    return (difference.low if difference.seeds > 1 else difference.mean) > -MARGIN


def steps_sentence(trained: Means, lone: Means, both: Steps, least: float) -> str:
    """The trained swarm against one agent; and against one that never errs, which takes `least` steps."""
    ours, theirs = trained["accuracy"], lone["accuracy"]
    difference = paired(ours, theirs)
    asked_for = (
        "The trained swarm takes at most a third of the critical steps of one agent, in each seed, at equal or better "
        f"item-F1 (less than {100 * MARGIN:.0f} point lower by the 95 % interval)"
    )
    accuracy = f"item-F1 {percent(ours)} instead of {percent(theirs)} %: {points(difference)}"
    if both.share is None:
        nothing = "no table was brought to an end by both and filled as well"
        return f"{asked_for}: {threshold(False, seeds=len(ours))}; {nothing}; {accuracy}."
    outcome = threshold(both.everywhere and max(both.shares) <= THIRD and no_worse(difference), seeds=len(ours))
    return (
        f"{asked_for}: {outcome}; {mean(both.one):.1f} instead of {mean(both.other):.1f} steps on the "
        f"{sum(both.tasks)} tables that both brought to an end and the swarm filled as well, {spread(both.share)} "
        f"({100 * mean(trained['critical steps']) / least:.0f} % of the {least:.1f} that one agent takes which never "
        f"errs); {accuracy}."
    )


def ablation_sentences(curves: dict[str, dict[str, Curve]]) -> list[str]:
    """What the two extra rewards are for."""
    return [
        f"From rewards alone, without r_parallel {_collapse(curves[NO_PARALLEL], curves[PLAIN])}",
        f"From rewards alone, extra rewards {PUSH:g} times as heavy, without r_finish (one seed) "
        f"{_spurious(curves[NO_FINISH], curves[PUSHED])}",
    ]


def _spurious(without: dict[str, Curve], full: dict[str, Curve]) -> str:
    """Whether fewer of the assigned tasks are finished, in each seed that divides the work at the end of both."""
    serial, beside = (sum(agents < SERIAL for agents in of["sub-agents"].last) for of in (without, full))
    pairs = list(zip(finished_shares(without), finished_shares(full), strict=True))
    both = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    word = _word(bool(both) and all(ours < theirs - SPURIOUS for ours, theirs in both))
    told = (
        "no seed divides the work both without it and with it"
        if not both
        else ", ".join(f"{100 * ours:.0f} instead of {100 * theirs:.0f} %" for ours, theirs in both)
        + f" of the assigned tasks are finished at the end where the work is divided ({len(both)} of {len(pairs)} "
        f"seeds; at least {100 * SPURIOUS:.0f} points fewer in each are asked for)"
    )
    return (
        f"parallelism is spurious: {word}; {told}; {serial} of {len(pairs)} seeds without it work alone at the end, "
        f"{beside} with it."
    )


def _collapse(serial: dict[str, Curve], full: dict[str, Curve]) -> str:
    """Whether a policy comes to work alone, measured at any step after the first, where with both rewards it does not;
    and whether it stays so.
    """
    agents, beside = (of["sub-agents"].seeds[0][1:] for of in (serial, full))
    least = min(agents)
    collapsed = least < SERIAL <= min(beside)
    at, f1 = (
        serial["sub-agents"].steps[1:][agents.index(least)],
        [100 * of["accuracy"].last[0] for of in (serial, full)],
    )
    end = "and stays there" if agents[-1] < SERIAL else "but not for good" if collapsed else "at any measurement"
    return (
        f"the policy collapses to one agent (fewer than {SERIAL:.0f} sub-agent an attempt), {end} (one seed): "
        f"{_word(collapsed)}; {least:.1f} sub-agents after {at} steps and {agents[-1]:.1f} at the end, with it never "
        f"fewer than {min(beside):.1f} and {beside[-1]:.1f} at the end; item-F1 at the end {f1[0]:.1f} against "
        f"{f1[1]:.1f} %."
    )


def finished_shares(of: dict[str, Curve]) -> list[float | None]:
    """Tasks that were finished over tasks that were assigned, all attempts at the end of a seed together.

    A mean of shares would count an attempt that starts nobody as one that finishes all or nothing. None: a seed works
    alone.
    """
    ends = zip(of["sub-agents"].last, of["started"].last, of["finished"].last, strict=True)
    return [finished / started if agents >= SERIAL and started else None for agents, started, finished in ends]


def _word(reached: bool) -> Reached:
    """Of an ablation: whether what was asked for is there, in figures alone."""
    return "reached" if reached else "not reached"


def _figures(runs: Sequence[RunFolder], name: str) -> list[float]:
    """A figure of measurements, one a seed."""
    return [last_figures(run)[name] for run in runs]


def rows(curves: dict[str, dict[str, Curve]], trained: Means, lone: Means) -> list[list[str]]:
    """The policies, before and after."""
    full = curves[FULL]
    found = [
        ["compared: one agent alone", *_cells(lone)],
        ["compared: after PARL", *_cells(trained)],
        ["SFT, with sub-agents", *_cells({title: one.first for title, one in full.items()})],
        ["after PARL", *_cells({title: one.last for title, one in full.items()})],
    ]
    for arm in ABLATED:
        found.append([f"after PARL, {arm}", *_cells({title: one.last for title, one in curves[arm].items()})])
    return found


def _cells(of: Means) -> list[str]:
    return [
        percent(of["accuracy"]), f"{mean(of['parallelism']):.2f}", f"{mean(of['sub-agents']):.1f}",
        f"{mean(of['critical steps']):.1f}", percent(of["finish"]),
    ]  # fmt: skip
