"""The page and the markdown of `reproduce table1`: our table beside the report's, the verdict, the learning curves.

Both are made from the experiment's result as plain data, so what is committed can be drawn again without training.
Report: Table 1, Figure 9.
"""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from manyeyes.view.ablation_figure import Panel, curves_figure
from manyeyes.view.markup import Markup, tag, trusted
from manyeyes.view.wording import compact, duration

Result = Mapping[str, Any]
CHANCE = 0.25
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#1f2937;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{padding:.3rem .5rem;text-align:right;border-bottom:1px solid #e5e7eb}
th:first-child,td:first-child{text-align:left}td small{color:#6b7280;display:block}.best{font-weight:700}
svg{width:100%;height:auto}li{margin:.4rem 0}.quiet{color:#6b7280}
"""


def ablation_page(result: Result) -> Markup:
    """The whole HTML document; it loads nothing."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "Table 1 at small scale"),
        tag("style", trusted(STYLE)),
    )
    body = tag(
        "body",
        tag("h1", "Early, mid and late fusion at equal budgets"),
        tag("p", summary(result), class_="quiet"),
        tag("h2", "Here, and in the report"),
        _html_table(result),
        tag("p", TABLE_NOTE, class_="quiet"),
        tag("h2", "What showed at this scale"),
        tag("ul", [tag("li", sentence) for sentence in result["sentences"]]),
        tag("h2", "Learning curves"),
        learning_curves(result),
    )
    return trusted("<!doctype html>\n" + tag("html", head, body, lang="en") + "\n")


TABLE_NOTE = (
    "Here: percent of four-way multiple choice (chance 25), mean of the seeds ± their standard deviation. "
    "The report: its own benchmarks. Compare the order of the rows, never the numbers: models, data and questions "
    "are others."
)


def summary(result: Result) -> str:
    """One paragraph: what was trained, on what."""
    tokens, seeds = result["tokens"]["early"], result["seeds"]
    drawn = ", ".join(f"{arm} {compact(t['vision'])}" for arm, t in result["tokens"].items())
    return (
        f"{len(result['arms'])} arms, {seeds} {'seed' if seeds == 1 else 'seeds'}; each run "
        f"{compact(tokens['text'] + tokens['vision'])} tokens, of them vision: {drawn}. Model: {result['parameters']}. "
        f"Training and scoring took {duration(result['seconds'])} of one core."
    )


def rows(result: Result) -> list[tuple[str, list[tuple[float, float | None, float]]]]:
    """Arm → for each category our mean, its spread over seeds (None for one seed) and the report's figure."""
    table = []
    for arm, reported in result["report"].items():
        cells = []
        for category, theirs in reported.items():
            ours: Sequence[float] = result["arms"][arm][category]
            cells.append((mean(ours), stdev(ours) if len(ours) > 1 else None, theirs))
        table.append((arm, cells))
    return table


def markdown(result: Result, *, picture: str) -> str:
    """The same as markdown; `picture` is where the curves lie."""
    categories = list(next(iter(result["report"].values())))
    best = _best(rows(result))
    lines = ["# Early, mid and late fusion at equal budgets", "", summary(result), ""]
    lines += [f"| | {' | '.join(map(_title, categories))} |", f"|---|{'---|' * len(categories)}"]
    for arm, cells in rows(result):
        ours = [
            f"{'**' if m == b else ''}{m:.1f}{'**' if m == b else ''}{_spread(s)}"
            for (m, s, _), b in zip(cells, best, strict=True)
        ]
        lines.append(f"| {arm}, here | {' | '.join(ours)} |")
    for arm, cells in rows(result):
        lines.append(f"| {arm}, report | {' | '.join(f'{theirs}' for _, _, theirs in cells)} |")
    lines += ["", TABLE_NOTE, "", "## What showed at this scale", ""]
    lines += [f"- {sentence}" for sentence in result["sentences"]]
    lines += ["", "## Learning curves", "", f"![learning curves]({picture})", ""]
    return "\n".join(lines)


def learning_curves(result: Result) -> Markup:
    """A panel for each category, and the loss on held-out text."""
    arms: Mapping[str, Any] = result["curves"]
    categories = list(next(iter(result["report"].values())))
    panels = [
        Panel(_title(name), {arm: found[f"{name}/accuracy"] for arm, found in arms.items()}, percent=True, level=CHANCE)
        for name in categories
    ]
    panels.append(Panel("Loss on held-out text (nats)", {arm: found["text_loss"] for arm, found in arms.items()}))
    return curves_figure(panels, marks=result.get("vision_from"))


def _html_table(result: Result) -> Markup:
    categories = list(next(iter(result["report"].values())))
    best = _best(rows(result))
    head = tag("tr", tag("th", "arm"), [tag("th", _title(category)) for category in categories])
    body = [
        tag("tr", tag("td", arm), [_cell(*cell, best=b) for cell, b in zip(cells, best, strict=True)])
        for arm, cells in rows(result)
    ]
    return tag("table", head, body)


def _cell(ours: float, spread: float | None, theirs: float, *, best: float) -> Markup:
    number = tag("span", f"{ours:.1f}", class_="best" if ours == best else None)
    return tag("td", number, _spread(spread), tag("small", f"report {theirs}"))


def _best(table: list[tuple[str, list[tuple[float, float | None, float]]]]) -> list[float]:
    return [max(cell[0] for cell in column) for column in zip(*(cells for _, cells in table), strict=True)]


def _spread(spread: float | None) -> str:
    return "" if spread is None else f" ± {spread:.1f}"


def _title(category: str) -> str:
    return "OCR" if category == "ocr" else category.replace("_", " ").capitalize()
