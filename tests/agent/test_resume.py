"""What a resume will take, and how long a run was paused, read from journals."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from manyeyes.agent.context import estimated_tokens
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.past import fold
from manyeyes.agent.resume import cost_of_resuming, paused_seconds
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.journal import Event, Journal, read
from manyeyes.core.messages import system, user
from manyeyes.swarm.orchestrator import SwarmConfig

from .finders import look_up, policy


def fetch(name: str) -> bytes:
    raise AssertionError("nothing here is kept as a blob")


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> list[Event]:
    """Of a whole run: four sub-agents of two look-ups."""
    folder: Path = tmp_path_factory.mktemp("run")

    async def go() -> None:
        with Journal(folder) as journal:
            config = SwarmConfig(lambda ctx: Functions([look_up]))
            await AgentRun(journal, Scripted(policy, price=1e-6)).start(Task("t", "go"), config.orchestrator())

    asyncio.run(go())
    return read(folder).events


def until(events: Sequence[Event], kind: str, agent: str, *, number: int = 0) -> list[Event]:
    """The events up to the one of this kind, included."""
    found = [event.seq for event in events if (event.kind, event.agent) == (kind, agent)]
    return list(events[: found[number] + 1])


def test_nothing_is_left_of_a_finished_run_and_everything_of_one_that_never_began(events: list[Event]) -> None:
    over = cost_of_resuming(events, fetch, price=(1.0, 1.0))
    assert (over.agents, over.calls, over.interrupted, over.cost) == (0, 0, 0, 0.0)
    assert over.spent.cost == pytest.approx(over.spent.total * 1e-6) and over.spent.total > 0
    assert cost_of_resuming([], fetch).agents == 0


def test_calls_that_were_under_way_are_made_again(events: list[Event]) -> None:
    cut = until(events, "llm.started", "main")
    cost = cost_of_resuming(cut, fetch, price=(2.0, 8.0))
    main = SwarmConfig(lambda ctx: Functions([look_up])).orchestrator()
    tokens = sum(map(estimated_tokens, [system(main.system), user("go")]))
    assert (cost.agents, cost.calls, cost.again, cost.interrupted) == (1, 1, 1, 0)
    assert cost.prompt_tokens == tokens and cost.cost == pytest.approx(tokens * 2.0 / 1e6)


def test_tools_that_were_under_way_are_interrupted_and_sub_agents_go_on(events: list[Event]) -> None:
    cut = until(events, "tool.started", "main/0")
    cost, past = cost_of_resuming(cut, fetch, price=(0.0, 10.0)), fold(cut, fetch)
    open_calls = {agent: len(one.interrupted) for agent, one in past.items() if one.interrupted}
    assert open_calls["main/0"] == 1 and "main" not in open_calls
    assert cost.interrupted == sum(open_calls.values())
    assert cost.agents == len(past) == 5 and cost.calls == sum(
        one.history[-1].role != "assistant" for one in past.values()
    )
    answers = sum(one.turns for one in past.values())
    assert cost.cost == pytest.approx(cost.calls * cost.spent.completion / answers * 10.0 / 1e6)


def test_a_journal_cut_anywhere_counts_each_agent_once(events: list[Event]) -> None:
    for end in range(1, len(events) + 1):
        cut = events[:end]
        cost = cost_of_resuming(cut, fetch)
        begun = {event.agent for event in cut if event.kind == "agent.created"}
        over = {event.agent for event in cut if event.kind == "agent.finished"}
        started = sum(event.kind == "llm.started" for event in cut)
        answered = sum(event.kind == "llm.finished" for event in cut)
        assert cost.agents == len(begun - over) and cost.again == started - answered <= cost.calls <= cost.agents


def timed(*said: tuple[str, float]) -> list[Event]:
    return [Event(seq, kind, time, "main" if kind.startswith("agent") else "") for seq, (kind, time) in enumerate(said)]


HALF = [("run.started", 0.0), ("run.paused", 2.0), ("agent.told", 4.0)]


@pytest.mark.parametrize(("said", "paused"), [
    ([("run.started", 0.0), ("run.finished", 9.0)], 0.0),
    ([*HALF, ("run.continued", 7.0), ("run.finished", 9.0)], 5.0),
    (HALF, 2.0),
    ([*HALF, ("run.resumed", 99.0), ("agent.told", 100.0)], 2.0),
    ([*HALF, ("run.resumed", 99.0), ("run.paused", 100.0), ("run.continued", 103.0)], 5.0),
])  # fmt: skip
def test_how_long_a_run_was_paused(said: list[tuple[str, float]], paused: float) -> None:
    assert paused_seconds(timed(*said)) == paused


def test_an_agents_own_time_leaves_out_pauses_and_stops() -> None:
    said = [
        ("run.started", 0.0), ("agent.created", 1.0), ("run.paused", 3.0), ("run.continued", 10.0),
        ("agent.told", 11.0), ("run.resumed", 500.0), ("agent.resumed", 501.0), ("llm.started", 503.0),
    ]  # fmt: skip
    events = timed(*said)
    data = {"prompt": "p", "role": "", "message": {"role": "user", "content": "x"}}
    events = [Event(one.seq, one.kind, one.time, one.agent, (), data) for one in events]
    assert fold(events, fetch)["main"].seconds == 2.0 + 1.0 + 2.0
