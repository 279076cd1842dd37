"""A run under a person's hands: pause and go on, out of quota, something to say, the end; and what it costs at most."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.budget import Budget, Limits
from manyeyes.agent.chat_model import ModelError, Reply, Usage
from manyeyes.agent.environment import Ctx
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.run import AgentRun, OnQuota
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Functions, ToolResult, Toolset
from manyeyes.core.journal import Event, Journal, read
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.swarm.orchestrator import SwarmConfig

from .finders import look_up, policy
from .virtual_time import run_virtually

Act = Callable[[AgentRun], Coroutine[Any, Any, None]]


FOUND = "found 0 | found 1 | found 2 | found 3"


async def nothing(run: AgentRun) -> None:
    """Leave the run alone."""


async def at_work(
    folder: Path, model: Any, act: Act = nothing, *, budget: Budget | None = None, past: Sequence[Event] = (),
    on_quota: OnQuota = "stop", tools: Callable[[Ctx], Toolset] = lambda ctx: Functions([look_up]),
) -> Outcome:  # fmt: skip
    """A swarm at work while somebody acts on it."""
    with Journal(folder) as journal:
        run = AgentRun(journal, model, budget=budget, past=past, on_quota=on_quota)
        acting = asyncio.ensure_future(act(run))
        outcome = await run.start(Task("t", "go"), SwarmConfig(tools).orchestrator())
        await acting
        return outcome


def ends(folder: Path) -> dict[str, tuple[str, str]]:
    finished = [event for event in read(folder).events if event.kind == "agent.finished"]
    return {event.agent: (event.data["outcome"]["stop"], event.data["outcome"]["text"]) for event in finished}


def kinds(folder: Path) -> list[str]:
    return [event.kind for event in read(folder).events]


def test_while_it_is_paused_nothing_is_asked_and_no_time_passes(tmp_path: Path) -> None:
    model, asked = Scripted(policy, seconds=1.0), []

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(2.5)  # the sub-agents' first answers are under way
        run.pause("lunch")
        run.pause("again")
        assert run.paused and run.paused_for == "lunch"
        await asyncio.sleep(1000)
        asked.append(len(model.calls))
        run.go_on()
        assert not run.paused

    async def go() -> Outcome:
        clock = asyncio.get_running_loop().time
        return await at_work(tmp_path, model, act, budget=Budget(Limits(seconds=8), clock=clock))

    outcome, took = run_virtually(go())
    assert (outcome.stop, outcome.text) == ("done", FOUND)
    assert asked == [2 + 4] and 1000 < took < 1010
    paused = [event for event in read(tmp_path).events if event.subject == "run"]
    assert [(event.kind, event.data["reason"]) for event in paused] == [
        ("run.paused", "lunch"), ("run.continued", "a person let it go on"),
    ]  # fmt: skip
    assert paused[1].after == (paused[0].seq,)


def test_the_same_run_without_its_pause_in_the_budget_runs_out_of_time(tmp_path: Path) -> None:
    async def go() -> Outcome:
        budget = Budget(Limits(seconds=4.5), clock=asyncio.get_running_loop().time)
        return await at_work(tmp_path, Scripted(policy, seconds=1.0), budget=budget)

    assert run_virtually(go())[0].stop == "time_cap"


def test_a_pause_holds_back_calls_that_queue_at_the_limiter(tmp_path: Path) -> None:
    sent: list[float] = []

    class Slow(OpenAIChat):
        async def _attempt(self, body: bytes, on_text: Any) -> Reply:
            sent.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1.0)
            plain = json.loads(body)["messages"]
            return Reply(policy([Message(one["role"], one["content"]) for one in plain]))

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(2.5)
        run.pause()
        await asyncio.sleep(1000)
        run.go_on()

    async def go() -> Outcome:
        limiter = Limiter(1, clock=asyncio.get_running_loop().time)
        return await at_work(tmp_path, Slow(Endpoint("http://x", "m"), limiter=limiter), act)

    outcome, _ = run_virtually(go())
    assert outcome.text == FOUND and len(sent) == 3 + 4 * 3
    assert sum(at < 2.5 for at in sent) == 3 and all(at >= 1002.5 for at in sent[3:])


class Unpaid(Scripted):
    """Refuses every call of which it has not been paid for."""

    paid = False

    def __init__(self, from_call: int) -> None:
        super().__init__(policy, seconds=1.0)
        self.from_call, self.refused = from_call, list[tuple[Message, ...]]()

    async def complete(self, messages, tools=(), **kwargs):
        if not self.paid and len(self.calls) >= self.from_call:
            await asyncio.sleep(0.5)
            self.refused.append(tuple(messages))
            raise ModelError("HTTP 402: no credit", kind="quota", status=402, partial="")
        return await super().complete(messages, tools, **kwargs)


def finished_calls(folder: Path) -> Counter[tuple[str, int]]:
    return Counter((e.agent, e.data["turn"]) for e in read(folder).events if e.kind == "llm.finished")


def test_out_of_quota_an_attended_run_waits_and_makes_the_very_same_calls(tmp_path: Path) -> None:
    model = Unpaid(from_call=6)

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(100)
        assert run.paused and run.paused_for == "HTTP 402: no credit"
        model.paid = True
        run.go_on("paid")

    outcome, _ = run_virtually(at_work(tmp_path, model, act, on_quota="pause"))
    assert outcome.text == FOUND and len(model.refused) == 4
    assert all(messages in model.calls for messages in model.refused)
    assert set(finished_calls(tmp_path).values()) == {1}
    assert Counter(kinds(tmp_path))["run.paused"] == 1 and Counter(kinds(tmp_path))["llm.failed"] == 4
    assert {stop for stop, _ in ends(tmp_path).values()} == {"done"}


def test_going_on_without_having_paid_pauses_again(tmp_path: Path) -> None:
    model = Unpaid(from_call=0)

    async def act(run: AgentRun) -> None:
        for _ in range(3):
            await asyncio.sleep(10)
            assert run.paused
            run.go_on()
        await asyncio.sleep(10)
        model.paid = True
        run.go_on()

    outcome, _ = run_virtually(at_work(tmp_path, model, act, on_quota="pause"))
    assert outcome.text == FOUND and len(model.refused) == 4 == Counter(kinds(tmp_path))["run.paused"]


def test_a_refusal_that_was_under_way_while_a_person_paid_is_old_news(tmp_path: Path) -> None:
    class Slowly(Unpaid):
        async def complete(self, messages, tools=(), **kwargs):
            late = not self.paid and len(self.calls) >= self.from_call and messages[1].text == "3"
            if late:
                await asyncio.sleep(50)
                raise ModelError("HTTP 402: no credit", kind="quota", status=402)
            return await super().complete(messages, tools, **kwargs)

    model = Slowly(from_call=6)

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(20)
        model.paid = True
        run.go_on("paid")

    outcome, took = run_virtually(at_work(tmp_path, model, act, on_quota="pause"))
    assert outcome.text == FOUND and Counter(kinds(tmp_path))["run.paused"] == 1 and 50 < took < 60


def test_out_of_quota_an_unattended_run_stops_and_its_sub_agents_go_on_when_it_is_resumed(tmp_path: Path) -> None:
    model = Unpaid(from_call=6)
    outcome, _ = run_virtually(at_work(tmp_path / "a", model))
    assert outcome.stop == "error" and "402" in outcome.reason and "main" not in ends(tmp_path / "a")
    model.paid = True
    for folder in ("b", "c"):  # the second time from a journal that holds the first resume as well
        events = read(tmp_path / "a").events
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "events.jsonl").write_bytes((tmp_path / "a" / "events.jsonl").read_bytes())
        outcome, _ = run_virtually(at_work(tmp_path / folder, model, past=events))
        assert (outcome.stop, outcome.text) == ("done", FOUND)
        assert set(finished_calls(tmp_path / folder).values()) == {1}
        cut = read(tmp_path / folder).events
        halfway = max(event.seq for event in cut if event.kind == "llm.finished" and event.agent == "main/2")
        lines = (tmp_path / folder / "events.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / "a" / "events.jsonl").write_bytes(b"".join(lines[:halfway]))


def test_killed_while_paused_it_goes_on_unpaused(tmp_path: Path) -> None:
    async def stay(run: AgentRun) -> None:
        await asyncio.sleep(3.5)
        run.pause()

    async def killed() -> None:
        await asyncio.wait_for(at_work(tmp_path, Scripted(policy, seconds=1.0), stay), 50)

    with pytest.raises(TimeoutError):
        run_virtually(killed())
    past = read(tmp_path).events
    assert "run.paused" in kinds(tmp_path) and "run.continued" not in kinds(tmp_path)
    outcome, _ = run_virtually(at_work(tmp_path, Scripted(policy, seconds=1.0), past=past))
    assert outcome.text == FOUND and set(finished_calls(tmp_path).values()) == {1}


def test_cancelled_each_agent_ends_with_what_it_had(tmp_path: Path) -> None:
    async def act(run: AgentRun) -> None:
        await asyncio.sleep(3.5)
        run.cancel("main/2", "it went astray")
        await asyncio.sleep(0.5)
        run.cancel()

    outcome, took = run_virtually(at_work(tmp_path, Scripted(policy, seconds=1.0), act))
    told = "[finder: cancelled: it went astray]\nlooking for 2"
    assert (outcome.stop, outcome.text, outcome.reason) == ("cancelled", told, "a person stopped it") and took < 5
    assert ends(tmp_path) == {"main": ("cancelled", told)} | {
        f"main/{i}": ("cancelled", f"looking for {i}") for i in range(4)
    }


def test_the_orchestrator_is_told_of_a_cancelled_sub_agent(tmp_path: Path) -> None:
    model = Scripted(policy, seconds=1.0)

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(3.5)
        run.cancel("main/1")
        run.cancel("main/77")

    outcome, _ = run_virtually(at_work(tmp_path, model, act))
    assert outcome.stop == "done" and ends(tmp_path)["main/1"] == ("cancelled", "looking for 1")
    told = [message.text for message in model.calls[-1] if message.role == "tool"][2]
    assert told == "[finder: cancelled: a person stopped it]\nlooking for 1"


def test_a_cancelled_agent_that_waits_for_the_limiter_leaves_its_place(tmp_path: Path) -> None:
    limiters: list[Limiter] = []

    class Slow(OpenAIChat):
        async def _attempt(self, body: bytes, on_text: Any) -> Reply:
            await asyncio.sleep(1.0)
            return Reply(policy([Message(one["role"], one["content"]) for one in json.loads(body)["messages"]]))

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(2.5)
        (limiter,) = limiters
        assert limiter.queued == 3 and limiter.in_flight == 1
        run.cancel("main/3")
        await asyncio.sleep(0.01)
        assert limiter.queued == 2 and limiter.in_flight == 1

    async def go() -> Outcome:
        limiters.append(Limiter(1, clock=asyncio.get_running_loop().time))
        return await at_work(tmp_path, Slow(Endpoint("http://x", "m"), limiter=limiters[0]), act)

    outcome, _ = run_virtually(go())
    assert outcome.stop == "done" and [ends(tmp_path)[f"main/{i}"][0] for i in range(4)] == ["done"] * 3 + ["cancelled"]
    assert limiters[0].in_flight == limiters[0].queued == 0


async def hang_on() -> None:
    """Take no notice of being cancelled, and of being cancelled again."""
    for _ in range(3):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


class Stubborn(Functions):
    """Tools whose calls and whose closing take no notice of anything."""

    closed = 0

    async def call(self, call: ToolCall) -> ToolResult:
        await hang_on()
        return ToolResult.of("never")

    async def close(self) -> None:
        type(self).closed += 1
        await hang_on()


def test_cancelled_it_is_over_within_two_seconds_whatever_its_tools_make_of_it(tmp_path: Path) -> None:
    Stubborn.closed = 0

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(10)
        run.cancel()

    outcome, took = run_virtually(
        at_work(tmp_path, Scripted(policy, seconds=1.0), act, tools=lambda ctx: Stubborn([look_up]))
    )
    assert outcome.stop == "cancelled" and took <= 12.0 and Stubborn.closed == 5
    assert {stop for stop, _ in ends(tmp_path).values()} == {"cancelled"} and len(ends(tmp_path)) == 5


class Processes(Functions):
    """Tools that hold a process, which ends when they are closed."""

    made: list[asyncio.subprocess.Process] = []

    async def call(self, call: ToolCall) -> ToolResult:
        self.process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(600)")
        self.made.append(self.process)
        await self.process.wait()
        return ToolResult.of("ended")

    async def close(self) -> None:
        if hasattr(self, "process"):
            os.kill(self.process.pid, signal.SIGKILL)
            await self.process.wait()


def test_cancelled_no_process_of_a_tool_is_left(tmp_path: Path) -> None:
    Processes.made = []

    async def act(run: AgentRun) -> None:
        while len(Processes.made) < 4:
            await asyncio.sleep(0.01)
        run.cancel()

    async def go() -> Outcome:
        async with asyncio.timeout(60):
            return await at_work(tmp_path, Scripted(policy), act, tools=lambda ctx: Processes([look_up]))

    assert asyncio.run(go()).stop == "cancelled"
    assert [process.returncode for process in Processes.made] == [-signal.SIGKILL] * 4


def test_what_is_said_to_an_agent_that_is_about_to_end_is_still_heard(tmp_path: Path) -> None:
    def answer(messages: Sequence[Message]) -> Message:
        heard = [message.text for message in messages[2:] if message.role == "user"]
        return assistant(f"heard {heard}") if "Kimi" in messages[0].text else policy(messages)

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(0.5)
        run.say("main", "and in French")

    outcome, _ = run_virtually(at_work(tmp_path, Scripted(answer, seconds=1.0), act))
    assert (outcome.stop, outcome.text, outcome.turns) == ("done", "heard ['and in French']", 2)


def test_what_is_said_to_an_agent_outlives_a_kill(tmp_path: Path) -> None:
    def answer(messages: Sequence[Message]) -> Message:
        return assistant(f"heard {[message.text for message in messages[2:] if message.role == 'user']}")

    async def act(run: AgentRun) -> None:
        await asyncio.sleep(0.5)
        run.say("main", "and in French")

    first = tmp_path / "first"
    run_virtually(at_work(first, Scripted(answer, seconds=1.0), act))
    lines = (first / "events.jsonl").read_bytes().splitlines(keepends=True)
    found = kinds(first)
    assert found.count("agent.addressed") == 1 == found.count("agent.told")
    for end in ("agent.addressed", "agent.told"):  # killed before and after it was read
        again = tmp_path / end
        again.mkdir()
        (again / "events.jsonl").write_bytes(b"".join(lines[: found.index(end) + 1]))
        outcome, _ = run_virtually(at_work(again, Scripted(answer), past=read(again).events))
        assert (outcome.stop, outcome.text) == ("done", "heard ['and in French']")
        assert kinds(again).count("agent.told") == 1


def test_money_is_reserved_before_calls_so_that_many_at_once_do_not_overspend(tmp_path: Path) -> None:
    def wordy(messages: Sequence[Message]) -> Message:
        if messages[-1].text.startswith("You have reached your limit"):
            return assistant("so far")
        message = policy(messages, agents=30)
        return assistant(message.text + "x" * 12_000, calls=message.tool_calls)

    model = Scripted(wordy, seconds=1.0, price=1e-5)
    outcome, _ = run_virtually(at_work(tmp_path, model, budget=Budget(Limits(cost=1.0))))
    spent = sum((Usage(*e.data["usage"]) for e in read(tmp_path).events if "usage" in e.data), Usage())
    assert 0.5 < spent.cost <= 1.0
    assert outcome.stop in ("done", "cost_cap") and "cost_cap" in {stop for stop, _ in ends(tmp_path).values()}
