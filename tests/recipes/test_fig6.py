"""Figure 6: roles are counted from journals, as orchestrators named them."""

import asyncio
from pathlib import Path

from manyeyes.core.journal import Event, read
from manyeyes.recipes.reproduce import fig6


def test_every_sub_agent_counts_once_in_its_role(tmp_path: Path) -> None:
    result = asyncio.run(fig6.run(tmp_path, fig6.QUICK))
    journals = [read(path.parent).events for path in tmp_path.glob("*/events.jsonl")]
    assert len(journals) == result["runs"] == 15
    created = [event for events in journals for event in events if event.kind == "agent.created"]
    assert sum(result["roles"].values()) == result["agents"] == len(created) - len(journals)
    specified = {
        event.data["result"]["data"]["create_subagent"]["name"]
        for events in journals
        for event in events
        if event.kind == "tool.finished" and event.data["name"] == "create_subagent"
    }
    assert set(result["roles"]) == specified and len(specified) >= 12
    assert list(result["roles"].values()) == sorted(result["roles"].values(), reverse=True)
    assert 4 <= result["most_at_once"] <= 16


def test_main_agents_have_no_role() -> None:
    told = [("main", ""), ("main/0", "Checker"), ("main/1", "Checker"), ("main/2", "Researcher")]
    events = [Event(n, "agent.created", 0.0, agent, (), {"role": role}) for n, (agent, role) in enumerate(told)]
    assert fig6.count_roles(events) == {"Checker": 2, "Researcher": 1}


def test_the_whole_experiment_asks_about_every_larger_group() -> None:
    names = [name for name, _, _ in fig6.asked(fig6.Scale())]
    assert len(set(names)) == len(names) > 60
