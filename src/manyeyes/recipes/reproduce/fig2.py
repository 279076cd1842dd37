"""Figure 2 of the report at small scale: visual RL from zero-vision SFT, held-out vision tasks over training.

    command      manyeyes reproduce fig2
    chain        tiny → tiny.sft (text alone) → tiny.vision_rl, the last for each seed
    measured     mean reward on held-out pictures of every kind of task: both models on the same, none left out
    curves       the run's own measurements, on the way; no verdict rests on them (`post_pictures`)

A kind counts as risen where all seeds rise and the 95 % interval of the mean leaves out 0. What fine-tuning without
pictures has activated is how often the fine-tuned model calls a tool on a real picture.
Report: §2.2, §2.3, Figure 2.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.post_curves import Curve, curve, mean_curve
from manyeyes.recipes.reproduce.post_findings import listed, percent, points, risen, threshold
from manyeyes.recipes.reproduce.post_pictures import (
    MEAN,
    VISION,
    ByName,
    by_domain,
    by_kind,
    looked,
    questions,
    with_tools,
)
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.reproduce.verdict import Difference, Outcome
from manyeyes.recipes.rl_parts import Measured

SFT = "tiny.sft"
RUN, BEFORE, AFTER = "vision_rl", "before", "after"
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
    """Fine-tuning without pictures: the one that all seeds start from, made or finished, or a run of the seed's own."""
    return scale.fine_tuned or scale.tuned(SFT, scale.tuning_seed(seed))


def vision_rl(scale: Scale, seed: int) -> Made:
    """Visual RL from there."""
    return scale.reinforced(VISION, seed, sft(scale, seed))


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    made: dict[tuple[str, int], Made] = {}
    for seed in range(scale.seeds):
        start, trained = sft(scale, seed), vision_rl(scale, seed)
        made[RUN, seed] = trained
        made[BEFORE, seed] = looked(scale, "seen-zero-vision-sft", seed, start)
        made[AFTER, seed] = looked(scale, "seen-vision-rl", seed, trained)
    return made


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the logs alone.

    Raises:
        DataError: a log lacks measurements.
    """
    runs, work, measured = found.runs(RUN), found.work(RUN), found.work(BEFORE).measured
    names = [one.name for one in measured]
    seen = seen_by({when: found.runs(when) for when in (BEFORE, AFTER)}, measured)
    curves = {name: curve(runs, f"{name}/reward") for name in names}
    called = by_kind(found.runs(BEFORE), with_tools(measured), "calls")
    return result(
        "fig2", "Visual RL from zero-vision SFT", found, scale,
        about=[
            f"tiny, then {SFT} (text alone, no picture), then {scale.seeds} seeds of {VISION} ({work.steps} steps of "
            f"{work.groups} tasks x {work.attempts} attempts). Tables and sentences: both models are asked the same "
            f"held-out pictures, {questions(found.runs(BEFORE), names)} tasks of each kind.",
            f"Curves: measurements of the run itself, {questions(runs, names, step=0)} tasks of each kind at the ends "
            "and fewer in between. Nothing that is said here rests on them.",
        ],
        report=REPORT,
        sentences=[*sentences(seen), activation(called)],
        tables=[
            table("Held-out mean reward, %", ["kind", *HEADS], rows(seen.kinds)),
            table("By domain, %", ["domain", *HEADS], rows(seen.domains)),
        ],
        panels=panels(curves),
        figures={
            "kinds": {name: one._asdict() for name, one in seen.kinds.items()},
            "domains": {name: one._asdict() for name, one in seen.domains.items()},
            "called": called,
            "curves": {name: {"steps": one.steps, "seeds": one.seeds} for name, one in curves.items()},
        },
    )  # fmt: skip


HEADS = ["before", "after", "rise", "95 % interval", ""]


class Rise(NamedTuple):
    """One number a seed, before and after."""

    before: list[float]
    after: list[float]

    @property
    def found(self) -> tuple[Difference, Outcome]:
        """By how much, and whether beyond noise."""
        return risen(self.before, self.after)

    @property
    def far(self) -> bool:
        """Whether it rises far enough in the mean, and at all in every seed."""
        each = [b - a for a, b in zip(self.before, self.after, strict=True)]
        return self.found[0].mean >= ENOUGH and min(each) > 0


class Seen(NamedTuple):
    """Held-out rewards of both models.

    Attributes:
        kinds: of tasks, and the mean of all.
        domains: means of their kinds.
    """

    kinds: dict[str, Rise]
    domains: dict[str, Rise]


def seen_by(runs: Mapping[str, Sequence[RunFolder]], measured: Sequence[Measured]) -> Seen:
    """From the measurements of both models.

    Raises:
        DataError: one lacks a kind.
    """
    kinds = {when: by_kind(own, [one.name for one in measured], "reward") for when, own in runs.items()}
    domains = {when: by_domain(own, measured) for when, own in kinds.items()}
    return Seen(_rises(kinds), _rises(domains))


def _rises(when: Mapping[str, ByName]) -> dict[str, Rise]:
    return {name: Rise(before, when[AFTER][name]) for name, before in when[BEFORE].items()}


def sentences(seen: Seen) -> list[str]:
    """What showed."""
    whole = seen.kinds[MEAN]
    kinds = {name: one for name, one in seen.kinds.items() if name != MEAN}
    shown = [name for name, one in kinds.items() if one.found[1] == "shown"]
    fallen = [name for name, one in kinds.items() if one.found[0].mean < 0]
    far = [f"{name} {points(one.found[0])}" for name, one in seen.domains.items() if one.far]
    said = [
        f"Visual RL raises the mean reward over all kinds: {whole.found[1]}; {points(whole.found[0])}.",
        f"Rising in all seeds, beyond noise: {listed(shown)} ({len(shown)} of {len(kinds)} kinds).",
        f"Rising by at least {100 * ENOUGH:.0f} points in the mean, and in all seeds: the domains {listed(far)}; and "
        f"{sum(one.far for one in kinds.values())} of {len(kinds)} kinds; {DOMAINS_ENOUGH} domains are asked for: "
        f"{threshold(len(far) >= DOMAINS_ENOUGH, seeds=len(whole.before))}.",
    ]
    return said + ([f"Lower than before: {listed(fallen)}."] if fallen else [])


def activation(called: ByName) -> str:
    """What fine-tuning without pictures has taught of calling tools on pictures."""
    if not called:
        return "No kind of task here has tools, so whether SFT without pictures activates them is not measured."
    share, each = sum(called[MEAN]) / len(called[MEAN]), [value for own in called.values() for value in own]
    return (
        f"SFT without a picture makes the model call tools on real pictures: "
        f"{threshold(share >= ACTIVATED, seeds=len(called[MEAN]))}; before RL it does so in {percent(called[MEAN])} % "
        f"of the attempts at tool tasks ({100 * ACTIVATED:.0f} % asked for; lowest kind and seed "
        f"{100 * min(each):.0f} %)."
    )


def rows(rises: Mapping[str, Rise]) -> list[list[str]]:
    """A row for each."""
    return [
        [name, percent(one.before), percent(one.after), f"{100 * one.found[0].mean:+.1f}", reach(one.found[0]),
         one.found[1]]
        for name, one in rises.items()
    ]  # fmt: skip


def reach(found: Difference) -> str:
    """An interval in points, for a table.

    Example:
        >>> reach(Difference(0.172, 0.15, 0.194, 3))
        '+15.0 to +19.4'
    """
    return "-" if found.seeds < 2 else f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"


def panels(curves: Mapping[str, Curve]) -> list[dict[str, Any]]:
    """The mean, and each kind."""
    whole = {"mean of all kinds": mean_curve(list(curves.values()))}
    return [
        panel(name, "RL steps", [one.series("mean of the seeds")], percent=True, y_range=(0.0, 1.0))
        for name, one in (whole | dict(curves)).items()
    ]
