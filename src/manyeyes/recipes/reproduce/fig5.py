"""Figure 5 of the report at small scale: accuracy and tokens with Toggle and without, on families old and new.

    command      manyeyes reproduce fig5
    chain        tiny → tiny.sft → tiny.toggle, and the same run without Toggle; same seeds, tasks and steps
    measured     held-out problems of every family and level, reasoned at temperature 1; both models get the same ones
    with Toggle  the run's model: the weights at the end of its last brief phase
    scaling      accuracy under a cap of tokens, at the end of the brief and of the unconstrained phase: what had not
                 ended by then would be wrong

Report: §4.4.2 (token efficient RL), Figure 5.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from manyeyes.data.synthesis.thinking_families import LEVELS, families
from manyeyes.recipes.reproduce.fig2 import sft
from manyeyes.recipes.reproduce.fig5_pairs import (
    BEFORE,
    CAPS,
    WITH,
    WITHOUT,
    Asked,
    Question,
    compare,
    questions_of,
    under_caps,
)
from manyeyes.recipes.reproduce.post_attempts import Attempt, attempts
from manyeyes.recipes.reproduce.post_curves import Curve, curve
from manyeyes.recipes.reproduce.post_findings import percent, points, risen, threshold
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.verdict import Difference, interval
from manyeyes.recipes.rl_parts import Measured, PlaceSpec
from manyeyes.recipes.rl_run import RlRun

TOGGLE = "tiny.toggle"
FREE = "after the unconstrained phase"
ASKED, SEEDS = 4_200, 3
"""Paired items over all families and so many seeds, at least; more seeds make more of them."""
LESS, LOST = 0.25, 0.01
"""Tokens that Toggle is to save, and accuracy that it may cost."""
WINDOW = 4
REPORT = (
    "Figure 5, §4.4.2: on Kimi K2 Thinking, Toggle reduces output tokens by 25 to 30 % on average with negligible "
    "effect on performance.",
    "§4.4.2: trained on mathematics and programming alone, it reduces tokens on GPQA and MMLU-Pro as well, with only "
    "slight losses of performance.",
)


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    made: dict[tuple[str, int], Made] = {}
    asked = measured(scale)
    for seed in range(scale.seeds):
        start = sft(scale, seed)
        arms = {
            WITH: scale.reinforced(TOGGLE, seed, start),
            WITHOUT: scale.reinforced(TOGGLE, seed, start, label="without-toggle", toggle=None),
        }
        made |= {(f"run {arm}", seed): run for arm, run in arms.items()}
        for arm, run in [(BEFORE, start), *arms.items()]:
            made[arm, seed] = scale.measuring(f"thoughts-{arm.split()[0]}", seed, run, measured=asked, context=4096)
    return made


def measured(scale: Scale) -> tuple[Measured, ...]:
    """The recipe's held-out sets at all levels, as many problems of each as make enough pairs.

    Easy levels of some families have few distinct questions that are held out; harder ones have more.
    """
    of = [one for one in scale.recipes(TOGGLE).measured if one.place.environment == "thoughts"]
    count = -(-ASKED // (min(scale.seeds, SEEDS) * len(of)))
    return tuple(replace(one, place=at_all_levels(one.place), count=max(count, one.quick)) for one in of)


def at_all_levels(place: PlaceSpec) -> PlaceSpec:
    """Its problems at every level that families have."""
    return replace(place, tasks=place.tasks | {"levels": list(LEVELS)})


def trained_on(run: RlRun, place: PlaceSpec) -> bool:
    """Whether RL learns from a family that a held-out set asks about."""
    learned = {name for one in run.places if one.environment == place.environment for name in _families(one)}
    return bool(learned & set(_families(place)))


def _families(place: PlaceSpec) -> tuple[str, ...]:
    return families(place.tasks.get("families"), place.tasks.get("capability"))


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the logs and the stored attempts.

    Raises:
        DataError: a measurement lacks its attempts.
    """
    asked: Asked = {arm: [attempts(run) for run in found.runs(arm)] for arm in (BEFORE, WITH, WITHOUT)}
    run: RlRun = found.work(f"run {WITH}")
    work: Measuring = found.work(WITH)
    questions, places = questions_of(found.works(WITH)), work.measured
    learned = [one.name for one in places if trained_on(run, one.place)]
    other = [one.name for one in places if one.name not in learned]
    groups = {"all": [*learned, *other], "trained on": learned, "not trained on": other}
    compared = {name: compare(asked, questions, _of(names)) for name, names in groups.items() if names}
    by_family = {one.name: compare(asked, questions, _of([one.name])) for one in places}
    levels = sorted({question.level for question in questions.values()})
    by_level = {f"level {n}": compare(asked, questions, _at(n, questions)) for n in levels}
    lengths = {arm: curve(found.runs(f"run {arm}"), "length", kind="rl") for arm in (WITH, WITHOUT)}
    caps = capped(found, run)
    whole = compared["all"]
    return result(
        "fig5", "Accuracy and tokens with Toggle and without", found, scale,
        about=[
            f"{scale.seeds} seeds of {TOGGLE} ({run.steps} steps of {run.groups} tasks x {run.attempts} attempts, "
            f"phases of {run.toggle.every if run.toggle else 0} steps) and of the same run without Toggle. With it: "
            f"the weights after step {run.kept_step}, where the last brief phase ends; without: after {run.steps}. "
            f"{whole['pairs']:,} pairs of answers to the same held-out problems at temperature {work.temperature:g}, "
            f"{whole['questions']:,} distinct questions. Trained on: {', '.join(learned) or 'none of these families'}; "
            f"not trained on: {', '.join(other) or 'none'}.",
        ],
        report=REPORT,
        sentences=sentences(compared, caps),
        tables=[
            table("With Toggle against without", HEADS, [row(name, one) for name, one in compared.items()]),
            table("By family", HEADS, [row(name, one) for name, one in by_family.items()]),
            table("By level of difficulty", HEADS, [row(name, one) for name, one in by_level.items()]),
        ],
        panels=panels(lengths, by_family, learned, caps),
        figures={"compared": compared, "families": by_family, "levels": by_level, "caps": caps, "trained_on": learned},
    )  # fmt: skip


HEADS = ["families", "pairs", "questions", "right, %", "Toggle", "change", "tokens", "Toggle", "saved"]


def _of(places: Iterable[str]) -> Callable[[Attempt], bool]:
    wanted = set(places)
    return lambda one: one.place in wanted


def _at(level: int, questions: Mapping[str, Question]) -> Callable[[Attempt], bool]:
    return lambda one: questions[one.task_id].level == level


def capped(found: Finished, run: RlRun) -> dict[str, dict[str, list[float]]]:
    """Accuracy under caps on the held-out problems that the runs themselves ask: before, and at the end of phases."""
    ends = {BEFORE: (WITH, 0), WITHOUT: (WITHOUT, run.steps), WITH: (WITH, run.kept_step), FREE: (WITH, run.steps)}
    return {
        name: under_caps([attempts(folder, step=step) for folder in found.runs(f"run {arm}")])
        for name, (arm, step) in ends.items()
    }


def sentences(compared: Mapping[str, Any], caps: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    """What showed."""
    said = [brevity(name, one) for name, one in compared.items()]
    whole = compared["all"]
    both = mean(whole["saved"]) >= LESS and whole["items"]["mean"] >= -LOST
    said.insert(
        0,
        f"Toggle saves at least {100 * LESS:.0f} % of the tokens at no more than {100 * LOST:.0f} point of accuracy: "
        f"{threshold(both and min(whole['saved']) > 0, seeds=len(whole['saved']))}.",
    )
    return [*said, scaling(caps)]


def brevity(name: str, one: Mapping[str, Any]) -> str:
    """Tokens and accuracy of some families."""
    saved = interval(one["saved"])
    spread = f" (95 % interval {100 * saved.low:.0f} to {100 * saved.high:.0f})" if saved.seeds > 1 else " (one seed)"
    items = Difference(*(one["items"][name] for name in ("mean", "low", "high", "clusters")))
    before, whose = one["before"], "All families" if name == "all" else f"Families {name}"
    return (
        f"{whose}: {100 * saved.mean:.1f} % fewer tokens{spread}, {mean(one['tokens'][WITH]):.0f} instead of "
        f"{mean(one['tokens'][WITHOUT]):.0f}; accuracy {points(items, of='questions')}. Before RL: "
        f"{mean(before['tokens']):.0f} tokens, {100 * mean(before['accuracy']):.1f} %."
    )


def scaling(caps: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Whether more tokens still help at the end of the unconstrained phase, and whether as far as without Toggle."""
    first, largest = str(CAPS[0]), str(CAPS[-1])
    free, without = ({cap: mean(seeds) for cap, seeds in caps[arm].items()} for arm in (FREE, WITHOUT))
    ahead = sum(free[cap] >= without[cap] - LOST for cap in map(str, CAPS))
    _, outcome = risen(caps[FREE][first], caps[FREE][largest])
    kept = free[largest] >= without[largest] - LOST
    brief = 100 * mean(caps[WITH][largest])
    return (
        f"Scaling with tokens {FREE}: {outcome if kept or outcome == 'one seed only' else 'not shown'}; accuracy goes "
        f"from {100 * free[first]:.1f} % within {first} tokens to {100 * free[largest]:.1f} % within {largest} "
        f"(without Toggle {100 * without[first]:.1f} % and {100 * without[largest]:.1f} %; after the brief phase "
        f"{brief:.1f} %); it is no worse than without at {ahead} of {len(CAPS)} caps."
    )


def row(name: str, one: Mapping[str, Any]) -> list[str]:
    """Of a table."""
    accuracy, tokens = one["accuracy"], one["tokens"]
    return [
        name, f"{one['pairs']:,}", f"{one['questions']:,}", percent(accuracy[WITHOUT]), percent(accuracy[WITH]),
        f"{100 * one['items']['mean']:+.1f}", f"{mean(tokens[WITHOUT]):.0f}", f"{mean(tokens[WITH]):.0f}",
        f"{100 * mean(one['saved']):.0f} %",
    ]  # fmt: skip


def panels(
    lengths: Mapping[str, Curve],
    by_family: Mapping[str, Any],
    learned: Sequence[str],
    caps: Mapping[str, Mapping[str, list[float]]],
) -> list[dict[str, Any]]:
    """Length over training, tokens by family, and accuracy under caps."""
    names = list(by_family)
    marked = [name.removeprefix("think_") + ("" if name in learned else "*") for name in names]
    span = {"xs": list(range(1, len(names) + 1)), "form": "points"}
    tokens = [
        {"name": arm, "ys": [round(mean(by_family[name]["tokens"][arm]), 1) for name in names], **span}
        for arm in (WITHOUT, WITH)
    ]
    right = [
        {"name": arm, "ys": [round(mean(by_family[name]["accuracy"][arm]), 4) for name in names], **span}
        for arm in (WITHOUT, WITH)
    ]
    axis = {"x_names": marked, "x_range": (0.5, len(names) + 0.5)}
    capped = [
        {"name": arm, "xs": list(CAPS), "ys": [round(mean(caps[arm][str(cap)]), 4) for cap in CAPS]}
        for arm in (BEFORE, WITHOUT, WITH, FREE)
    ]
    return [
        panel(
            "Tokens of an answer in training",
            "RL steps",
            [lengths[arm].smoothed(WINDOW).series(arm) for arm in lengths],
        ),
        panel("Tokens by family (*: not trained on)", "", tokens, **axis),
        panel("Accuracy by family (*: not trained on)", "", right, percent=True, y_range=(0.0, 1.0), **axis),
        panel("Accuracy within a cap of tokens", "tokens", capped, percent=True, y_range=(0.0, 1.0)),
    ]
