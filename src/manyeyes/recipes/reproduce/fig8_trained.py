"""Figure 8 of the report with a trained model: critical steps to reach an item-F1, one agent against the trained swarm.

    command      manyeyes reproduce fig8 --model RUN[,RUN...]      finished runs of tiny.parl, a seed each
    one agent    the frozen checkpoint of RUN's sub-agents, or the model that RUN began from, whichever fills the tables
                 better; without sub-agents, with as many steps as it takes
    swarm        RUN's model, with its sub-agents and budget, on the same held-out tables of 4 to 12 rows

Time is counted in critical steps (§3), so that it is the policy that is measured and not the machine. What
counts at each moment are the rows that are there (`swarm.row_moments`); what was judged is the last moment. Steps are
compared on tables that both brought so far, and to the end on those that the swarm fills as well; how many those are
stands beside them.
Report: §5.2, Figure 8.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.checkpoint_digest import model_digest
from manyeyes.recipes.reproduce.fig8_findings import BEGAN, WORKER, better, sentences, who
from manyeyes.recipes.reproduce.fig8_pairs import (
    SINGLE,
    SWARM,
    TARGETS,
    Means,
    Pair,
    growth,
    to_end,
    to_target,
    told_by,
)
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.post_swarm import COMPARED, CONTEXT, WIDE, Mode, asked, steps_alone
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.swarm.parl_environment import Parl

QUESTIONS = 120
"""Tables of each seed."""
REPORT = (
    "Figure 8: on WideSearch the Agent Swarm reaches a target item-F1 3x to 4.5x sooner than one agent; from a target "
    "of 30 % to one of 70 % the time of one agent grows from about 1.8x to more than 7.0x of the baseline, the swarm's "
    "stays at 0.6x to 1.6x.",
)


def plan_of(runs: Sequence[Path], scale: Scale) -> Plan:
    """What has to be measured of finished runs, a seed each.

    Raises:
        ConfigError: one is no run of PARL, or there are not as many as seeds, or two are the same. CheckpointError: a
            model is not there.
    """
    if len(runs) != scale.seeds:
        raise ConfigError(f"fig8 takes a trained run for each seed, got {len(runs)} runs and {scale.seeds} seeds")
    trained = [RlRun.from_json(_rl_config(run)) for run in runs]
    _require_different(runs)
    began = any(_frozen(one) != Path(one.start_model) for one in trained)
    made: dict[tuple[str, int], Made] = {}
    for seed, (run, one) in enumerate(zip(runs, trained, strict=True)):
        models = {WORKER: _frozen(one), SWARM: run / MODEL_FOLDER} | ({BEGAN: Path(one.start_model)} if began else {})
        for arm, model in models.items():
            mode: Mode = "swarm" if arm == SWARM else "alone"
            tables = asked(one, (WIDE,), mode=mode, count=QUESTIONS)
            made[arm, seed] = scale.measuring(
                f"fig8-{arm}", seed, model, measured=tables, frozen=_frozen(one), context=CONTEXT
            )
    return made


def _frozen(run: RlRun) -> Path:
    return Path(run.frozen_at(run.steps))


def _require_different(runs: Sequence[Path]) -> None:
    """A run that is named twice, or a copy of it, would be two seeds that agree."""
    known: dict[str, Path] = {}
    for run in runs:
        digest = model_digest(run / MODEL_FOLDER)
        if other := known.get(digest):
            raise ConfigError(
                f"fig8 takes a trained run for each seed, and {run.name} has the same model as {other.name}; name "
                "runs that were trained with different seeds"
            )
        known[digest] = run


def _rl_config(run: Path) -> dict[str, Any]:
    config = RunFolder.open(run).config()
    if config.get("kind") != "rl":
        raise ConfigError(f"{run}: expected a finished run of tiny.parl, its configuration is of another kind of run")
    return config


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the stored attempts alone.

    Raises:
        DataError: a measurement lacks its attempts.
    """
    work: Measuring = found.work(SWARM)
    table_shared = work.measured[0].place.world.get("deliver", Parl.deliver) == "table"
    told = {arm: told_by(found.runs(arm), table=table_shared) for arm in found.arms}
    one_agent = better(told)
    both = sorted(told[one_agent].keys() & told[SWARM].keys())
    if not both:
        raise DataError(
            "fig8: no table came to a verdict with both, one agent and the swarm; their worker.log says why"
        )
    pairs = [Pair(task[0], told[one_agent][task], told[SWARM][task]) for task in both]
    by_target = {target: to_target(pairs, target) for target in TARGETS}
    fair = [one for one in pairs if one.comparable]
    by_rows = {rows: to_end([one for one in fair if one.rows == rows]) for rows in sorted({one.rows for one in pairs})}
    growing = growth(pairs)
    largest = max(pairs, key=lambda one: (one.rows, one.swarm.f1))
    least = mean(steps_alone(found.work(one_agent)).values())
    return result(
        "fig8", "Critical steps to reach an item-F1: one agent and the trained swarm", found, scale,
        command="fig8 --model RUN,RUN,...",
        about=[
            f"{len(pairs)} held-out tables of 4 to 12 rows, each filled by one agent and by the trained swarm; "
            f"{scale.seeds} trained swarms. All agents sample at temperature {COMPARED:g}; one agent that never errs "
            f"takes {least:.1f} steps.",
            f"One agent is {who(one_agent, told)}. It ended by itself on "
            f"{100 * mean(one.single.ended for one in pairs):.0f} % of the tables, the swarm, by itself or at its "
            f"budget, on {100 * mean(one.swarm.ended for one in pairs):.0f} %.",
        ],
        report=REPORT,
        sentences=sentences(pairs, by_target, by_rows, seeds=scale.seeds),
        tables=[
            table("By target", [*HEADS, "one agent reaches", "swarm reaches"],
                  [[f"{100 * target:.0f} %", *_cells(one), _share(one, SINGLE), _share(one, SWARM)]
                   for target, one in by_target.items()]),
            table("By rows of the table, to the end, where the swarm fills it as well", ["rows", *HEADS[1:]],
                  [[str(rows), *_cells(one)] for rows, one in by_rows.items()]),
        ],
        panels=panels(by_target, {rows: one for rows, one in by_rows.items() if one["tables"]}, largest),
        figures={"targets": {str(t): one for t, one in by_target.items()}, "ends": to_end(pairs), "growth": growing,
                 "ends_as_good": to_end(fair), "one_agent": one_agent,
                 "rows": {str(rows): one for rows, one in by_rows.items()}, "steps_alone": least},
    )  # fmt: skip


HEADS = ["item-F1", "tables", "one agent, steps", "swarm, steps", "faster"]


def _cells(one: Means) -> list[str]:
    """Of a table's row."""
    if not one["tables"]:
        return ["0", "-", "-", "-"]
    return [f"{one['tables']:.0f}", f"{one[SINGLE]:.1f}", f"{one[SWARM]:.1f}", f"{one['faster']:.1f}x"]


def _share(one: Means, arm: str) -> str:
    return f"{100 * one[f'{arm}_reaches']:.0f} %"


def panels(by_target: Mapping[float, Means], by_rows: Mapping[int, Means], largest: Pair) -> list[dict[str, Any]]:
    """Steps to targets, the speed-up by rows, and one table as it goes."""
    reached = {target: one for target, one in by_target.items() if one["tables"]}
    to_targets = [
        {"name": arm, "xs": list(reached), "ys": [round(one[arm], 2) for one in reached.values()]}
        for arm in (SINGLE, SWARM)
    ]
    faster = [{"name": "to the end", "xs": list(by_rows), "ys": [round(one["faster"], 2) for one in by_rows.values()]}]
    over = [
        {"name": name, "xs": [0, *(at.steps for at in one.found)], "ys": [0.0, *(round(at.f1, 4) for at in one.found)],
         "form": "steps"}
        for name, one in ((SINGLE, largest.single), (SWARM, largest.swarm))
    ]  # fmt: skip
    return [
        panel("Critical steps to reach an item-F1", "target item-F1", to_targets, x_percent=True, x_range=(0.25, 0.75)),
        panel("Times faster, by rows of the table", "rows", faster),
        panel(f"Item-F1 over time, {largest.rows} rows", "critical steps", over, percent=True, y_range=(0.0, 1.04)),
    ]
