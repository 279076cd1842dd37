"""The result of an experiment of post-training as plain data: what is committed, and all that its page is made from.

    {"experiment", "title", "identity", "seeds", "share", "about": [sentence], "report": [sentence],
     "sentences": [sentence], "tables": [{"title", "heads", "rows"}], "panels": [{"title", "x_name", "series"}],
     "figures": {...}}

"report" is what the report says, "sentences" what showed here. Numbers of tables are words already; "figures" holds
them as numbers.

Report: none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.reproduce.post_runs import Finished, Plan, ordered
from manyeyes.recipes.reproduce.post_scale import Scale

Row = Sequence[str]


def identity(plan: Plan) -> str:
    """Changes with what is computed for the first seed, so that more seeds may be added."""
    first = [one.key for (_, seed), one in plan.items() if seed == 0]
    return fingerprint_of(first)[:8]


def table(title: str, heads: Row, rows: Sequence[Row]) -> dict[str, Any]:
    """A table; the first column names what a row is of."""
    return {"title": title, "heads": list(heads), "rows": [list(row) for row in rows]}


def panel(title: str, x_name: str, series: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A panel of the figure; see `view.figure_panels.Panel` for what else it may say."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in more.items()}
    return {"title": title, "x_name": x_name, "series": list(series), **plain}


def result(
    experiment: str,
    title: str,
    found: Finished,
    scale: Scale,
    *,
    about: Sequence[str],
    report: Sequence[str],
    sentences: Sequence[str],
    tables: Sequence[Mapping[str, Any]],
    panels: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything in one."""
    runs = ordered(found.plan.values())
    return {
        "experiment": experiment,
        "title": title,
        "identity": identity(found.plan),
        "seeds": scale.seeds,
        "share": scale.share,
        "quick": scale.quick,
        "runs": [one.label for one in runs],
        "seconds": round(found.seconds),
        "about": list(about),
        "report": list(report),
        "sentences": list(sentences),
        "tables": list(tables),
        "panels": list(panels),
        "figures": dict(figures),
    }
