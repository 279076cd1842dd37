"""Figure 8 of the report with a trained model: critical steps to reach an item-F1, one agent against the trained swarm.

    command      manyeyes reproduce fig8 --model RUN[,RUN...]      finished runs of tiny.parl, a seed each
    one agent    the model that RUN began from, without sub-agents, with as many steps as it takes, at the temperature
                 of the sub-agents
    swarm        RUN's model, with its sub-agents and budget, on the same held-out tables of 4 to 12 rows

Time is counted in critical steps (§3), so that it is the policy that is measured and not the machine. What
counts at each moment are the rows that are there (`swarm.row_moments`); what was judged is the last moment. Steps are
compared on tables that both reached; how many those are stands beside them.
Report: §5.2, Figure 8.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.fig8_pairs import (
    SINGLE,
    SWARM,
    TARGETS,
    Means,
    Pair,
    growth,
    of_seed,
    to_end,
    to_target,
    told_by,
)
from manyeyes.recipes.reproduce.post_findings import threshold
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.post_swarm import CONTEXT, WIDE, Mode, asked, steps_alone
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.swarm.parl_environment import Parl

QUESTIONS = 120
"""Tables of each seed."""
NEARLY = 1.5
"""Growth of the swarm's steps between the lowest and the highest target that counts as nearly constant."""
REPORT = (
    "Figure 8: on WideSearch the Agent Swarm reaches a target item-F1 3x to 4.5x sooner than one agent; from a target "
    "of 30 % to one of 70 % the time of one agent grows from about 1.8x to more than 7.0x of the baseline, the swarm's "
    "stays at 0.6x to 1.6x.",
)


def plan_of(runs: Sequence[Path], scale: Scale) -> Plan:
    """What has to be measured of finished runs, a seed each.

    Raises:
        ConfigError: one is no run of PARL, or there are not as many as seeds.
    """
    if len(runs) != scale.seeds:
        raise ConfigError(f"fig8 takes a trained run for each seed, got {len(runs)} runs and {scale.seeds} seeds")
    made: dict[tuple[str, int], Made] = {}
    for seed, run in enumerate(runs):
        trained = RlRun.from_json(_rl_config(run))
        start, frozen = Path(trained.start_model), Path(trained.frozen_at(trained.steps))
        arms: tuple[tuple[str, Mode, Path], ...] = ((SINGLE, "alone", start), (SWARM, "swarm", run / MODEL_FOLDER))
        for arm, mode, model in arms:
            tables = asked(trained, (WIDE,), mode=mode, count=QUESTIONS)
            made[arm, seed] = scale.measuring(
                f"fig8-{arm}", seed, model, measured=tables, frozen=frozen, context=CONTEXT
            )
    return made


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
    told = {arm: told_by(found.runs(arm), table=table_shared) for arm in (SINGLE, SWARM)}
    both = sorted(told[SINGLE].keys() & told[SWARM].keys())
    if not both:
        raise DataError(
            "fig8: no table came to a verdict with both, one agent and the swarm; their worker.log says why"
        )
    pairs = [Pair(task[0], told[SINGLE][task], told[SWARM][task]) for task in both]
    by_target = {target: to_target(pairs, target) for target in TARGETS}
    by_rows = {rows: to_end([one for one in pairs if one.rows == rows]) for rows in sorted({one.rows for one in pairs})}
    growing = growth(pairs)
    largest = max(pairs, key=lambda one: (one.rows, one.swarm.f1))
    least = mean(steps_alone(found.work(SINGLE)).values())
    return result(
        "fig8", "Critical steps to reach an item-F1: one agent and the trained swarm", found, scale,
        about=[
            f"{len(pairs)} held-out tables of 4 to 12 rows, each filled by one agent and by the trained swarm; "
            f"{scale.seeds} trained swarms. The swarm samples at temperature {work.temperature:g}, the agent alone as "
            f"sub-agents do, at {found.work(SINGLE).measured[0].temperature:g}; one agent that never errs takes "
            f"{least:.1f} steps.",
        ],
        report=REPORT,
        sentences=sentences(pairs, by_target, by_rows, growing),
        tables=[
            table("By target", [*HEADS, "one agent reaches", "swarm reaches"],
                  [[f"{100 * target:.0f} %", *_cells(one), _share(one, SINGLE), _share(one, SWARM)]
                   for target, one in by_target.items()]),
            table("By rows of the table", ["rows", *HEADS[1:]],
                  [[str(rows), *_cells(one)] for rows, one in by_rows.items()]),
        ],
        panels=panels(by_target, by_rows, largest),
        figures={"targets": {str(t): one for t, one in by_target.items()}, "ends": to_end(pairs), "growth": growing,
                 "rows": {str(rows): one for rows, one in by_rows.items()}, "steps_alone": least},
    )  # fmt: skip


def sentences(
    pairs: Sequence[Pair], by_target: Mapping[float, Means], by_rows: Mapping[int, Means], growing: Means
) -> list[str]:
    """What showed."""
    ends, seeds = to_end(pairs), len({one.seed for one in pairs})
    said = [
        f"To the end the swarm takes {ends[SWARM]:.1f} critical steps, one agent {ends[SINGLE]:.1f} "
        f"({100 * ends[SWARM] / ends[SINGLE]:.0f} %); item-F1 {100 * ends[f'{SWARM}_f1']:.1f} and "
        f"{100 * ends[f'{SINGLE}_f1']:.1f} %.",
    ]
    reached = {target: one for target, one in by_target.items() if one["tables"]}
    if not reached:
        return [*said, "No target item-F1 was reached by both on any table."]
    faster = [one["faster"] for one in reached.values()]
    in_all = all(one["faster"] > 1 for seed in range(seeds) for one in of_seed(pairs, seed))
    rows = list(by_rows)
    wider = by_rows[rows[-1]]["faster"] > by_rows[rows[0]]["faster"]
    return [
        *said,
        f"The swarm reaches target item-F1s {min(faster):.1f}x to {max(faster):.1f}x sooner (the report: 3x to 4.5x): "
        f"{threshold(min(faster) > 1 and in_all, seeds=seeds)}; on the tables that both bring so far: "
        f"{', '.join(_of_both(target, one) for target, one in reached.items())}.",
        growth_sentence(growing, seeds),
        f"The speed-up {'grows' if wider else 'does not grow'} with the table: {by_rows[rows[0]]['faster']:.1f}x at "
        f"{rows[0]} rows, {by_rows[rows[-1]]['faster']:.1f}x at {rows[-1]}.",
    ]


def _of_both(target: float, one: Means) -> str:
    return f"{100 * target:.0f} % on {one['tables']:.0f}"


def growth_sentence(growing: Means, seeds: int) -> str:
    """Whether the swarm's time stays nearly constant."""
    low, high = TARGETS[0], TARGETS[-1]
    if not growing["tables"]:
        return f"No table was brought to {100 * low:.0f} and to {100 * high:.0f} % by both, so growth is not measured."
    flat = growing[SWARM] < min(growing[SINGLE], NEARLY)
    return (
        f"From a target of {100 * low:.0f} to {100 * high:.0f} % one agent's steps grow {growing[SINGLE]:.1f}x, the "
        f"swarm's {growing[SWARM]:.1f}x, on the {growing['tables']:.0f} tables that both bring to either: nearly "
        f"constant time for the swarm: {threshold(flat, seeds=seeds)}."
    )


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
