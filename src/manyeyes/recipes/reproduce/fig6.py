"""Figure 6 of the report at small scale: the sub-agents that an orchestrator names, as a cloud of their roles.

    command      manyeyes reproduce fig6
    hardware     any; about half a minute of one core (--quick: a few seconds)
    runs         swarms on the tables of figure 8, a small table of every group of the world, and questions of figure 7
    measured     how many sub-agents were started in each role, from the journals

The names are those that the rules give. They show that roles are made at run time and are read from the journal; how
inventive they are says nothing about a trained orchestrator.
Report: §5.2, Figure 6.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manyeyes.core.journal import Event
from manyeyes.recipes.reproduce.fig_trials import Lane, Planned, Report, claim, finished, run_lanes, silent
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.session import SessionConfig
from manyeyes.swarm.world import DeepTask, WideTask, deep_tasks, group_tasks, wide_tasks, world_web


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the experiment is.

    Attributes:
        least: members of a group that gets a table.
        questions: of each kind.
    """

    least: int = 6
    questions: int = 1

    @property
    def identity(self) -> str:
        """Changes with what is run."""
        text = repr((asdict(self), [prompt for _, prompt, _ in asked(self)]))
        return hashlib.sha256(text.encode()).hexdigest()[:8]


QUICK = Scale(least=1000)
"""No table of every group."""


def asked(scale: Scale) -> list[tuple[str, str, str]]:
    """Name, words and step limits of every run."""
    wide: Sequence[WideTask] = (*wide_tasks(), *group_tasks(least=scale.least))
    deep: Sequence[DeepTask] = deep_tasks(each=scale.questions)
    return [
        *((task.id, task.query, "widesearch") for task in wide),
        *((task.id, task.problem, "browsecomp") for task in deep),
    ]


async def run(folder: Path, scale: Scale, *, report: Report = silent) -> dict[str, Any]:
    """Run what is not finished yet; returns the result."""
    claim(folder, "fig6", scale.identity)
    web = world_web()
    try:
        await run_lanes(folder, [Lane(web, [_planned(*one) for one in asked(scale)])], report=report)
    finally:
        await web.close()
    return results(folder, scale)


def _planned(name: str, prompt: str, preset: str) -> Planned:
    config = SessionConfig(prompt, model="rules", preset=preset)
    return Planned(name, config, lambda past: rule_model(past=past), answers=120.0, weight=1.0)


def results(folder: Path, scale: Scale) -> dict[str, Any]:
    """The whole result, from the journals alone.

    Raises:
        DataError: a run is not finished.
    """
    runs = [finished(_planned(*one).in_folder(folder))[0] for one in asked(scale)]
    roles = count_roles(event for events in runs for event in events)
    result = {
        "experiment": "fig6",
        "identity": scale.identity,
        "scale": asdict(scale),
        "runs": len(runs),
        "agents": sum(roles.values()),
        "most_at_once": max(_most_at_once(events) for events in runs),
        "roles": dict(sorted(roles.items(), key=lambda one: (-one[1], one[0]))),
    }
    return result | {"sentences": sentences(result)}


def count_roles(events: Iterable[Event]) -> Counter[str]:
    """Sub-agents by the name that their orchestrator gave them."""
    created = (event for event in events if event.kind == "agent.created")
    return Counter(event.data["role"] for event in created if event.data["role"])


def _most_at_once(events: Sequence[Event]) -> int:
    """Sub-agents that were alive at the same time."""
    alive = most = 0
    for event in events:
        if "/" in event.agent:
            alive += (event.kind == "agent.created") - (event.kind == "agent.finished")
            most = max(most, alive)
    return most


def sentences(result: dict[str, Any]) -> list[str]:
    """What showed."""
    first = next(iter(result["roles"]), "none")
    return [
        f"{result['runs']} runs created {len(result['roles'])} different roles and started {result['agents']} "
        f"sub-agents in them, up to {result['most_at_once']} at once; the commonest role is {first}.",
        "No role is defined beforehand: the rules name it after what the task is about and what is to be done.",
    ]
