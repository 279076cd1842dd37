"""A swarm's state folded from its events, and its lines in the terminal."""

import io

from rich.console import Console

from manyeyes.agent.limiter import Limiter
from manyeyes.core.journal import Event
from manyeyes.swarm.session import figures
from manyeyes.view.swarm_page_fake import fake_events
from manyeyes.view.swarm_state import SwarmState
from manyeyes.view.swarm_terminal import MOST_LINES, MOST_MARKS, counters, grid, shown, swarm_lines


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
        add("tool.started", place=f"0.{number}", name="assign_task")
        add("agent.created", f"main/{number}", role="finder", task="t", prompt="a part", call=f"0.{number}")
        add("llm.started", f"main/{number}")
    for number, stop in ((0, "done"), (1, "step_cap")):
        add("llm.finished", f"main/{number}", usage=[1, 1, 0, 0.0], seconds=1.0)
        outcome = {"stop": stop, "reason": "" if stop == "done" else "the limit of 2 steps"}
        add("agent.finished", f"main/{number}", outcome=outcome)
        add("tool.finished", place=f"0.{number}", name="assign_task", seconds=1.0)
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
    assert main.calls == 2 and sorted(main.doing) == ["0.2", "0.3"] and main.depth == 0 and not main.stop


def test_a_resumed_agent_does_nothing_until_it_begins_again() -> None:
    state = SwarmState.of([*events(3), Event(99, "agent.resumed", 50.0, "main/2", (), {"messages": 2})])
    assert state.agents["main/2"].activity == "waiting" and state.agents["main/2"].alive


def test_an_agents_time_stands_still_with_its_run() -> None:
    found = events(3)
    late = found[-1].time
    state = SwarmState.of(
        [*found, Event(99, "run.resumed", late + 1000.0), Event(100, "agent.resumed", late + 1000.0, "main")]
    )
    before = SwarmState.of(found)
    for name in ("main", "main/0", "main/2"):
        assert state.agents[name].seconds(late + 1007.0) == before.agents[name].seconds(late + 7.0)


def test_the_counters_say_what_people_ask() -> None:
    said = counters(SwarmState.of(events(4)), now=100.0).plain
    for part in (
        "99 s",
        "4 sub-agents, 3 agents at work",
        "2 model calls",
        "steps 2 of 3",
        "12 tokens in, 7 out",
        "$0.25",
    ):
        assert part in said


def test_many_agents_fit_and_those_at_work_come_first() -> None:
    state = SwarmState.of(events(60))
    chosen = shown(state)
    assert len(chosen) == MOST_LINES and all(agent.alive for agent in chosen)
    state.agents["main"].since = 0.0  # has waited for the others the longest
    assert shown(state)[0].name == "main"
    names = [agent.name for agent in shown(SwarmState.of(events(12)))]
    assert names == ["main", *(f"main/{number}" for number in range(12))]


def test_what_is_drawn_names_roles_tools_and_silence() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(swarm_lines(SwarmState.of(events(30)), now=200.0))
    drawn = console.export_text()
    assert "finder" in drawn and "assign_task" in drawn and "for 1" in drawn and "more agents" in drawn


def test_the_speed_up_is_that_of_the_sessions_figures() -> None:
    journal = fake_events(30, rounds=2, seed=4)
    state = SwarmState.of(journal)
    assert state.speed_up(now=0.0) == figures(journal).speed_up > 5
    assert f"x{figures(journal).speed_up:.1f} faster" in counters(state, now=0.0).plain
    assert "faster" not in counters(SwarmState.of(events(4)), now=100.0).plain


def test_time_that_the_run_stood_still_is_not_its_own() -> None:
    journal = [
        Event(0, "run.started", 100.0),
        Event(1, "run.paused", 110.0, data={"reason": "no money"}),
        Event(2, "run.continued", 140.0),
        Event(3, "run.resumed", 190.0),
        Event(4, "run.finished", 200.0, data={"stop": "done"}),
    ]
    assert SwarmState.of(journal).seconds(now=500.0) == 20.0 == figures(journal[:3]).seconds + 10.0
    held = SwarmState.of(journal[:2])
    assert held.seconds(now=500.0) == 10.0 and "paused: no money" in counters(held, now=500.0).plain


def test_an_agent_that_the_endpoint_failed_is_at_work_again_when_the_run_is_resumed() -> None:
    again = [*events(4), Event(90, "agent.resumed", 90.0, "main/1", (), {"messages": 3})]
    assert not SwarmState.of(events(4)).agents["main/1"].alive and SwarmState.of(again).agents["main/1"].alive


def test_calls_that_the_limiter_holds_back_are_told() -> None:
    limiter = Limiter(2)
    assert "waiting" not in counters(SwarmState.of(events(4)), now=9.0, limiter=limiter).plain
    limiter.pause("no money")
    assert "0 waiting: out of quota" in counters(SwarmState.of(events(4)), now=9.0, limiter=limiter).plain


def test_many_agents_are_a_grid_of_marks_and_agents_of_one_answer_stand_under_their_round() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(swarm_lines(SwarmState.of(events(40)), now=9.0))
    drawn = console.export_text()
    assert "▶✔✘●●●●" in drawn and "40 at once" in drawn and "2 ended" in drawn
    assert grid(SwarmState.of(events(MOST_MARKS + 99))).plain.endswith("● +100")


def test_a_role_that_a_model_made_long_or_of_many_lines_stays_one_line() -> None:
    found = [Event(0, "agent.created", 0.0, "main", (), {"role": "", "task": "", "prompt": "", "call": ""})]
    role = "a\n\x1b[2J" + "b" * 100_000
    found.append(Event(1, "agent.created", 1.0, "main/0", (), {"role": role, "task": "", "prompt": "", "call": ""}))
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(swarm_lines(SwarmState.of(found), now=2.0))
    drawn = console.export_text()
    assert "\x1b" not in drawn and "a \\x1b[2Jb" in drawn and len(drawn.splitlines()) == 3
