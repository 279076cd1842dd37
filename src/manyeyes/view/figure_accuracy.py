"""What `reproduce fig7` shows: accuracy against critical steps, and what it costs in steps of all agents.

Made from the experiment's result as plain data, so what is committed can be drawn again without running anything.
Report: Figure 7.
"""

from collections.abc import Mapping
from typing import Any

from manyeyes.view.figure_panels import Panel, Series, panels_figure
from manyeyes.view.figure_targets import markdown_table
from manyeyes.view.markup import Markup

Result = Mapping[str, Any]
NOTE = (
    "The model is a set of rules that really searches, opens and reads, the same in all arms; what is compared is how "
    "the arms deal with a context that is too small, not how well a model was trained. Percentages in brackets are "
    "95 % intervals (Wilson). A step is an answer of the model. The figure's context is the smallest tried at which "
    "every sub-agent's part fits; smaller ones stand in the last table."
)


def picture(result: Result) -> Markup:
    """Two panels: the whole range, and its beginning."""
    most = max([result["scale"]["steps_alone"], *_ends(result)])
    early = 2.2 * max(result["arms"]["swarm"]["curve"]["steps"], default=50)
    panels = [_panel(result, most, "Accuracy within so many critical steps"), _panel(result, early, "Its beginning")]
    return panels_figure(panels, label="Accuracy against critical steps: swarm, discard-all and none")


def _ends(result: Result) -> list[float]:
    return [arm["curve"]["steps"][-1] for arm in result["arms"].values() if arm["curve"]["steps"]]


def _panel(result: Result, most: float, title: str) -> Panel:
    series = [_series(name, arm, most) for name, arm in result["arms"].items()]
    return Panel(title, "critical steps", series, percent=True, y_range=(0.0, 1.04), x_range=(0.0, most))


def _series(name: str, arm: Mapping[str, Any], most: float) -> Series:
    """The curve from 0 on and up to the panel's edge."""
    points = [(x, y) for x, y in zip(arm["curve"]["steps"], arm["curve"]["accuracy"], strict=True) if x <= most]
    xs, ys = [0.0, *(x for x, _ in points), most], [0.0, *(y for _, y in points)]
    return Series(name, xs, [*ys, ys[-1]], form="steps", dashed=name == "none")


def table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Headings and a row for each arm."""
    heads = ["arm", *map(str, result["budgets"]), "in the end", "critical", "total"]
    return heads, [_row(name, arm) for name, arm in result["arms"].items()]


def _row(name: str, arm: Mapping[str, Any]) -> list[str]:
    shares = [f"{100 * share:.0f} %" for share in arm["within"].values()]
    end = f"{100 * arm['accuracy']:.0f} % ({100 * arm['low']:.0f}-{100 * arm['high']:.0f})"
    return [name, *shares, end, f"{arm['critical_steps']:.0f}", f"{arm['total_steps']:.0f}"]


def markdown(result: Result, *, picture: str) -> str:
    """The result as markdown; `picture` is where the drawing lies."""
    low, high = result["candidates"]
    context = next(iter(result["contexts"]))
    lines = [
        "# Accuracy against critical steps: a swarm and discard-all", "",
        f"{result['questions']} questions with one answer each among {low} to {high} candidates; context of "
        f"{int(context):,} tokens.",
        "", f"![accuracy against critical steps]({picture})", "", "## What showed", "",
    ]  # fmt: skip
    lines += [f"- {sentence}" for sentence in result["sentences"]]
    lines += ["", NOTE, "", "## Accuracy within a budget of critical steps", "", *markdown_table(*table(result))]
    lines += ["", "Critical and total: mean steps of a question, those of all agents in the latter.", ""]
    lines += ["## By size of the context", "", *markdown_table(*_by_context(result)), ""]
    return "\n".join(lines)


def _by_context(result: Result) -> tuple[list[str], list[list[str]]]:
    arms = list(result["arms"])
    rows = [
        [
            f"{int(context):,}",
            *(f"{100 * found[arm]['accuracy']:.0f} %, {found[arm]['critical_steps']:.0f}" for arm in arms),
        ]
        for context, found in sorted(result["contexts"].items(), key=lambda one: int(one[0]))
    ]
    return ["tokens", *(f"{arm}: accuracy, critical steps" for arm in arms)], rows
