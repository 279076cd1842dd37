"""The result of an experiment of post-training as plain data: what is committed, and all that its page is made from.

    {"experiment", "command", "title", "identity", "seeds", "share", "about": [sentence], "report": [sentence],
     "sentences": [sentence], "tables": [{"title", "heads", "rows"}], "panels": [{"title", "x_name", "series"}],
     "figures": {...}, "failed": [{"run", "place", "step", "share"}], "code": [digest]}

"report" is what the report says, "sentences" what showed here. Numbers of tables are words already; "figures" holds
them as numbers. Attempts without a verdict are in no mean: where they are more than one in a hundred, it is said.

Report: none.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan, ordered
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

Row = Sequence[str]
NOTED = 0.01
"""Share of a measurement's attempts without a verdict beyond which it is said."""
WORST = 5
"""Measurements that are named."""


def identity(plan: Plan, *, tune_each: bool = False) -> str:
    """Changes with what is computed for the first seed, so that more seeds may be added, and with whether these start
    from one fine-tuning.
    """
    first = [one.key for (_, seed), one in plan.items() if seed == 0]
    return fingerprint_of([*first, "tune_each"] if tune_each else first)[:8]


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
    command: str = "",
) -> dict[str, Any]:
    """Everything in one.

    Args:
        command: behind `manyeyes reproduce`, where it is not the experiment's name alone.
    """
    runs = ordered(found.plan.values())
    failed = failures(found)
    return {
        "experiment": experiment,
        "command": command or experiment,
        "title": title,
        "identity": identity(found.plan, tune_each=scale.tune_each),
        "seeds": scale.seeds,
        "share": scale.share,
        "quick": scale.quick,
        "runs": [one.label for one in runs],
        "seconds": round(found.seconds),
        "about": [*about, *learned_beside(found.plan), *fine_tuned_once(found.plan, scale), *_of_codes(found.codes)],
        "report": list(report),
        "sentences": [*sentences, *failure_sentences(failed)],
        "tables": list(tables),
        "panels": list(panels),
        "figures": dict(figures),
        "failed": failed,
        "code": found.codes,
    }


def learned_beside(plan: Plan) -> list[str]:
    """What RL learns from that is no reward."""
    told: dict[str, None] = {}
    for one in ordered(plan.values()):
        if isinstance(run := one.work, RlRun) and run.ptx is not None:
            sources = ", ".join(sorted(run.ptx.sources))
            told[
                f"Beside its rewards {run.name} learns fine-tuning's dialogues, with weight {run.ptx.weight:g} against "
                f"forgetting ({sources}): what it gains is not due to rewards alone."
            ] = None
    return list(told)


def fine_tuned_once(plan: Plan, scale: Scale) -> list[str]:
    """What one fine-tuning for all seeds means, where the plan says that there is one."""
    named = " finished fine-tuning (--start)" if scale.fine_tuned else " fine-tuning"
    if scale.seeds == 1:
        return [f"It starts from one{named}."] if scale.fine_tuned else []
    tunings: defaultdict[str, set[str]] = defaultdict(set)
    for (arm, _), made in plan.items():
        tunings[arm] |= _tuning(made)
    if not all(len(found) == 1 for found in tunings.values() if found):
        return []
    return [
        f"All seeds start from one{named}: their spread is that of RL, tasks and questions, and not of fine-tuning."
    ]


def _tuning(made: Made) -> set[str]:
    """The fine-tuned model that a run starts from or whose copies its sub-agents are; empty for one that starts from
    RL and has none.
    """
    model = made.frozen or made.start
    if isinstance(model, Made):
        return {model.key} if isinstance(model.work, Run) else set()
    return {str(model)}


def _of_codes(codes: Sequence[str]) -> list[str]:
    """Whether all of it was computed by the same code."""
    return [f"Its runs were made by {len(codes)} states of the code."] if len(codes) > 1 else []


def failures(found: Finished) -> list[dict[str, Any]]:
    """Measurements in which more attempts than `NOTED` came to no verdict: they are left out of the means."""
    told: list[dict[str, Any]] = []
    for made, folder in found.whole:
        for row in folder.metrics("evaluation"):
            for place, share in failed_shares(row.values).items():
                if share > NOTED:
                    told.append({"run": made.label, "place": place, "step": row.step, "share": round(share, 4)})
    return told


def failed_shares(values: Mapping[str, Any]) -> dict[str, float]:
    """By place, of an `evaluation` row.

    Example:
        >>> failed_shares({"count/questions": 200.0, "count/failed": 3.0, "text/loss": 2.5})
        {'count': 0.015}
    """
    places = [name.removesuffix("/failed") for name in values if name.endswith("/failed")]
    asked = {place: values.get(f"{place}/questions", 0) for place in places}
    return {place: values[f"{place}/failed"] / asked[place] for place in places if asked[place]}


def failure_sentences(failed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where attempts are missing."""
    if not failed:
        return []
    most = sorted(failed, key=lambda one: -one["share"])
    listed = [f"{one['run']}, {one['place']}, step {one['step']}: {100 * one['share']:.1f} %" for one in most[:WORST]]
    more = f"; and {len(most) - WORST} more" if len(most) > WORST else ""
    return [
        f"Attempts that came to no verdict are in no mean; more than {100 * NOTED:.0f} % of them in {len(most)} "
        f"measurements: {'; '.join(listed)}{more}."
    ]
