"""Table 6 of the report at small scale: one agent, a swarm before PARL, and the trained swarm, with exact checks.

    command      manyeyes reproduce table6
    chain        tiny → tiny.sft → tiny.parl, for each seed (the runs of fig4)
    benchmarks   deep (the form of BrowseComp), wide (that of WideSearch), and a small Swarm Bench: wild search, batch
                 download, reading among 120 documents, a report of many sections

One agent has as many steps as it takes, and samples as calmly as sub-agents do; swarms have the budget of critical
steps that they are trained with. All get the same tasks. Swarm Bench is not trained on; its worlds are larger.

Report: §5.2, Table 6; App. E.8.
"""

from statistics import mean
from typing import Any

from manyeyes.recipes.reproduce.fig2 import sft
from manyeyes.recipes.reproduce.fig4 import RECIPE, parl
from manyeyes.recipes.reproduce.post_curves import last_figures
from manyeyes.recipes.reproduce.post_findings import percent, points, risen
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.post_swarm import BENCHMARKS, CONTEXT, TASKS, asked, steps_alone, temperatures
from manyeyes.recipes.rl_run import RlRun

ALONE, BEFORE, AFTER = "one agent", "swarm before PARL", "swarm"
ARMS = (ALONE, BEFORE, AFTER)
HEADS = ("one agent", "before PARL", "swarm")
QUESTIONS = 40
"""Tasks of each benchmark and seed."""
PRINTED = {
    "BrowseComp": (78.4, 60.6),
    "WideSearch": (79.0, 72.7),
    "in-house Swarm Bench": (58.3, 41.6),
}
"""Table 6 of the report: K2.5 Agent Swarm, and K2.5 alone."""
FORMS = {"deep": "BrowseComp", "wide": "WideSearch", "bench": "in-house Swarm Bench"}
REPORT = (
    "Table 6, K2.5 Agent Swarm against K2.5 alone: BrowseComp 78.4, 60.6; WideSearch (item-F1) 79.0, 72.7; in-house "
    "Swarm Bench 58.3, 41.6. (Claude Opus 4.5: 37.0, 76.2, 45.8; GPT-5.2: BrowseComp 65.8; GPT-5.2 Pro: 77.9.)",
    "§5.2: +17.8 points on BrowseComp, +6.3 on WideSearch, +16.7 on Swarm Bench.",
)


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    run, names = scale.recipes(RECIPE), tuple(TASKS)
    single, swarm = (asked(run, names, mode=mode, count=QUESTIONS) for mode in ("alone", "swarm"))
    made: dict[tuple[str, int], Made] = {}
    for seed in range(scale.seeds):
        start, trained = sft(scale, seed), parl(scale, seed)
        made[ALONE, seed] = scale.measuring("table6-alone", seed, start, measured=single, context=CONTEXT)
        for arm, label, model in ((BEFORE, "table6-before", start), (AFTER, "table6-swarm", trained)):
            made[arm, seed] = scale.measuring(label, seed, model, measured=swarm, frozen=start, context=CONTEXT)
    return made


Scores = dict[str, dict[str, list[float]]]
"""Arm → benchmark → one number a seed."""


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the logs alone."""
    figures = {arm: [last_figures(run) for run in found.runs(arm)] for arm in ARMS}
    scores, steps = (
        {arm: with_bench({name: [one[f"{name}/{key}"] for one in figures[arm]] for name in TASKS}) for arm in ARMS}
        for key in ("part_performance", "part_critical_steps")
    )
    names, least = list(scores[ALONE]), with_bench({n: [one] for n, one in steps_alone(found.work(ALONE)).items()})
    trained: RlRun = scale.recipes(RECIPE)
    return result(
        "table6", "One agent, a swarm before PARL, a trained swarm", found, scale,
        about=[
            f"{scale.seeds} seeds, {found.work(ALONE).measured[0].count} held-out tasks of each kind. Score: item-F1 "
            "of exact cells. One agent has as many steps as it takes; swarms have their budget of critical steps. "
            f"{temperatures(trained).capitalize()}. One that never errs: an agent alone that makes no mistake.",
        ],
        report=REPORT,
        sentences=[*(sentence(name, scores, steps) for name in ("deep", "wide", "bench")), parl_sentence(scores)],
        tables=[
            table("Item-F1, %", ["benchmark", *HEADS, "difference", ""], score_rows(scores, names)),
            table("Critical steps", ["benchmark", *HEADS, "swarm / one agent", "one that never errs"],
                  step_rows(steps, least, names)),
            table("The report's Table 6", ["benchmark", "K2.5 Agent Swarm", "K2.5", "difference"], printed_rows()),
        ],
        panels=[_bars("Item-F1", scores, names, percent=True), _bars("Critical steps", steps, names, percent=False)],
        figures={"scores": scores, "critical_steps": steps, "steps_alone": least},
    )  # fmt: skip


def with_bench(by_name: dict[str, list[float]]) -> dict[str, list[float]]:
    """The same with the mean of Swarm Bench's four kinds."""
    columns = zip(*(by_name[name] for name in BENCHMARKS), strict=True)
    return by_name | {"bench": [mean(values) for values in columns]}


def sentence(name: str, scores: Scores, steps: Scores) -> str:
    """The trained swarm against one agent on a benchmark."""
    difference, outcome = risen(scores[ALONE][name], scores[AFTER][name])
    swarm, alone = PRINTED[FORMS[name]]
    share = mean(steps[AFTER][name]) / mean(steps[ALONE][name])
    return (
        f"{name} ({FORMS[name]}'s form), swarm - one agent: {outcome}; {points(difference)}, in {100 * share:.0f} % of "
        f"the critical steps. The report: {swarm - alone:+.1f} points."
    )


def parl_sentence(scores: Scores) -> str:
    """What PARL brought."""
    names = ("deep", "wide", "bench")
    before, after = ([mean(v) for v in zip(*(scores[arm][n] for n in names), strict=True)] for arm in (BEFORE, AFTER))
    difference, outcome = risen(before, after)
    return f"PARL improves the swarm within the same budget (mean of the three): {outcome}; {points(difference)}."


def score_rows(scores: Scores, names: list[str]) -> list[list[str]]:
    """A row a benchmark."""
    rows = []
    for name in names:
        difference, outcome = risen(scores[ALONE][name], scores[AFTER][name])
        rows.append(
            [_title(name), *(percent(scores[arm][name]) for arm in ARMS), f"{100 * difference.mean:+.1f}", outcome]
        )
    return rows


def step_rows(steps: Scores, least: dict[str, list[float]], names: list[str]) -> list[list[str]]:
    """A row a benchmark; `least` is what one agent takes that never errs."""
    return [
        [
            _title(name),
            *(f"{mean(steps[arm][name]):.1f}" for arm in ARMS),
            f"{mean(steps[AFTER][name]) / mean(steps[ALONE][name]):.2f}",
            f"{mean(least[name]):.1f}",
        ]
        for name in names
    ]


def printed_rows() -> list[list[str]]:
    """As the report prints it."""
    return [[name, f"{swarm:.1f}", f"{alone:.1f}", f"{swarm - alone:+.1f}"] for name, (swarm, alone) in PRINTED.items()]


def _title(name: str) -> str:
    return f"{name} (mean of the four)" if name == "bench" else name


def _bars(title: str, of: Scores, names: list[str], *, percent: bool) -> dict[str, Any]:
    """Points by benchmark."""
    series = []
    for arm in ARMS:
        columns = [of[arm][name] for name in names]
        series.append(
            {"name": arm, "xs": list(range(1, len(names) + 1)), "form": "points",
             "ys": [round(mean(column), 4) for column in columns], "low": [round(min(c), 4) for c in columns],
             "high": [round(max(c), 4) for c in columns]}
        )  # fmt: skip
    return panel(title, "", series, percent=percent, x_names=names, x_range=(0.5, len(names) + 0.5))
