"""What `reproduce fig8` shows: the time to reach an item-F1, the speed-up by difficulty, one task as it goes.

Made from the experiment's result as plain data, so what is committed can be drawn again without running anything.
Report: Figure 8.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from manyeyes.view.figure_panels import Panel, Series, panels_figure
from manyeyes.view.markup import Markup

Result = Mapping[str, Any]
NOTE = (
    "The model is a set of rules that really searches, opens and reads, the same alone and as a swarm; what is "
    "measured is how the work runs, not how well a model was trained. Alone, the agent may take as many steps as it "
    "needs. A swarm's table counts what has come back to its orchestrator. Seconds are of the wall clock."
)
MODES = ("single", "swarm")


def picture(result: Result) -> Markup:
    """Three panels."""
    largest = result["tasks"][-1]
    panels = [
        Panel(
            "Seconds to reach an item-F1 (mean of tasks)", "target item-F1",
            [_to_targets(result, mode) for mode in MODES], x_percent=True, x_range=(0.25, 0.75),
        ),
        Panel(
            "Times faster, by difficulty", "rows x columns x hops",
            [_faster(result, key) for key in ("end", "0.7", "0.3")],
        ),
        Panel(
            f"Item-F1 over time, {largest['rows']} rows", "seconds",
            [*(_over_time(largest, mode) for mode in MODES), _known(largest)], percent=True, y_range=(0.0, 1.04),
        ),
    ]  # fmt: skip
    return panels_figure(panels, label="Time to reach an item-F1, one agent and a swarm")


def _to_targets(result: Result, mode: str) -> Series:
    means = [one for one in result["means"] if one["target"] != "end" and one[mode] is not None]
    return Series(mode, [float(one["target"]) for one in means], [one[mode] for one in means])


def _faster(result: Result, key: str) -> Series:
    tasks = [task for task in result["tasks"] if task["faster"][key] is not None]
    name = "to the end" if key == "end" else f"to F1 {100 * float(key):.0f}%"
    return Series(name, [task["difficulty"] for task in tasks], [task["faster"][key] for task in tasks])


def _over_time(task: Mapping[str, Any], mode: str) -> Series:
    curve = task[mode]["curve"]
    return Series(mode, [0.0, *curve["seconds"]], [0.0, *curve["f1"]], form="steps")


def _known(task: Mapping[str, Any]) -> Series:
    curve = task["swarm"]["known_curve"]
    name = "swarm, what its agents know together"
    return Series(name, [0.0, *curve["seconds"]], [0.0, *curve["f1"]], form="steps", dashed=True)


def table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Headings and a row for each task."""
    heads = ["task", "rows", "size", "F1", "F1 swarm", "to 70 %", "swarm", "in all", "swarm", "faster"]
    return heads, [_row(task) for task in result["tasks"]]


def _row(task: Mapping[str, Any]) -> list[str]:
    single, swarm = task["single"], task["swarm"]
    return [
        task["id"], str(task["rows"]), str(task["difficulty"]),
        f"{100 * single['f1']:.1f}", f"{100 * swarm['f1']:.1f}",
        _seconds(single["reached"]["0.7"]), _seconds(swarm["reached"]["0.7"]),
        _seconds(single["reached"]["end"]), _seconds(swarm["reached"]["end"]), f"{task['faster']['end']:.1f}x",
    ]  # fmt: skip


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def markdown(result: Result, *, picture: str) -> str:
    """The result as markdown; `picture` is where the drawing lies."""
    scale = result["scale"]
    lines = ["# Time to reach an item-F1: one agent and a swarm", ""]
    lines += [
        f"{len(result['tasks'])} tables, {_times(scale['seeds'], 'world')}; an answer of the model takes "
        f"{scale['model_seconds']:g} s, a search or page {scale['page_seconds']:g} s.",
        "", f"![time to reach an item-F1]({picture})", "", "## What showed", "",
    ]  # fmt: skip
    lines += [f"- {sentence}" for sentence in result["sentences"]]
    lines += ["", NOTE, "", "## By target", ""]
    lines += markdown_table(["item-F1", "alone, s", "swarm, s", "faster"], [_target(one) for one in result["means"]])
    lines += ["", "Means over the tasks; faster: the mean of the tasks' ratios.", "", "## By task", ""]
    lines += markdown_table(*table(result))
    note = "To 70 % and in all: seconds. Size: rows x columns x kinds of pages that a row is read from."
    return "\n".join([*lines, "", note, ""])


def _target(one: Mapping[str, Any]) -> list[str]:
    name = "the end" if one["target"] == "end" else f"{100 * float(one['target']):.0f} %"
    return [name, _seconds(one["single"]), _seconds(one["swarm"]), f"{one['faster']:.1f}x" if one["faster"] else "-"]


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; the first column is left, the others are right."""
    return [f"| {' | '.join(line)} |" for line in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows)]


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
