"""A swarm's state folded from its events, and its lines in the terminal."""

import io

from rich.console import Console

from manyeyes.core.journal import Event
from manyeyes.view.swarm_state import SwarmState
from manyeyes.view.swarm_terminal import MOST_LINES, counters, shown, swarm_lines


def events(agents: int) -> list[Event]:
    """An orchestrator that started so many finders: the first is done, the second failed, the others are at work."""
    found: list[Event] = []

    def add(kind: str, agent: str = "main", time: float | None = None, **data) -> None:
        found.append(Event(len(found), kind, float(len(found)) if time is None else time, agent, (), data))

    add("run.started", "")
    add("agent.created", role="", task="t", prompt="all of it", call="")
    add("llm.started")
    add("llm.finished", usage=[10, 5, 0, 0.25], seconds=1.0)
    for number in range(agents):
        add("tool.started", place=f"a{number}", name="assign_task")
        add("agent.created", f"main/{number}", role="finder", task="t", prompt="a part", call=f"a{number}")
        add("llm.started", f"main/{number}")
    for number, stop in ((0, "done"), (1, "step_cap")):
        add("llm.finished", f"main/{number}", usage=[1, 1, 0, 0.0], seconds=1.0)
        outcome = {"stop": stop, "reason": "" if stop == "done" else "the limit of 2 steps"}
        add("agent.finished", f"main/{number}", outcome=outcome)
        add("tool.finished", place=f"a{number}", name="assign_task", seconds=1.0)
    return found


def test_the_state_is_a_fold_of_the_events() -> None:
    state = SwarmState.of(events(4))
    assert [agent.activity for agent in state.agents.values()] == [
        "delegating", "finished", "failed", "thinking", "thinking",
    ]  # fmt: skip
    assert state.alive == 3 and state.thinking == 2 and state.roles == {"finder": 4}
    assert state.usage.total == 19 and state.usage.cost == 0.25
    assert (state.steps.critical, state.steps.total) == (2, 3)
    main = state.agents["main"]
    assert main.calls == 2 and sorted(main.doing) == ["a2", "a3"] and main.depth == 0 and not main.stop


def test_a_resumed_agent_does_nothing_until_it_begins_again() -> None:
    state = SwarmState.of([*events(3), Event(99, "agent.resumed", 50.0, "main/2", (), {"messages": 2})])
    assert state.agents["main/2"].activity == "waiting" and state.agents["main/2"].alive


def test_the_counters_say_what_people_ask() -> None:
    said = counters(SwarmState.of(events(4)), now=100.0).plain
    for part in ("99 s", "4 sub-agents, 3 agents at work", "2 model calls", "steps 2 of 3", "19 tokens", "$0.25"):
        assert part in said


def test_many_agents_fit_and_those_at_work_come_first() -> None:
    state = SwarmState.of(events(60))
    chosen = shown(state)
    assert len(chosen) == MOST_LINES and all(agent.alive for agent in chosen)
    names = [agent.name for agent in shown(SwarmState.of(events(12)))]
    assert names == ["main", *(f"main/{number}" for number in range(12))]


def test_what_is_drawn_names_roles_tools_and_silence() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(swarm_lines(SwarmState.of(events(30)), now=200.0))
    drawn = console.export_text()
    assert "finder" in drawn and "assign_task" in drawn and "for 1" in drawn and "more agents" in drawn
