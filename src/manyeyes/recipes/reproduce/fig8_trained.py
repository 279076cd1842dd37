"""Figure 8 of the report with a trained model: critical steps to reach an item-F1, one agent against the trained swarm.

    command      manyeyes reproduce fig8 --model RUN          RUN: a finished run of tiny.parl
    one agent    the model that RUN began from, without sub-agents, with as many steps as it takes
    swarm        RUN's model, with its sub-agents and budget, on the same held-out tables of 4 to 12 rows

Time is counted in critical steps (§3), so that it is the policy that is measured and not the machine. What
counts at each moment are the rows that are there (`swarm.row_moments`); what was judged is the last moment.
Report: §5.2, Figure 8.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_attempts import trajectories
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import QUICK_TASKS, Scale
from manyeyes.recipes.reproduce.post_swarm import CONTEXT, Mode, asked
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.swarm import parl_plan
from manyeyes.swarm.parl_environment import Parl
from manyeyes.swarm.row_moments import Moment, first_reached, moments

TARGETS = (0.3, 0.4, 0.5, 0.6, 0.7)
SINGLE, SWARM = "single", "swarm"
QUESTIONS = 120
NEARLY = 1.5
"""Growth of the swarm's steps between the lowest and the highest target that counts as nearly constant."""
WIDE = "wide"
REPORT = (
    "Figure 8: on WideSearch the Agent Swarm reaches a target item-F1 3x to 4.5x sooner than one agent; from a target "
    "of 30 % to one of 70 % the time of one agent grows from about 1.8x to more than 7.0x of the baseline, the swarm's "
    "stays at 0.6x to 1.6x.",
)


def plan_of(run: Path, scale: Scale) -> Plan:
    """What has to be measured of a finished run.

    Raises:
        ConfigError: the run is no run of PARL.
    """
    trained = RlRun.from_json(_rl_config(run))
    start = Path(trained.start_model)
    frozen = trained.frozen_model or trained.start_model
    count = QUICK_TASKS if scale.quick else QUESTIONS
    arms: tuple[tuple[str, Mode, Path], ...] = ((SINGLE, "alone", start), (SWARM, "swarm", run / MODEL_FOLDER))
    made: dict[tuple[str, int], Made] = {}
    for seed in range(scale.seeds):
        for arm, mode, model in arms:
            tables = asked(trained, (WIDE,), mode=mode, count=count)
            work = Measuring(f"fig8-{arm}", tables, frozen_model=frozen, context=CONTEXT, seed=seed)
            made[arm, seed] = Made(f"fig8-{arm} {seed}", work, model, minutes=scale.measuring_minutes)
    return made


def _rl_config(run: Path) -> dict[str, Any]:
    config = RunFolder.open(run).config()
    if config.get("kind") != "rl":
        raise ConfigError(f"{run}: expected a finished run of tiny.parl, its configuration is of another kind of run")
    return config


class Told(NamedTuple):
    """How one table was filled.

    Attributes:
        rows: of the table.
        steps: critical steps at the end.
        f1: of the answer.
        reached: critical steps at which each target was reached.
        found: after each answer.
    """

    rows: int
    steps: int
    f1: float
    reached: dict[float, int | None]
    found: list[Moment]


ByTask = dict[str, Told]


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the stored attempts alone.

    Raises:
        DataError: a measurement lacks its attempts.
    """
    table_shared = found.work(SWARM).measured[0].place.world.get("deliver", Parl.deliver) == "table"
    told = {arm: _told(found.runs(arm), table=table_shared) for arm in (SINGLE, SWARM)}
    both = sorted(told[SINGLE].keys() & told[SWARM].keys())
    by_target = {target: _target(told, both, target) for target in TARGETS}
    by_rows = _by_rows(told, both)
    ends = {arm: mean(told[arm][task].steps for task in both) for arm in told}
    f1 = {arm: mean(told[arm][task].f1 for task in both) for arm in told}
    largest = max(both, key=lambda task: (told[SINGLE][task].rows, told[SWARM][task].f1, task))
    return result(
        "fig8", "Critical steps to reach an item-F1: one agent and the trained swarm", found, scale,
        about=[f"{len(both)} held-out tables of 4 to 12 rows, each filled by one agent and by the trained swarm."],
        report=REPORT,
        sentences=sentences(by_target, by_rows, ends, f1),
        tables=[
            table("By target", ["item-F1", "tables", "one agent, steps", "swarm, steps", "faster"],
                  [_target_row(target, one) for target, one in by_target.items()]),
            table("By rows of the table", ["rows", "tables", "one agent, steps", "swarm, steps", "faster"],
                  [_rows_row(rows, one) for rows, one in by_rows.items()]),
        ],
        panels=panels(by_target, by_rows, told[SINGLE][largest], told[SWARM][largest]),
        figures={"targets": {str(t): one for t, one in by_target.items()}, "ends": ends, "f1": f1,
                 "rows": {str(rows): one for rows, one in by_rows.items()}},
    )  # fmt: skip


def _told(runs: Sequence[RunFolder], *, table: bool) -> ByTask:
    found: ByTask = {}
    for seed, run in enumerate(runs):
        for one in trajectories(run, WIDE):
            if one.masked or one.reward is None:
                continue
            truth = table_of(one.task)
            at = moments(one, truth, table=table)
            found[f"{seed} {one.task}"] = Told(len(truth.rows), at[-1].steps, at[-1].f1, first_reached(at, TARGETS), at)
    return found


def table_of(task: str) -> parl_plan.Plan:
    """The table of a task, by its id."""
    seed, number = map(int, task.rsplit("/", 2)[1:])
    return parl_plan.plan_at(number, seed=seed, split="test", rows=(4, 12), families={"wide": 1.0})


def _target(told: dict[str, ByTask], both: Sequence[str], target: float) -> dict[str, float]:
    """Means over the tables in which both reached it, so that they are of the same tables."""
    pairs = [(told[SINGLE][task].reached[target], told[SWARM][task].reached[target]) for task in both]
    reached = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not reached:
        return {"tables": 0}
    return {
        "tables": len(reached),
        SINGLE: mean(a for a, _ in reached),
        SWARM: mean(b for _, b in reached),
        "faster": mean(a / b for a, b in reached),
        f"{SINGLE}_reaches": sum(a is not None for a, _ in pairs) / len(pairs),
        f"{SWARM}_reaches": sum(b is not None for _, b in pairs) / len(pairs),
    }


def _by_rows(told: dict[str, ByTask], both: Sequence[str]) -> dict[int, dict[str, float]]:
    """Steps to the end."""
    tables: defaultdict[int, list[str]] = defaultdict(list)
    for task in both:
        tables[told[SINGLE][task].rows].append(task)
    return {
        rows: {
            "tables": len(tasks),
            SINGLE: mean(told[SINGLE][task].steps for task in tasks),
            SWARM: mean(told[SWARM][task].steps for task in tasks),
            "faster": mean(told[SINGLE][task].steps / told[SWARM][task].steps for task in tasks),
        }
        for rows, tasks in sorted(tables.items())
    }


def sentences(
    by_target: dict[float, dict[str, float]],
    by_rows: dict[int, dict[str, float]],
    ends: dict[str, float],
    f1: dict[str, float],
) -> list[str]:
    """What showed."""
    reached = {target: one for target, one in by_target.items() if one["tables"]}
    share = ends[SWARM] / ends[SINGLE]
    said = [
        f"To the end the swarm takes {ends[SWARM]:.1f} critical steps, one agent {ends[SINGLE]:.1f} "
        f"({100 * share:.0f} %); item-F1 {100 * f1[SWARM]:.1f} and {100 * f1[SINGLE]:.1f} %.",
    ]
    if not reached:
        return [*said, "No target item-F1 was reached by both on any table."]
    first, last = min(reached), max(reached)
    grows = reached[last][SINGLE] / reached[first][SINGLE], reached[last][SWARM] / reached[first][SWARM]
    flat = grows[1] < min(grows[0], NEARLY)
    rows = list(by_rows)
    wider = by_rows[rows[-1]]["faster"] > by_rows[rows[0]]["faster"]
    faster = [one["faster"] for one in reached.values()]
    return [
        *said,
        f"The swarm reaches target item-F1s {min(faster):.1f}x to {max(faster):.1f}x sooner (the report: 3x to 4.5x): "
        f"{'shown' if min(faster) > 1 else 'not shown'}.",
        f"From a target of {100 * first:.0f} to {100 * last:.0f} % one agent's steps grow {grows[0]:.1f}x, the swarm's "
        f"{grows[1]:.1f}x: nearly constant time for the swarm is {'shown' if flat else 'not shown'}.",
        f"The speed-up {'grows' if wider else 'does not grow'} with the table: {by_rows[rows[0]]['faster']:.1f}x at "
        f"{rows[0]} rows, {by_rows[rows[-1]]['faster']:.1f}x at {rows[-1]}.",
    ]


def _target_row(target: float, one: dict[str, float]) -> list[str]:
    name = f"{100 * target:.0f} %"
    if not one["tables"]:
        return [name, "0", "-", "-", "-"]
    return [name, f"{one['tables']:.0f}", f"{one[SINGLE]:.1f}", f"{one[SWARM]:.1f}", f"{one['faster']:.1f}x"]


def _rows_row(rows: int, one: dict[str, float]) -> list[str]:
    return [str(rows), f"{one['tables']:.0f}", f"{one[SINGLE]:.1f}", f"{one[SWARM]:.1f}", f"{one['faster']:.1f}x"]


def panels(
    by_target: dict[float, dict[str, float]], by_rows: dict[int, dict[str, float]], single: Told, swarm: Told
) -> list[dict[str, Any]]:
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
        for name, one in ((SINGLE, single), (SWARM, swarm))
    ]  # fmt: skip
    return [
        panel("Critical steps to reach an item-F1", "target item-F1", to_targets, x_percent=True, x_range=(0.25, 0.75)),
        panel("Times faster, by rows of the table", "rows", faster),
        panel(f"Item-F1 over time, {single.rows} rows", "critical steps", over, percent=True, y_range=(0.0, 1.04)),
    ]
