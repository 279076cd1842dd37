"""Figure 2 of the report at small scale: visual RL from zero-vision SFT, held-out vision tasks over training.

    command      manyeyes reproduce fig2
    chain        tiny → tiny.sft (text alone) → tiny.vision_rl, for each seed
    measured     mean reward on held-out pictures of every kind of task, before, on the way and behind

A kind counts as risen where all seeds rise and the 95 % interval of the mean leaves out 0. What fine-tuning without
pictures has activated is read from the first measurement: how often the model calls a tool on a real picture.
Report: §2.2, §2.3, Figure 2.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_curves import Curve, curve, mean_curve
from manyeyes.recipes.reproduce.post_findings import listed, percent, points, risen, threshold
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.rl_parts import Measured

SFT, VISION = "tiny.sft", "tiny.vision_rl"
ENOUGH = 0.15
"""Rise of a domain's mean reward that the project asks for in three domains."""
DOMAINS_ENOUGH = 3
ACTIVATED = 0.5
"""Share of attempts at tool tasks that call the tool, before any RL."""
REPORT = (
    "Figure 2: visual RL from minimal zero-vision SFT; with more visual RL FLOPs performance continues to improve on "
    "vision benchmarks (curves only, no figures are printed).",
    "§2.2: zero-vision SFT is sufficient to activate vision capabilities, and generalises across modalities.",
)


def sft(scale: Scale, seed: int) -> Made | Path:
    """Fine-tuning without pictures: a run of the seed's own, or the finished one that all seeds start from."""
    return scale.fine_tuned or scale.tuned(SFT, seed)


def vision_rl(scale: Scale, seed: int) -> Made:
    """Visual RL from there."""
    return scale.reinforced(VISION, seed, sft(scale, seed))


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    return {("vision_rl", seed): vision_rl(scale, seed) for seed in range(scale.seeds)}


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the logs alone.

    Raises:
        DataError: a log lacks measurements.
    """
    runs, work = found.runs("vision_rl"), found.work("vision_rl")
    seen = seen_by(runs, work.measured)
    tools = [one.name for one in work.measured if one.place.world.get("tools", True)]
    called = {name: curve(runs, f"{name}/calls").first for name in tools}
    first = work.measured[0]
    return result(
        "fig2", "Visual RL from zero-vision SFT", found, scale,
        about=[
            f"{scale.seeds} seeds of the chain tiny, {SFT} (text alone, no picture), {VISION} ({work.steps} steps of "
            f"{work.groups} tasks x {work.attempts} attempts). Held-out pictures, mean reward of {first.count} tasks "
            f"of each kind at the ends and {first.quick} in between.",
        ],
        report=REPORT,
        sentences=[*sentences(seen), activation(called)],
        tables=[
            table("Held-out mean reward, %", ["kind", *HEADS], rows(seen.kinds | {"mean": seen.whole})),
            table("By domain, %", ["domain", *HEADS], rows(seen.domains)),
        ],
        panels=panels(seen),
        figures={
            "curves": {name: {"steps": one.steps, "seeds": one.seeds} for name, one in seen.kinds.items()},
            "domains": {name: one.seeds for name, one in seen.domains.items()},
            "called": called,
        },
    )  # fmt: skip


HEADS = ["before", "after", "rise", ""]


class Seen(NamedTuple):
    """Held-out rewards over training.

    Attributes:
        kinds: of tasks.
        domains: means of their kinds.
        whole: mean of all kinds.
    """

    kinds: dict[str, Curve]
    domains: dict[str, Curve]
    whole: Curve


def seen_by(runs: Sequence[RunFolder], measured: Sequence[Measured]) -> Seen:
    """From the logs of all seeds.

    Raises:
        DataError: a log lacks measurements.
    """
    kinds = {one.name: curve(runs, f"{one.name}/reward") for one in measured}
    members: defaultdict[str, list[Curve]] = defaultdict(list)
    for one in measured:
        members[one.place.domain].append(kinds[one.name])
    return Seen(kinds, {name: mean_curve(own) for name, own in members.items()}, mean_curve(list(kinds.values())))


def sentences(seen: Seen) -> list[str]:
    """What showed."""
    mean, outcome = risen(seen.whole.first, seen.whole.last)
    by_kind = {name: risen(one.first, one.last) for name, one in seen.kinds.items()}
    shown = [name for name, (_, how) in by_kind.items() if how == "shown"]
    fallen = [name for name, (difference, _) in by_kind.items() if difference.mean < 0]
    far = [name for name, one in seen.domains.items() if far_risen(one)]
    said = [
        f"Visual RL raises the mean reward over all kinds: {outcome}; {points(mean)}.",
        f"Rising in all seeds, beyond noise: {listed(shown)} ({len(shown)} of {len(by_kind)} kinds).",
        f"Rising by at least {100 * ENOUGH:.0f} points, in all seeds: the domains {listed(far)}, and "
        f"{sum(map(far_risen, seen.kinds.values()))} of {len(by_kind)} kinds; {DOMAINS_ENOUGH} domains are asked for: "
        f"{threshold(len(far) >= DOMAINS_ENOUGH, seeds=len(seen.whole.seeds))}.",
    ]
    return said + ([f"Lower than before: {listed(fallen)}."] if fallen else [])


def far_risen(one: Curve) -> bool:
    """Whether it rises far enough in the mean, and at all in every seed."""
    rises = [last - first for first, last in zip(one.first, one.last, strict=True)]
    return sum(rises) / len(rises) >= ENOUGH and min(rises) > 0


def activation(called: dict[str, list[float]]) -> str:
    """What fine-tuning without pictures has taught of calling tools on pictures."""
    if not called:
        return "No kind of task here has tools, so whether SFT without pictures activates them is not measured."
    shares = [value for values in called.values() for value in values]
    share = sum(shares) / len(shares)
    outcome = threshold(share >= ACTIVATED, seeds=min(map(len, called.values())))
    return (
        f"SFT without a picture makes the model call tools on real pictures: {outcome}; before RL it does so in "
        f"{100 * share:.0f} % of the attempts at tool tasks ({100 * ACTIVATED:.0f} % asked for; lowest kind and seed "
        f"{100 * min(shares):.0f} %)."
    )


def rows(curves: Mapping[str, Curve]) -> list[list[str]]:
    """A row for each."""
    found = []
    for name, one in curves.items():
        difference, outcome = risen(one.first, one.last)
        found.append([name, percent(one.first), percent(one.last), f"{100 * difference.mean:+.1f}", outcome])
    return found


def panels(seen: Seen) -> list[dict[str, Any]]:
    """The mean, and each kind."""
    return [
        panel(name, "RL steps", [one.series("mean of the seeds")], percent=True, y_range=(0.0, 1.0))
        for name, one in [("mean of all kinds", seen.whole), *seen.kinds.items()]
    ]
