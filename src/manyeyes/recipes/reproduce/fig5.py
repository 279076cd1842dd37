"""Figure 5 of the report at small scale: accuracy and tokens with Toggle and without, on families old and new.

    command      manyeyes reproduce fig5
    chain        tiny → tiny.sft → tiny.toggle, and the same run without Toggle; same seeds, tasks and steps
    measured     held-out problems of every family and level, reasoned at temperature 1; both models get the same ones
    with Toggle  the run's model, which is that of the end of its last brief phase
    without      the same run with budgets that never hold, and the model of its end: as many steps at the same rates
    scaling      accuracy under caps of tokens, both models as the last unconstrained phase ends, and at the hardest
                 level, both at the end (`fig5_scaling`)

Report: §4.4.2 (token efficient RL), Figure 5.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from manyeyes.core.errors import ConfigError
from manyeyes.data.synthesis.thinking_families import LEVELS, families
from manyeyes.recipes.reproduce.fig2 import sft
from manyeyes.recipes.reproduce.fig5_pairs import (
    BEFORE,
    CAPS,
    WITH,
    WITHOUT,
    Asked,
    Question,
    by_seed,
    compare,
    over_questions,
    questions_of,
)
from manyeyes.recipes.reproduce.fig5_scaling import FREE, THEN, Capped, capped, sentence
from manyeyes.recipes.reproduce.post_attempts import Attempt, attempts
from manyeyes.recipes.reproduce.post_curves import Curve, curve
from manyeyes.recipes.reproduce.post_findings import percent, points, spread, threshold
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, Made, Plan
from manyeyes.recipes.reproduce.post_scale import SEEDS, Scale
from manyeyes.recipes.reproduce.verdict import interval
from manyeyes.recipes.rl_kept import UNCONSTRAINED
from manyeyes.recipes.rl_parts import Measured, PlaceSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.rl.toggle import ToggleRule

TOGGLE = "tiny.toggle"
ASKED = 33_600
"""Paired items over all families and three seeds, at least; more seeds make more of them.

The difference in accuracy of the models that are there has a standard error of 0.3 points over so many; over an eighth
of them it has 0.8, nearly the point that is asked about. How the seeds differ comes on top of either.
"""
LESS, LOST = 0.25, 0.01
"""Tokens that Toggle is to save, and accuracy that it may cost."""
NEVER = 2.0
"""Mean reward from which budgets hold in the run without Toggle: no task reaches it."""
WINDOW = 4
CAPPED = (BEFORE, THEN, WITH, FREE)
"""Arms whose accuracy under caps of tokens is read."""
NAMES = {BEFORE: "before", WITH: "with", WITHOUT: "without", FREE: "with-free", THEN: "without-free"}
"""Of measurements, as folders have them; free: the model that the last unconstrained phase leaves."""
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
            WITHOUT: scale.reinforced(TOGGLE, seed, start, label="without-toggle", toggle=unbudgeted(scale)),
        }
        made |= {(f"run {arm}", seed): run for arm, run in arms.items()}
        ends = [(BEFORE, start, MODEL_FOLDER), *((arm, run, MODEL_FOLDER) for arm, run in arms.items())]
        free = [(FREE, arms[WITH], UNCONSTRAINED), (THEN, arms[WITHOUT], UNCONSTRAINED)]
        for arm, run, which in (*ends, *free):
            made[arm, seed] = scale.measuring(
                f"thoughts-{NAMES[arm]}", seed, run, measured=asked, context=4096, which=which
            )
    return made


def unbudgeted(scale: Scale) -> ToggleRule:
    """Toggle whose budgets never hold: it leaves all rewards as they are, and is measured in full at the same steps.

    Raises:
        ConfigError: the recipe has no Toggle.
    """
    rule = scale.shortened(TOGGLE).toggle
    if rule is None:
        raise ConfigError(f"{TOGGLE}: expected budgets to leave out, and it has none (toggle=null)")
    return replace(rule, threshold=NEVER)


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
    asked: Asked = {arm: [attempts(run) for run in found.runs(arm)] for arm in NAMES}
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
    caps = {arm: capped(asked[arm]) for arm in CAPPED}
    whole = compared["all"]
    return result(
        "fig5", "Accuracy and tokens with Toggle and without", found, scale,
        about=[
            f"{scale.seeds} seeds of {TOGGLE} ({run.steps} steps of {run.groups} tasks x {run.attempts} attempts, "
            f"phases of {run.toggle.every if run.toggle else 0} steps) and of the same run with budgets that never "
            f"hold. Both: the model after step {run.steps}, where the last brief phase ends, as far along the same "
            f"schedule; under caps of tokens: after step {run.unconstrained_step}, where the last unconstrained phase "
            f"ends. {whole['pairs']:,} pairs of answers to the same held-out problems at temperature "
            f"{work.temperature:g}, {whole['questions']:,} distinct questions ({whole['items']['clusters']:,} counted "
            f"once a seed). Trained on: {', '.join(learned) or 'none of these families'}; not trained on: "
            f"{', '.join(other) or 'none'}.",
            "How scaling is read was changed after a first run of three seeds, and how many pairs there are after a "
            "second: README.md here says what was asked for before, and what came out.",
        ],
        report=REPORT,
        sentences=sentences(compared, caps, list(by_level.values())),
        tables=[
            table("With Toggle against without", HEADS, [row(name, one) for name, one in compared.items()]),
            table("By family", HEADS, [row(name, one) for name, one in by_family.items()]),
            table("By level of difficulty", HEADS, [row(name, one) for name, one in by_level.items()]),
        ],
        panels=panels(lengths, by_family, learned, caps),
        figures={"compared": compared, "families": by_family, "levels": by_level, "trained_on": learned,
                 "caps": {arm: one._asdict() for arm, one in caps.items()}},
    )  # fmt: skip


HEADS = ["families", "pairs", "questions", "right, %", "Toggle", "change", "tokens", "Toggle", "saved"]


def _of(places: Iterable[str]) -> Callable[[Attempt], bool]:
    wanted = set(places)
    return lambda one: one.place in wanted


def _at(level: int, questions: Mapping[str, Question]) -> Callable[[Attempt], bool]:
    return lambda one: questions[one.task_id].level == level


def sentences(
    compared: Mapping[str, Any], caps: Mapping[str, Capped], levels: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What showed."""
    said = [brevity(name, one) for name, one in compared.items()]
    whole = compared["all"]
    both = mean(whole["saved"]) >= LESS and whole["items"]["mean"] >= -LOST
    said.insert(
        0,
        f"Toggle saves at least {100 * LESS:.0f} % of the tokens at no more than {100 * LOST:.0f} point of accuracy: "
        f"{threshold(both and min(whole['saved']) > 0, seeds=len(whole['saved']))}; it saves "
        f"{spread(interval(whole['saved']), digits=1)}, accuracy {by_seed(whole)}.",
    )
    return [*said, sentence(caps, levels)]


def brevity(name: str, one: Mapping[str, Any]) -> str:
    """Tokens and accuracy of some families."""
    saved = interval(one["saved"])
    spread = f" (95 % interval {100 * saved.low:.0f} to {100 * saved.high:.0f})" if saved.seeds > 1 else " (one seed)"
    before, whose = one["before"], "All families" if name == "all" else f"Families {name}"
    return (
        f"{whose}: {100 * saved.mean:.1f} % fewer tokens{spread}, {mean(one['tokens'][WITH]):.0f} instead of "
        f"{mean(one['tokens'][WITHOUT]):.0f}; accuracy {points(over_questions(one), of='questions')}, {by_seed(one)}. "
        f"Before RL: {mean(before['tokens']):.0f} tokens, {100 * mean(before['accuracy']):.1f} %."
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
    caps: Mapping[str, Capped],
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
    within = [
        {"name": arm, "xs": list(CAPS), "ys": [round(mean(caps[arm].right[str(cap)]), 4) for cap in CAPS]}
        for arm in CAPPED
    ]
    return [
        panel(
            "Tokens of an answer in training",
            "RL steps",
            [lengths[arm].smoothed(WINDOW).series(arm) for arm in lengths],
        ),
        panel("Tokens by family (*: not trained on)", "", tokens, **axis),
        panel("Accuracy by family (*: not trained on)", "", right, percent=True, y_range=(0.0, 1.0), **axis),
        panel("Accuracy within a cap of tokens", "tokens", within, percent=True, y_range=(0.0, 1.0)),
    ]
