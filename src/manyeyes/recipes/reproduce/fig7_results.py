"""What figure 7 tells: accuracy within a budget of critical steps, by arm, and the verdict in plain sentences.

Everything is read from the journals; nothing is remembered from the run.
Report: §5.2, Figure 7.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from manyeyes.recipes.reproduce.fig7_questions import ARMS, BUDGETS, STEPS_ALONE, Asked, Scale, questions
from manyeyes.recipes.reproduce.fig_trials import finished
from manyeyes.swarm.deep_grade import grade_deep
from manyeyes.swarm.session import figures


class Answered(NamedTuple):
    """How it went.

    Attributes:
        steps, total: critical steps, and those of all agents together.
    """

    asked: Asked
    correct: bool
    steps: int
    total: int
    agents: int
    stop: str


async def results(folder: Path, scale: Scale) -> dict[str, Any]:
    """The whole result, from the journals alone.

    Raises:
        DataError: a trial is not finished.
    """
    answered = [await _answered(folder, asked) for asked in questions(scale)]
    by_context = {
        context: _arms([one for one in answered if one.asked.context == context]) for context in scale.contexts
    }
    first = scale.contexts[0]
    result = {
        "experiment": "fig7",
        "identity": scale.identity,
        "scale": asdict(scale) | {"steps_alone": STEPS_ALONE},
        "questions": sum(one.asked.arm == "swarm" and one.asked.context == first for one in answered),
        "candidates": _range([one.asked.task.candidates for one in answered]),
        "budgets": list(BUDGETS),
        "arms": by_context[first],
        "contexts": {str(context): _short(arms) for context, arms in by_context.items()},
        "report": {"none": 60.6, "discard-all": 74.9, "swarm": 78.4},
    }
    return result | {"sentences": sentences(result)}


async def _answered(folder: Path, asked: Asked) -> Answered:
    events, outcome = finished(asked.planned.in_folder(folder))
    found, verdict = figures(events), await grade_deep(asked.task, outcome.text)
    return Answered(asked, verdict.correct, found.critical_steps, found.total_steps, found.agents, outcome.stop)


def _arms(answered: Sequence[Answered]) -> dict[str, Any]:
    return {arm: _arm([one for one in answered if one.asked.arm == arm]) for arm in ARMS}


def _arm(answered: Sequence[Answered]) -> dict[str, Any]:
    right = [one.steps for one in answered if one.correct]
    low, high = interval(len(right), len(answered))
    return {
        "questions": len(answered),
        "accuracy": round(len(right) / len(answered), 4),
        "low": low,
        "high": high,
        "within": {str(budget): round(accuracy_within(answered, budget), 4) for budget in BUDGETS},
        "critical_steps": round(mean(one.steps for one in answered), 2),
        "total_steps": round(mean(one.total for one in answered), 2),
        "agents": round(mean(one.agents for one in answered), 2),
        "stops": _counted(one.stop for one in answered),
        "curve": curve(right, len(answered)),
    }


def accuracy_within(answered: Sequence[Answered], budget: int) -> float:
    """Share that is answered rightly within a budget of critical steps."""
    return sum(one.correct and one.steps <= budget for one in answered) / len(answered)


def curve(right: Sequence[int], questions: int) -> dict[str, Sequence[float]]:
    """Critical steps at which the accuracy rises, and what it rises to.

    Example:
        >>> curve([30, 20, 30], 4)
        {'steps': [20, 30], 'accuracy': [0.25, 0.75]}
    """
    steps = sorted(set(right))
    return {"steps": steps, "accuracy": [round(sum(one <= at for one in right) / questions, 4) for at in steps]}


def interval(right: int, questions: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    Example:
        >>> interval(35, 70)
        (0.386, 0.614)
    """
    z, share = 1.96, right / questions
    middle = share + z * z / (2 * questions)
    reach = z * math.sqrt(share * (1 - share) / questions + z * z / (4 * questions**2))
    whole = 1 + z * z / questions
    return round((middle - reach) / whole, 4), round((middle + reach) / whole, 4)


def _short(arms: Mapping[str, Any]) -> dict[str, Any]:
    names = ("questions", "accuracy", "critical_steps", "total_steps")
    return {arm: {name: found[name] for name in names} for arm, found in arms.items()}


def _counted(stops: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for stop in stops:
        found[stop] = found.get(stop, 0) + 1
    return dict(sorted(found.items()))


def _range(values: Sequence[int]) -> list[int]:
    return [min(values), max(values)]


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What showed, with the figures it rests on."""
    arms = result["arms"]
    swarm, discard, none = arms["swarm"], arms["discard-all"], arms["none"]
    found = [
        f"Accuracy in the end: none {_share(none)}, discard-all {_share(discard)} (up to {STEPS_ALONE} steps), swarm "
        f"{_share(swarm)}. The report, on BrowseComp: 60.6 %, 74.9 % and 78.4 %.",
        _race_sentence(swarm, discard),
        f"Mean critical steps: swarm {swarm['critical_steps']:.0f}, discard-all {discard['critical_steps']:.0f}. "
        f"A swarm works more to be done sooner: {swarm['total_steps']:.0f} steps of all agents together.",
    ]
    return found if len(result["contexts"]) == 1 else [*found, _context_sentence(result["contexts"])]


def _race_sentence(swarm: Mapping[str, Any], discard: Mapping[str, Any]) -> str:
    if not swarm["curve"]["steps"]:
        return "The swarm answered no question rightly."
    last = swarm["curve"]["steps"][-1]
    points = zip(discard["curve"]["steps"], discard["curve"]["accuracy"], strict=True)
    same = next((at for at, share in points if share >= swarm["accuracy"]), None)
    return (
        f"The swarm's last right answer came after {last} critical steps; within as many, discard-all had answered "
        f"{100 * _at(discard, last):.0f} % rightly. Discard-all was "
        + (f"as accurate as the swarm after {same}." if same else f"not as accurate within its {STEPS_ALONE} steps.")
    )


def _context_sentence(contexts: Mapping[str, Any]) -> str:
    told = (
        f"{context:,} tokens {100 * of['discard-all']['accuracy']:.0f} % / {100 * of['swarm']['accuracy']:.0f} %"
        for context, of in sorted((int(context), of) for context, of in contexts.items())
    )
    return (
        f"Accuracy in the end of discard-all / swarm by size of the context: {', '.join(told)}. Where the candidates "
        f"of a sub-agent do not fit its context, what it found is lost."
    )


def _share(arm: Mapping[str, Any]) -> str:
    return f"{100 * arm['accuracy']:.0f} % ({100 * arm['low']:.0f} to {100 * arm['high']:.0f})"


def _at(arm: Mapping[str, Any], steps: int) -> float:
    points = zip(arm["curve"]["steps"], arm["curve"]["accuracy"], strict=True)
    return max((share for at, share in points if at <= steps), default=0.0)
