"""Zero-vision against text-vision SFT at small scale, before and after the same visual RL (§2.2 of the report).

    command      manyeyes reproduce sft
    arms         zero-vision: image operations as code and what it printed, no picture shown; text-vision: the same
                 conversations with their pictures
    chain        tiny → one of the two → tiny.vision_rl without its blind filter, for each seed; same tasks, same steps

The blind filter leaves out what the model that a run starts from solves without looking: two starts would learn from
two sets of tasks. Here both arms keep all of them.
Fine-tuning is compared at equal steps and equal tokens. The tokens of pictures are among them, so the arm that shows
them sees fewer conversations. In both arms the language model alone is trained; tower and projector keep their weights.

Report: §2.2 (zero-vision SFT; preliminary experiments with text-vision SFT).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder, RunFolderError
from manyeyes.data.mixture import Mixture, Segment
from manyeyes.recipes.reproduce.fig2 import SFT, reach, sft
from manyeyes.recipes.reproduce.post_curves import Curve, curve, mean_curve
from manyeyes.recipes.reproduce.post_findings import percent, points, risen
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_pictures import MEAN, VISION, ByName, by_kind, looked, questions, with_tools
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run
from manyeyes.train.stages import Stage

ZERO, TEXT_VISION = "zero-vision", "text-vision"
ARMS = (ZERO, TEXT_VISION)
BEFORE, AFTER = "before RL", "after RL"
SWAPPED = {"sft/zero_vision": "sft/text_vision"}
"""Sources of zero-vision fine-tuning, and the same conversations with their pictures."""
ONE_OF_EACH = (
    "There is one model of each kind of fine-tuning, so intervals before RL are those of questions, and after it of RL "
    "as well: they tell of these two models, and nothing of others that were tuned so."
)
REPORT = (
    "§2.2: compared to zero-vision SFT, preliminary experiments show that text-vision SFT yields much worse "
    "performance on visual, agentic tasks, possibly because of the lack of high-quality vision data (no figures are "
    "printed).",
)


def plan(scale: Scale) -> Plan:
    """What has to be run."""
    made: dict[tuple[str, int], Made] = {}
    for seed in range(scale.seeds):
        starts = {ZERO: sft(scale, seed), TEXT_VISION: text_vision(scale, seed)}
        for arm in ARMS:
            trained = scale.reinforced(VISION, seed, starts[arm], label=f"{arm}-rl", blind=None)
            made[arm, seed] = trained
            made[f"{arm} {BEFORE}", seed] = looked(scale, f"seen-{arm}-sft", seed, starts[arm])
            made[f"{arm} {AFTER}", seed] = looked(scale, f"seen-{arm}-rl", seed, trained)
    return made


def text_vision(scale: Scale, seed: int) -> Made:
    """Fine-tuning with the pictures: the same steps, and the same share of the tokens for each kind of conversation.

    Where all seeds start from one zero-vision fine-tuning there is one with pictures, too, of that run's configuration.
    """
    given = None if scale.fine_tuned is None else zero_vision_run(scale.fine_tuned)
    run: Run = given or scale.recipes(SFT)
    stages = tuple(_showing(stage) for stage in run.stages)
    if stages == run.stages:
        raise ConfigError(f"zero-vision SFT must draw from {' or '.join(SWAPPED)}, and no stage of {run.name} does")
    own_seed = given.seed if given else scale.tuning_seed(seed)
    return scale.tuned(SFT, own_seed, label="text-vision-sft", run=run, stages=stages)


def zero_vision_run(model: Path) -> Run:
    """The configuration of the finished fine-tuning that a model comes from.

    Raises:
        ConfigError: it comes from no run of zero-vision fine-tuning.
    """
    try:
        run = Run.from_json(RunFolder.open(model.parent).config())
    except (RunFolderError, ConfigError) as error:
        raise ConfigError(
            f"--start {model}: what this model was taught is read from its run, so it has to lie in the folder of its "
            f"run of {SFT}: {error}"
        ) from None
    if run.name != SFT:
        raise ConfigError(f"--start {model}: expected a run of {SFT}, this is one of {run.name}")
    return run


def _showing(stage: Stage) -> Stage:
    """The stage with pictures; one that has no conversation about any stays as it is."""
    drawn = {name for segment in stage.mixture.segments for name in segment.weights}
    return dataclasses.replace(stage, mixture=with_pictures(stage.mixture)) if drawn & SWAPPED.keys() else stage


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
    """The whole result: figures from the measurements, which ask both arms the same; curves from the runs."""
    work: Measuring = found.work(f"{ZERO} {BEFORE}")
    names, tools = [one.name for one in work.measured], with_tools(work.measured)
    asked = {(arm, when): found.runs(f"{arm} {when}") for arm in ARMS for when in WHEN}
    rewards = {key: by_kind(runs, names, "reward") for key, runs in asked.items()}
    called = {key: by_kind(runs, tools, "calls")[MEAN] for key, runs in asked.items()} if tools else {}
    curves = {arm: {name: curve(found.runs(arm), f"{name}/reward") for name in names} for arm in ARMS}
    run: RlRun = found.work(ZERO)
    return result(
        "sft", "Zero-vision against text-vision SFT", found, scale,
        about=[
            f"{scale.seeds} seeds. Both arms take the same steps and tokens of fine-tuning, conversations with and "
            f"without their pictures, and the same {run.steps} steps of visual RL. The tokens of pictures are among "
            "those of fine-tuning, so the arm that shows them sees fewer conversations; the language model alone is "
            "fine-tuned in both. RL runs without the recipe's blind filter, which would leave out other tasks in "
            "either arm: both learn from the same tasks and are asked the same held-out ones, "
            f"{questions(asked[ZERO, BEFORE], names)} of each kind for the tables.",
            *([] if scale.tune_each else [ONE_OF_EACH]),
        ],
        report=REPORT,
        sentences=[
            *(difference_sentence(when, rewards) for when in WHEN), *(gain_sentence(arm, rewards) for arm in ARMS),
            *call_sentences(called),
        ],
        tables=[table("Held-out mean reward, %", HEADS, rows(rewards))],
        panels=panels(curves, names),
        figures={f"{arm} {when}": one for (arm, when), one in rewards.items()}
        | {"curves": {arm: {name: one.seeds for name, one in of.items()} for arm, of in curves.items()}},
    )  # fmt: skip


WHEN = (BEFORE, AFTER)
Rewards = dict[tuple[str, str], ByName]
"""By arm and when."""
HEADS = ["kind", "zero, SFT", "text, SFT", "zero, RL", "text, RL", "zero - text", "95 % interval", ""]


def rows(rewards: Rewards) -> list[list[str]]:
    """A row a kind, the mean last."""
    found = []
    for name in rewards[ZERO, AFTER]:
        difference, outcome = risen(rewards[TEXT_VISION, AFTER][name], rewards[ZERO, AFTER][name])
        cells = [percent(rewards[arm, when][name]) for when in WHEN for arm in ARMS]
        found.append([name, *cells, f"{100 * difference.mean:+.1f}", reach(difference), outcome])
    return found


def difference_sentence(when: str, rewards: Rewards) -> str:
    """Zero-vision against text-vision."""
    difference, outcome = risen(rewards[TEXT_VISION, when][MEAN], rewards[ZERO, when][MEAN])
    worse = outcome == "not shown" and difference.high < 0
    return (
        f"Zero-vision SFT is better than text-vision SFT {when}: {outcome}; {points(difference)} in the mean of all "
        f"kinds{'; it is the other way round, beyond noise' if worse else ''}."
    )


def gain_sentence(arm: str, rewards: Rewards) -> str:
    """What RL brought."""
    difference, outcome = risen(rewards[arm, BEFORE][MEAN], rewards[arm, AFTER][MEAN])
    return f"Visual RL after {arm} SFT: {points(difference)}; rise {outcome}."


def call_sentences(called: Mapping[tuple[str, str], list[float]]) -> list[str]:
    """How often tools are called where there are some."""
    told = [
        f"{arm} {percent(called[arm, BEFORE])} % before and {percent(called[arm, AFTER])} % after RL"
        for arm in ARMS
        if called
    ]
    return [f"Attempts at tool tasks that call a tool: {'; '.join(told)}."] if told else []


def panels(curves: Mapping[str, Mapping[str, Curve]], names: Sequence[str]) -> list[dict[str, Any]]:
    """The mean, and each kind, over training."""
    whole = {"mean of all kinds": {arm: mean_curve(list(of.values())) for arm, of in curves.items()}}
    each = {name: {arm: of[name] for arm, of in curves.items()} for name in names}
    return [
        panel(title, "RL steps", [one.series(arm) for arm, one in of.items()], percent=True, y_range=(0.0, 1.0))
        for title, of in (whole | each).items()
    ]
