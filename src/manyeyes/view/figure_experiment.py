"""What an experiment of post-training shows: its panels, tables and sentences, the report's words beside ours.

Made from the experiment's result as plain data (`recipes.reproduce.post_result`), so what is committed can be drawn
again without running anything.

Report: Figures 2, 4, 5, 8; Tables 2, 6.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from manyeyes.view.figure_panels import Panel, Series, panels_figure
from manyeyes.view.figure_targets import markdown_table
from manyeyes.view.markup import Markup
from manyeyes.view.wording import duration

Result = Mapping[str, Any]
COLUMNS = 3
QUICK = "This is a --quick run: three steps of everything, which shows that all works and means nothing else."


def picture(result: Result) -> Markup:
    """All panels."""
    return panels_figure([_panel(one) for one in result["panels"]], label=result["title"], columns=COLUMNS)


def _panel(plain: Mapping[str, Any]) -> Panel:
    ranges = {name: tuple(plain[name]) for name in ("x_range", "y_range") if plain.get(name)}
    whole: dict[str, Any] = dict(plain) | ranges | {"series": [Series(**one) for one in plain["series"]]}
    return Panel(**whole)


def table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the first table, for a terminal."""
    first = result["tables"][0]
    return list(first["heads"]), [list(row) for row in first["rows"]]


def markdown(result: Result, *, picture: str) -> str:
    """The result as markdown; `picture` is where the drawing lies."""
    lines = [f"# {result['title']}", "", *result["about"], "", how(result), ""]
    lines += [QUICK, ""] if result["quick"] else []
    lines += [f"![{result['title']}]({picture})", "", "## What showed", "", *_items(result["sentences"])]
    lines += ["", "## What the report says", "", *_items(result["report"])]
    for one in result["tables"]:
        lines += ["", f"## {one['title']}", "", *markdown_table(one["heads"], one["rows"])]
    return "\n".join([*lines, "", NOTE, ""])


NOTE = (
    "± is the standard deviation over seeds; bands span the lowest and the highest seed. shown: all seeds go that way "
    "and the 95 % interval of the mean, paired by seed, leaves out 0; consistent, within noise: the mean goes that "
    "way; not shown: it does not. reached, not reached: a number that was asked for beforehand, in the figures as they "
    "were measured; the interval beside it says how sure that is. What was tried where an effect did not show stands "
    "in docs/log.md."
)


def how(result: Result) -> str:
    """How it came about."""
    share = "" if result["share"] == 1 else f", each at {100 * result['share']:.0f} % of its recipe's steps"
    seeds = "one seed" if result["seeds"] == 1 else f"{result['seeds']} seeds"
    command = result.get("command", result["experiment"])  # results of before have none
    return (
        f"`manyeyes reproduce {command}`: {seeds}, {len(result['runs'])} runs{share}; "
        f"{duration(result['seconds'])}, one run after another."
    )


def _items(sentences: Sequence[str]) -> list[str]:
    return [f"- {sentence}" for sentence in sentences]
