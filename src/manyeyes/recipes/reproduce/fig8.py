"""Figure 8 of the report at small scale: the time to reach an item-F1, one agent against a swarm, on wide tables.

    command      manyeyes reproduce fig8
    hardware     any; about 3 minutes, nearly all of it waiting (--quick: 15 seconds, latencies that mean nothing)
    model        rules that really use the tools, 0.3 s an answer, 0.2 s a search or page; the same alone and as a swarm
    tasks        8 tables, from 8 rows of 3 columns to 55 rows of 6; alone with enough steps to finish
    measured     item-F1 of the table that could have been written at each moment (`swarm.partial_scores`); the time at
                 which it first reaches 0.3 ... 0.7, and the time to the end

What is measured is the runtime and the shape of the work, not a trained policy. A swarm's table counts only what has
come back to the orchestrator; what its sub-agents know before that is told beside it.
Report: §5.2, Figure 8.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from manyeyes.core.errors import ConfigError
from manyeyes.recipes.reproduce.fig_trials import Lane, Planned, Report, claim, finished, run_lanes, silent
from manyeyes.reward.table_judge import ExactJudge
from manyeyes.reward.wide_table import score_table
from manyeyes.swarm.demo import chosen, table_task
from manyeyes.swarm.partial_scores import Moment, first_reached, scores_over_time
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.session import Mode, SessionConfig, figures
from manyeyes.swarm.world import WideTask, world_web

TARGETS = (0.3, 0.4, 0.5, 0.6, 0.7)
ENOUGH_STEPS = 1000
"""For one agent alone; the report's limit of 100 would end it before it has seen 40 rows."""
AT_ONCE = 8
"""Agents alone side by side: they wait, and do not slow each other down. Swarms run one at a time."""
ANSWERS_A_ROW, CRITICAL_ANSWERS = 3.6, 20.0
"""Of the model, measured; for the time left only."""
GROWS = 0.8
"""Rank correlation from which the speed-up is said to grow."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the experiment is.

    Attributes:
        tasks: how many, spread from the smallest to the largest.
        seeds: worlds with other dates and contradictions; figures are means over them.
        model_seconds, page_seconds: latencies.
    """

    tasks: int = 8
    seeds: int = 1
    model_seconds: float = 0.3
    page_seconds: float = 0.2

    def __post_init__(self) -> None:
        if not 2 <= self.tasks <= 8 or not 1 <= self.seeds <= 20:
            raise ConfigError(f"fig8 takes 2 to 8 tasks and 1 to 20 seeds, got {self.tasks} and {self.seeds}")

    @property
    def identity(self) -> str:
        """Changes with what is run, but for the number of seeds: more of them may be added."""
        text = repr((self.model_seconds, self.page_seconds, [task.query for task in chosen(self.tasks)]))
        return hashlib.sha256(text.encode()).hexdigest()[:8]


QUICK = Scale(tasks=3, model_seconds=0.03, page_seconds=0.02)


async def run(folder: Path, scale: Scale, *, report: Report = silent) -> dict[str, Any]:
    """Run what is not finished yet; returns the result."""
    claim(folder, "fig8", scale.identity)
    webs = [world_web(seed=seed, seconds=scale.page_seconds) for seed in range(scale.seeds)]
    try:
        alone = [Lane(web, planned(scale, "single", seed), AT_ONCE) for seed, web in enumerate(webs)]
        swarms = [Lane(web, planned(scale, "swarm", seed)) for seed, web in enumerate(webs)]
        await run_lanes(folder, [*alone, *swarms], report=report)
    finally:
        for web in webs:
            await web.close()
    return await results(folder, scale)


def planned(scale: Scale, mode: Mode, seed: int) -> list[Planned]:
    """The trials of one mode in one world, the longest first."""
    return [_planned(scale, task, mode, seed) for task in reversed(chosen(scale.tasks))]


def _planned(scale: Scale, task: WideTask, mode: Mode, seed: int) -> Planned:
    answers = ANSWERS_A_ROW * len(task.gold)
    return Planned(
        f"{task.id}-{seed}-{mode}",
        SessionConfig(task.query, mode=mode, model="rules", preset="widesearch"),
        lambda past: rule_model(seconds=scale.model_seconds, past=past),
        answers=answers,
        weight=answers / AT_ONCE if mode == "single" else CRITICAL_ANSWERS,
        steps=ENOUGH_STEPS,
    )


async def results(folder: Path, scale: Scale) -> dict[str, Any]:
    """The whole result, from the journals alone.

    Raises:
        DataError: a trial is not finished.
    """
    tasks = [await _task_result(folder, scale, task) for task in chosen(scale.tasks)]
    growth = rank_correlation([task["difficulty"] for task in tasks], [task["faster"]["end"] for task in tasks])
    result = {
        "experiment": "fig8",
        "identity": scale.identity,
        "scale": asdict(scale),
        "targets": list(TARGETS),
        "tasks": tasks,
        "means": [_mean_over_tasks(tasks, str(target)) for target in (*TARGETS, "end")],
        "growth": round(growth, 3),
        "report": {"faster": [3.0, 4.5], "alone": [1.8, 7.0], "swarm": [0.6, 1.6]},
    }
    return result | {"sentences": sentences(result)}


async def _task_result(folder: Path, scale: Scale, task: WideTask) -> dict[str, Any]:
    modes = {mode: await _mode_result(folder, scale, task, mode) for mode in ("single", "swarm")}
    single, swarm = (modes[mode]["reached"] for mode in ("single", "swarm"))
    size = {"rows": len(task.gold), "columns": len(task.columns), "hops": task.hops, "difficulty": task.difficulty}
    faster = {key: _ratio(single[key], swarm[key]) for key in single}
    return {"id": task.id, "topic": task.columns[0], **size, **modes, "faster": faster}


async def _mode_result(folder: Path, scale: Scale, task: WideTask, mode: Mode) -> dict[str, Any]:
    """Means over the seeds; the curve is that of the first."""
    runs = [await _trial_result(folder, _planned(scale, task, mode, seed), task) for seed in range(scale.seeds)]
    same = {name: [one[name] for one in runs] for name in ("f1", "critical_steps", "total_steps", "agents")}
    return {
        **{name: round(mean(values), 4) for name, values in same.items()},
        "stops": sorted({one["stop"] for one in runs}),
        "reached": _means([one["reached"] for one in runs]),
        "known": _means([one["known"] for one in runs]),
        "curve": runs[0]["curve"],
        "known_curve": runs[0]["known_curve"],
    }


async def _trial_result(folder: Path, planned: Planned, task: WideTask) -> dict[str, Any]:
    events, outcome = finished(planned.in_folder(folder))
    scored, found = table_task(task), figures(events)
    score = await score_table(scored, outcome.text, ExactJudge())
    told = await scores_over_time(events, task.columns, scored)
    known = await scores_over_time(events, task.columns, scored, whose="known")
    return {
        "f1": score.item.f1,
        "stop": outcome.stop,
        "critical_steps": found.critical_steps,
        "total_steps": found.total_steps,
        "agents": found.agents,
        "reached": _reached(told) | {"end": round(found.seconds, 3)},
        "known": _reached(known),
        "known_curve": curve_of(known),
        "curve": curve_of([*told, Moment(found.seconds, found.critical_steps, len(task.gold), score.item.f1)]),
    }


def curve_of(moments: Sequence[Moment]) -> dict[str, list[float]]:
    """As plain data."""
    return {"seconds": [round(one.seconds, 2) for one in moments], "f1": [round(one.f1, 4) for one in moments]}


def _reached(moments: Sequence[Moment]) -> dict[str, float | None]:
    return {str(target): seconds for target, seconds in first_reached(moments, TARGETS).items()}


def _means(found: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Key by key; None where one run has none."""
    columns = {key: [one[key] for one in found] for key in found[0]}
    return {
        key: round(mean(known), 3) if len(known := [v for v in values if v is not None]) == len(values) else None
        for key, values in columns.items()
    }


def _ratio(single: float | None, swarm: float | None) -> float | None:
    return round(single / swarm, 3) if single is not None and swarm else None


def _mean_over_tasks(tasks: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """Over the tasks in which both reached the target, so that the two means are of the same."""
    both = [task for task in tasks if task["faster"][key] is not None]
    found: dict[str, Any] = {mode: _mean([task[mode]["reached"][key] for task in both]) for mode in ("single", "swarm")}
    return {"target": key, "tasks": len(both), **found, "faster": _mean([task["faster"][key] for task in both])}


def _mean(values: Sequence[float]) -> float | None:
    return round(mean(values), 3) if values else None


def rank_correlation(xs: Sequence[float], ys: Sequence[float | None]) -> float:
    """Spearman's; 0 for fewer than two points. Equal values have the mean of their ranks.

    Example:
        >>> rank_correlation([1, 2, 3], [10, 20, 40]), rank_correlation([1, 2, 3], [3, 2, 1])
        (1.0, -1.0)
    """
    pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None]
    if len(pairs) < 2:
        return 0.0
    a, b = (_ranks(values) for values in zip(*pairs, strict=True))
    middle = mean(a)
    spread = [sum((rank - middle) ** 2 for rank in ranks) for ranks in (a, b)]
    together = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    return together / (spread[0] * spread[1]) ** 0.5 if all(spread) else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]


def sentences(result: dict[str, Any]) -> list[str]:
    """What showed, with the figures it rests on."""
    first, last, end = result["means"][0], result["means"][-2], result["means"][-1]
    tasks = result["tasks"]
    largest = tasks[-1]
    worse = [task["id"] for task in tasks if task["swarm"]["f1"] < task["single"]["f1"]]
    grows = result["growth"] >= GROWS and largest["faster"]["end"] > tasks[0]["faster"]["end"]
    return [
        f"Final item-F1, mean of {len(tasks)} tasks: alone {_percent(tasks, 'single')}, swarm "
        f"{_percent(tasks, 'swarm')}"
        + (f"; the swarm is worse on {', '.join(worse)}." if worse else "; on no task is the swarm worse."),
        f"From a target of 0.3 to one of 0.7 the time alone grows from {_said(first['single'])} s to "
        f"{_said(last['single'])} s, the swarm's from {_said(first['swarm'])} s to {_said(last['swarm'])} s (means "
        f"over the tasks that reach them).",
        f"At a target of 0.7 the swarm is {_said(last['faster'])}x faster, at the end {end['faster']:.1f}x (mean of "
        f"the tasks' ratios; the report: 3x to 4.5x).",
        f"On the largest table ({largest['rows']} rows) it is {largest['faster']['end']:.1f}x faster at the end, on "
        f"the smallest ({tasks[0]['rows']} rows) {tasks[0]['faster']['end']:.1f}x.",
        f"The speed-up {'grows' if grows else 'does not grow'} with difficulty (rows x columns x hops): rank "
        f"correlation {result['growth']:+.2f}.",
        f"What a swarm's agents know together is at 0.7 after {_mean_known(tasks)} s on average; until they return, "
        f"the orchestrator could not have written it.",
    ]


def _said(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"


def _percent(tasks: Sequence[dict[str, Any]], mode: str) -> str:
    return f"{100 * mean(task[mode]['f1'] for task in tasks):.1f} %"


def _mean_known(tasks: Sequence[dict[str, Any]]) -> str:
    found = [task["swarm"]["known"][str(TARGETS[-1])] for task in tasks]
    known = [seconds for seconds in found if seconds is not None]
    return _said(mean(known) if known else None)
