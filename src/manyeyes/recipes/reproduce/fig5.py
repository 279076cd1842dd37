"""Figure 5 of the report at small scale: accuracy and tokens with Toggle and without, on families old and new.

    command      manyeyes reproduce fig5
    chain        tiny → tiny.sft → tiny.toggle, and the same run without Toggle; same seeds, tasks and steps
    measured     held-out problems of every family, reasoned at temperature 1; the two models get the same ones
    scaling      accuracy under a cap of tokens: what had not ended by then would be wrong

Report: §4.4.2 (token efficient RL), Figure 5.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from manyeyes.data.synthesis.thinking_families import families
from manyeyes.recipes.reproduce.fig2 import sft
from manyeyes.recipes.reproduce.post_attempts import Attempt, accuracy_within, attempts, pairs
from manyeyes.recipes.reproduce.post_curves import Curve, curve
from manyeyes.recipes.reproduce.post_findings import of_items, percent, points, risen, threshold
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.verdict import Difference, interval
from manyeyes.recipes.rl_run import Measured, PlaceSpec, RlRun

TOGGLE = "tiny.toggle"
WITH, WITHOUT, BEFORE = "with Toggle", "without", "before RL"
ASKED = 4_200
"""Paired items over all families and seeds, at least."""
LESS, LOST = 0.25, 0.01
"""Tokens that Toggle is to save, and accuracy that it may cost."""
CAPS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Tokens under which accuracy is read."""
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
    """The recipe's held-out sets, as many of each as make enough pairs."""
    of = [one for one in scale.recipes(TOGGLE).measured if one.place.environment == "thoughts"]
    count = -(-ASKED // (scale.seeds * len(of)))
    return tuple(replace(one, count=max(count, one.quick)) for one in of)


def trained_on(run: RlRun, place: PlaceSpec) -> bool:
    """Whether RL learns from a family that a held-out set asks about."""
    learned = {name for one in run.places if one.environment == place.environment for name in _families(one)}
    return bool(learned & set(_families(place)))


def _families(place: PlaceSpec) -> tuple[str, ...]:
    return families(place.tasks.get("families"), place.tasks.get("capability"))


Asked = dict[str, list[dict[tuple[str, str], Attempt]]]
"""Arm → seed → attempts by place and task."""


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the logs and the stored attempts.

    Raises:
        DataError: a measurement lacks its attempts.
    """
    asked: Asked = {arm: [attempts(run) for run in found.runs(arm)] for arm in (BEFORE, WITH, WITHOUT)}
    run: RlRun = found.work(f"run {WITH}")
    places = found.work(WITH).measured
    learned = [one.name for one in places if trained_on(run, one.place)]
    other = [one.name for one in places if one.name not in learned]
    groups = {"all": [*learned, *other], "trained on": learned, "not trained on": other}
    compared = {name: compare(asked, names) for name, names in groups.items() if names}
    by_family = {one.name: compare(asked, [one.name]) for one in places}
    lengths = {arm: curve(found.runs(f"run {arm}"), "length", kind="rl") for arm in (WITH, WITHOUT)}
    caps = {arm: under_caps(asked[arm]) for arm in (BEFORE, WITH, WITHOUT)}
    return result(
        "fig5", "Accuracy and tokens with Toggle and without", found, scale,
        about=[
            f"{scale.seeds} seeds of {TOGGLE} ({run.steps} steps of {run.groups} tasks x {run.attempts} attempts) and "
            f"of the same run without Toggle. {compared['all']['pairs']:,} pairs of answers to the same held-out "
            f"problems. Trained on: {', '.join(learned) or 'none of the measured ones'}; not trained on: "
            f"{', '.join(other) or 'none'}.",
        ],
        report=REPORT,
        sentences=sentences(compared, caps),
        tables=[
            table("With Toggle against without", HEADS, [row(name, one) for name, one in compared.items()]),
            table("By family", HEADS, [row(name, one) for name, one in by_family.items()]),
        ],
        panels=panels(lengths, by_family, learned, caps),
        figures={"compared": compared, "families": by_family, "caps": caps, "trained_on": learned},
    )  # fmt: skip


HEADS = ["families", "pairs", "right, %", "Toggle", "change", "tokens", "Toggle", "saved"]


def compare(asked: Asked, places: Sequence[str]) -> dict[str, Any]:
    """Some families under both arms: every pair of answers to the same problem, all seeds."""
    found = [pairs(_of(a, places), _of(b, places)) for a, b in zip(asked[WITHOUT], asked[WITH], strict=True)]
    accuracy = {arm: [mean(one[side].right_within(1e9) for one in seed) for seed in found] for side, arm in SIDES}
    tokens = {arm: [mean(one[side].tokens for one in seed) for seed in found] for side, arm in SIDES}
    items = of_items([float(b.right_within(1e9)) - float(a.right_within(1e9)) for seed in found for a, b in seed])
    saved = [1 - b / a for a, b in zip(tokens[WITHOUT], tokens[WITH], strict=True)]
    return {
        "pairs": sum(map(len, found)),
        "accuracy": accuracy,
        "tokens": tokens,
        "saved": saved,
        "items": {"mean": items.mean, "low": items.low, "high": items.high},
        "before": {
            "accuracy": [mean(a.right_within(1e9) for a in _of(one, places).values()) for one in asked[BEFORE]],
            "tokens": [mean(a.tokens for a in _of(one, places).values()) for one in asked[BEFORE]],
        },
    }


SIDES = ((0, WITHOUT), (1, WITH))


def _of(found: Mapping[tuple[str, str], Attempt], places: Iterable[str]) -> dict[tuple[str, str], Attempt]:
    wanted = set(places)
    return {key: one for key, one in found.items() if one.place in wanted and one.reward is not None}


def under_caps(seeds: Sequence[Mapping[tuple[str, str], Attempt]]) -> dict[str, list[float]]:
    """Accuracy within each number of tokens, one a seed."""
    judged = [[one for one in found.values() if one.reward is not None] for found in seeds]
    return {str(cap): [round(accuracy_within(one, cap), 4) for one in judged] for cap in CAPS}


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
    items = Difference(one["items"]["mean"], one["items"]["low"], one["items"]["high"], one["pairs"])
    before, whose = one["before"], "All families" if name == "all" else f"Families {name}"
    return (
        f"{whose}: {100 * saved.mean:.1f} % fewer tokens{spread}, {mean(one['tokens'][WITH]):.0f} instead of "
        f"{mean(one['tokens'][WITHOUT]):.0f}; accuracy {points(items, of='pairs')}. Before RL: "
        f"{mean(before['tokens']):.0f} tokens, {100 * mean(before['accuracy']):.1f} %."
    )


def scaling(caps: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Whether more tokens still help after Toggle, and whether as far as without it."""
    largest = str(CAPS[-1])
    by_cap = {arm: {cap: mean(seeds) for cap, seeds in of.items()} for arm, of in caps.items()}
    ahead = [cap for cap in map(str, CAPS) if by_cap[WITH][cap] >= by_cap[WITHOUT][cap] - LOST]
    _, outcome = risen(caps[WITH][str(CAPS[0])], caps[WITH][largest])
    kept = by_cap[WITH][largest] >= by_cap[WITHOUT][largest] - LOST
    low, high = ([100 * by_cap[arm][str(cap)] for arm in (WITH, WITHOUT)] for cap in (CAPS[0], CAPS[-1]))
    return (
        f"Scaling with tokens after Toggle: {outcome if kept else 'not shown'}; accuracy goes from {low[0]:.1f} % "
        f"within {CAPS[0]} tokens to {high[0]:.1f} % within {largest} (without Toggle {low[1]:.1f} % and "
        f"{high[1]:.1f} %); it is no worse than without at {len(ahead)} of {len(CAPS)} caps."
    )


def row(name: str, one: Mapping[str, Any]) -> list[str]:
    """Of a table."""
    accuracy, tokens = one["accuracy"], one["tokens"]
    return [
        name, f"{one['pairs']:,}", percent(accuracy[WITHOUT]), percent(accuracy[WITH]),
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
        for arm in (BEFORE, WITHOUT, WITH)
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
