"""Zero-vision against text-vision SFT at small scale, before and after the same visual RL (§2.2 of the report).

    command      manyeyes reproduce sft
    arms         zero-vision: image operations as code and what it printed, no picture shown; text-vision: the same
                 conversations with their pictures
    chain        tiny → one of the two → tiny.vision_rl, for each seed; same tasks, steps and tokens

Report: §2.2 (zero-vision SFT; preliminary experiments with text-vision SFT).
"""

import dataclasses
from typing import Any

from manyeyes.core.errors import ConfigError
from manyeyes.data.mixture import Mixture, Segment
from manyeyes.recipes.reproduce.fig2 import SFT, VISION, vision_rl
from manyeyes.recipes.reproduce.post_curves import Curve, curve, mean_curve
from manyeyes.recipes.reproduce.post_findings import percent, points, risen
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.run import Run

ZERO, TEXT_VISION = "zero-vision", "text-vision"
SWAPPED = {"sft/zero_vision": "sft/text_vision"}
"""Sources of zero-vision fine-tuning, and the same conversations with their pictures."""
REPORT = (
    "§2.2: compared to zero-vision SFT, preliminary experiments show that text-vision SFT yields much worse "
    "performance on visual, agentic tasks, possibly because of the lack of high-quality vision data (no figures are "
    "printed).",
)


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    made: dict[tuple[str, int], Made] = {}
    for seed in range(scale.seeds):
        made[ZERO, seed] = vision_rl(scale, seed)
        made[TEXT_VISION, seed] = scale.reinforced(VISION, seed, text_vision(scale, seed), label="text-vision-rl")
    return made


def text_vision(scale: Scale, seed: int) -> Made:
    """Fine-tuning with the pictures; the same number of steps, and the same share of each kind of conversation."""
    run: Run = scale.recipes(SFT)
    stages = tuple(dataclasses.replace(stage, mixture=with_pictures(stage.mixture)) for stage in run.stages)
    made = scale.tuned(SFT, seed, stages=stages)
    return dataclasses.replace(made, label=f"text-vision-sft {seed}")


def with_pictures(mixture: Mixture) -> Mixture:
    """A mixture whose zero-vision conversations show their pictures; their share of the draws stays.

    Raises:
        ConfigError: there are none in it.
    """
    return dataclasses.replace(mixture, segments=tuple(_with_pictures(one) for one in mixture.segments))


def _with_pictures(segment: Segment) -> Segment:
    whole = sum(segment.weights.values())
    swapped = sum(weight for name, weight in segment.weights.items() if name in SWAPPED)
    if not swapped or segment.vision:
        raise ConfigError(
            f"the mixture of zero-vision SFT must hold {' or '.join(SWAPPED)} and no vision, got "
            f"{', '.join(segment.weights)} at a vision ratio of {segment.vision:g}"
        )
    weights = {SWAPPED.get(name, name): weight for name, weight in segment.weights.items()}
    return dataclasses.replace(segment, vision=round(swapped / whole, 6), weights=weights)


def results(found: Finished, scale: Scale) -> dict[str, Any]:
    """The whole result, from the logs alone."""
    work = found.work(ZERO)
    names = [one.name for one in work.measured]
    by_arm = {arm: {name: curve(found.runs(arm), f"{name}/reward") for name in names} for arm in (ZERO, TEXT_VISION)}
    means = {arm: mean_curve(list(curves.values())) for arm, curves in by_arm.items()}
    tools = [one.name for one in work.measured if one.place.world.get("tools", True)]
    called = {arm: [curve(found.runs(arm), f"{name}/calls") for name in tools] for arm in by_arm}
    whole = by_arm[ZERO] | {"mean": means[ZERO]}, by_arm[TEXT_VISION] | {"mean": means[TEXT_VISION]}
    return result(
        "sft", "Zero-vision against text-vision SFT", found, scale,
        about=[
            f"{scale.seeds} seeds. Both arms take the same steps of fine-tuning on the same conversations, with and "
            f"without their pictures, and the same {work.steps} steps of visual RL.",
        ],
        report=REPORT,
        sentences=[
            difference_sentence("before RL", means, first=True), difference_sentence("after RL", means, first=False),
            *(gain_sentence(arm, one) for arm, one in means.items()), *call_sentences(called),
        ],
        tables=[table("Held-out mean reward, %", HEADS, rows(*whole))],
        panels=[
            panel("Mean of all kinds", "RL steps", [one.series(arm) for arm, one in means.items()], percent=True,
                  y_range=(0.0, 1.0)),
            *(panel(name, "RL steps", [by_arm[arm][name].series(arm) for arm in by_arm], percent=True,
                    y_range=(0.0, 1.0)) for name in names),
        ],
        figures={arm: {name: one.seeds for name, one in curves.items()} for arm, curves in by_arm.items()},
    )  # fmt: skip


HEADS = ["kind", "zero, SFT", "text, SFT", "zero, RL", "text, RL", "zero - text", ""]


def rows(zero: dict[str, Curve], other: dict[str, Curve]) -> list[list[str]]:
    """A row a kind, the mean last."""
    found = []
    for name, one in zero.items():
        difference, outcome = risen(other[name].last, one.last)
        found.append(
            [name, percent(one.first), percent(other[name].first), percent(one.last), percent(other[name].last),
             f"{100 * difference.mean:+.1f}", outcome]
        )  # fmt: skip
    return found


def difference_sentence(when: str, means: dict[str, Curve], *, first: bool) -> str:
    """Zero-vision against text-vision."""
    zero, other = (one.first if first else one.last for one in (means[ZERO], means[TEXT_VISION]))
    difference, outcome = risen(other, zero)
    worse = outcome == "not shown" and difference.high < 0
    return (
        f"Zero-vision SFT is better than text-vision SFT {when}: {outcome}; {points(difference)} in the mean of all "
        f"kinds{'; it is the other way round, beyond noise' if worse else ''}."
    )


def gain_sentence(arm: str, one: Curve) -> str:
    """What RL brought."""
    difference, outcome = risen(one.first, one.last)
    return f"Visual RL after {arm} SFT: {points(difference)}; rise {outcome}."


def call_sentences(called: dict[str, list[Curve]]) -> list[str]:
    """How often tools are called where there are some."""
    told = []
    for arm, curves in called.items():
        if curves:
            one = mean_curve(curves)
            told.append(f"{arm} {percent(one.first)} % before and {percent(one.last)} % after RL")
    return [f"Attempts at tool tasks that call a tool: {'; '.join(told)}."] if told else []
