"""Table 6 of the report at small scale: one agent, a swarm before PARL, and the trained swarm, with exact checks.

    command      manyeyes reproduce table6
    chain        tiny → tiny.sft → tiny.parl, the last for each seed (the runs of fig4)
    benchmarks   deep (for BrowseComp), wide (for WideSearch), and a small Swarm Bench: wild search, batch download,
                 reading among 120 documents in 40 volumes, a report of many sections

BrowseComp asks for one short answer behind several pages and calls it right or wrong; a deep task asks for four to
eight such answers, so beside its item-F1 stands how often all of them were right. WideSearch's tables have several
columns, these have one.

All sample as calmly as each other, get the same tasks and have as many steps as they take: an episode that is over the
budget which swarms are trained with counts nothing, and where a form is new, one sub-agent that goes astray takes it
over. Of Swarm Bench wild search and reading are forms that training
has in no way; batches of files and reports are larger than those that PARL and fine-tuning have. Steps are compared on
tasks that both brought to an end, and how attempts ended stands beside them (`post_ends`).

Report: §5.2, Table 6; App. E.8.
"""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from manyeyes.core.errors import DataError
from manyeyes.recipes.reproduce.fig2 import reach, sft
from manyeyes.recipes.reproduce.fig4 import RECIPE, parl
from manyeyes.recipes.reproduce.post_curves import last_figures
from manyeyes.recipes.reproduce.post_ends import BY_ITSELF, Asked, Steps, asked_of, ends_of, said, steps_on_both
from manyeyes.recipes.reproduce.post_findings import percent, points, risen, spread
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.post_swarm import (
    BENCHMARKS,
    COMPARED,
    CONTEXT,
    TASKS,
    asked,
    steps_alone,
    taught_alone,
)
from manyeyes.recipes.reproduce.sft import zero_vision_run
from manyeyes.recipes.run import Run

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
"""What stands for which of the report's."""
SIMPLER = (
    "BrowseComp asks for one short answer behind several pages and calls it right or wrong; a deep task here asks for "
    "four to eight of them, and beside item-F1 stands how often all were right. WideSearch's tables have several "
    "columns, these have one. The 120 documents of read stand in 40 volumes of three, of which 36 have to be opened."
)
REPORT = (
    "Table 6, K2.5 Agent Swarm against K2.5 alone: BrowseComp 78.4, 60.6; WideSearch (item-F1) 79.0, 72.7; in-house "
    "Swarm Bench 58.3, 41.6. (Claude Opus 4.5: 37.0, 76.2, 45.8; GPT-5.2: BrowseComp 65.8; GPT-5.2 Pro: 77.9.)",
    "§5.2: +17.8 points on BrowseComp, +6.3 on WideSearch, +16.7 on Swarm Bench.",
)


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    run, names = scale.recipes(RECIPE), tuple(TASKS)
    single, swarm = (asked(run, names, mode=mode, count=QUESTIONS, budget=0) for mode in ("alone", "swarm"))
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
    """The whole result, from the logs and the stored attempts.

    Raises:
        DataError: a measurement lacks figures or attempts.
    """
    figures = {arm: [last_figures(run) for run in found.runs(arm)] for arm in ARMS}
    scores, all_steps = (
        {arm: with_bench({name: [one[f"{name}/{key}"] for one in figures[arm]] for name in TASKS}) for arm in ARMS}
        for key in ("part_performance", "part_critical_steps")
    )
    names, least = list(scores[ALONE]), with_bench({n: [one] for n, one in steps_alone(found.work(ALONE)).items()})
    ends = {arm: {name: ends_of(found.runs(arm), name) for name in TASKS} for arm in ARMS}
    attempts = {arm: asked_of(found.runs(arm)) for arm in ARMS}
    whole = {arm: with_bench({name: wholly_right(attempts[arm], name) for name in TASKS}) for arm in ARMS}
    steps = {
        name: steps_on_both(attempts[AFTER], attempts[ALONE], BENCHMARKS if name == "bench" else [name], as_good=True)
        for name in names
    }
    gained = steps_on_both(attempts[AFTER], attempts[BEFORE], TASKS, as_good=True)
    return result(
        "table6", "One agent, a swarm before PARL, a trained swarm", found, scale,
        about=[
            f"{scale.seeds} seeds, {found.work(ALONE).measured[0].count} held-out tasks of each kind. Score: item-F1 "
            "of exact cells. One agent is fine-tuned and not reinforced. All have as many steps as they take, without "
            f"the budget that PARL trains with, and sample at temperature {COMPARED:g}. One that never errs: an agent "
            "alone that makes no mistake, and one call at a time.",
            SIMPLER,
            f"What the agent alone was taught: {taught_alone(_tuning(found))}.",
            f"Attempts that ended by themselves: "
            f"{', '.join(_ended(arm, ends[arm]) for arm in ARMS)} of all; steps are compared where both did and the "
            "swarm's score is no lower.",
        ],
        report=REPORT,
        sentences=[
            *(sentence(name, scores, steps) for name in ("deep", "wide", "bench")), parl_sentence(scores, gained)
        ],
        tables=[
            table("Item-F1, %", ["benchmark", *HEADS, "difference", "95 % interval", ""], score_rows(scores, names)),
            table("Tasks answered wholly right, %", ["benchmark", *HEADS],
                  [[_title(name), *(percent(whole[arm][name]) for arm in ARMS)] for name in names]),
            table("Critical steps, on tasks that both brought to an end and the swarm did as well",
                  ["benchmark", "tasks", "one agent", "swarm", "swarm / one agent", "95 % interval",
                   "one that never errs, all tasks"],
                  step_rows(steps, least)),
            table("How attempts ended", ["benchmark", *HEADS],
                  [[name, *(said(ends[arm][name], budget=False) for arm in ARMS)] for name in TASKS]),
            table("The report's Table 6", ["benchmark", "K2.5 Agent Swarm", "K2.5", "difference"], printed_rows()),
        ],
        panels=[
            _bars("Item-F1", scores, names, percent=True),
            _bars("Critical steps, all attempts", all_steps, names, percent=False),
        ],
        figures={"scores": scores, "wholly_right": whole, "critical_steps": all_steps, "steps_alone": least,
                 "ends": ends, "both_ended": {name: one._asdict() for name, one in steps.items()}},
    )  # fmt: skip


def with_bench(by_name: dict[str, list[float]]) -> dict[str, list[float]]:
    """The same with the mean of Swarm Bench's four kinds."""
    columns = zip(*(by_name[name] for name in BENCHMARKS), strict=True)
    return by_name | {"bench": [mean(values) for values in columns]}


def wholly_right(seeds: Sequence[Asked], name: str) -> list[float]:
    """Share of the judged attempts at a benchmark whose rows are all right (exact match), a number a seed.

    Raises:
        DataError: a seed has none.
    """
    judged = [[one.right for (place, _), one in asked.items() if place == name and one.judged] for asked in seeds]
    if not all(judged):
        raise DataError(f"a measurement has no judged attempt at {name}; delete its folder to make it anew")
    return list(map(mean, judged))


def _tuning(found: Finished) -> Run:
    """The fine-tuning of the agent alone."""
    start = found.plan[ALONE, 0].start
    work = start.work if isinstance(start, Made) else zero_vision_run(start)
    assert isinstance(work, Run), "the agent alone is a fine-tuned model"
    return work


def _ended(arm: str, by_name: dict[str, dict[str, float]]) -> str:
    return f"{arm} {100 * mean(one[BY_ITSELF] for one in by_name.values()):.0f} %"


def sentence(name: str, scores: Scores, steps: dict[str, Steps]) -> str:
    """The trained swarm against one agent on a benchmark."""
    difference, outcome = risen(scores[ALONE][name], scores[AFTER][name])
    swarm, alone = PRINTED[FORMS[name]]
    both = steps[name]
    took = (
        f"on the {sum(both.tasks)} tasks that both brought to an end, and it did as well, it takes "
        f"{spread(both.share)} of the steps"
        if both.share
        else "no task was brought to an end by both and done as well by the swarm, so steps are not compared"
    )
    return (
        f"{name} (for {FORMS[name]}), swarm - one agent: {outcome}; {points(difference)}; {took}. The report: "
        f"{swarm - alone:+.1f} points."
    )


def parl_sentence(scores: Scores, steps: Steps) -> str:
    """What PARL brought."""
    names = ("deep", "wide", "bench")
    before, after = ([mean(v) for v in zip(*(scores[arm][n] for n in names), strict=True)] for arm in (BEFORE, AFTER))
    difference, outcome = risen(before, after)
    took = f"it takes {spread(steps.share)} of the steps" if steps.share else "steps are not compared"
    return (
        f"PARL improves the swarm (mean of the three): {outcome}; {points(difference)}; on the {sum(steps.tasks)} "
        f"tasks that the swarm brought to an end before and after, and after as well, {took}."
    )


def score_rows(scores: Scores, names: list[str]) -> list[list[str]]:
    """A row a benchmark."""
    rows = []
    for name in names:
        difference, outcome = risen(scores[ALONE][name], scores[AFTER][name])
        rows.append(
            [_title(name), *(percent(scores[arm][name]) for arm in ARMS), f"{100 * difference.mean:+.1f}",
             reach(difference), outcome]
        )  # fmt: skip
    return rows


def step_rows(steps: dict[str, Steps], least: dict[str, list[float]]) -> list[list[str]]:
    """A row a benchmark; `least` is what one agent takes that never errs, for all tasks."""
    return [
        [_title(name), str(sum(both.tasks)), *_step_cells(both), f"{mean(least[name]):.1f}"]
        for name, both in steps.items()
    ]


def _step_cells(both: Steps) -> list[str]:
    if (share := both.share) is None:
        return ["-"] * 4
    interval = "-" if share.seeds < 2 else f"{share.low:.2f} to {share.high:.2f}"
    return [f"{mean(both.other):.1f}", f"{mean(both.one):.1f}", f"{share.mean:.2f}", interval]


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
