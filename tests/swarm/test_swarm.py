"""The swarm: what the two tools do, what flows back, critical steps, the critical path, and going on after a kill."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.journal import Event, Journal, read
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.swarm.critical_path import critical_path, seconds_by_use
from manyeyes.swarm.critical_steps import Action, StepCounter, critical_steps, total_steps
from manyeyes.swarm.orchestrator import PRESETS, Preset, SwarmConfig, clipped, swarm_tools

from .swarm_script import policy


async def look_up(key: str) -> str:
    """Look something up."""
    await asyncio.sleep(0)
    return f"value of {key}"


def config(**settings) -> SwarmConfig:
    return SwarmConfig(lambda ctx: Functions([look_up]), **settings)


def run_swarm(folder: Path, model, swarm: SwarmConfig, *, prompt: str = "4 2") -> Outcome:
    async def go() -> Outcome:
        past = read(folder).events if (folder / "events.jsonl").exists() else []
        with Journal(folder) as journal:
            return await AgentRun(journal, model, past=past).start(Task("t", prompt), swarm.orchestrator())

    return asyncio.run(go())


def test_the_declarations_are_those_of_the_report() -> None:
    create, assign = swarm_tools()
    assert create.parameters["required"] == ["name", "system_prompt"] and assign.parameters["required"] == [
        "agent",
        "prompt",
    ]
    assert swarm_tools("zh")[1].parameters["properties"]["agent"]["description"] == "指定要使用的已创建代理。"
    assert PRESETS == {"browsecomp": (15, 100), "widesearch": (100, 100), "internal": (100, 50)}


def test_sub_agents_run_at_once_and_only_their_results_flow_back(tmp_path: Path) -> None:
    model = Scripted(policy, seconds=0.01)
    outcome = run_swarm(tmp_path, model, config())
    assert outcome.stop == "done" and outcome.text.startswith("merged: ")
    assert sorted(outcome.text.removeprefix("merged: ").split(" | ")) == [f"found {i}" for i in range(4)]
    orchestrator = [messages for messages in model.calls if "Kimi" in messages[0].text]
    assert not any("value of" in message.text for message in orchestrator[-1])
    events = read(tmp_path).events
    created = [event.seq for event in events if event.kind == "agent.created" and event.agent != "main"]
    finished = [event.seq for event in events if event.kind == "agent.finished"]
    assert len(created) == 4 and max(created) < min(finished)


def test_steps_are_counted_as_the_formula_says_live_and_afterwards(tmp_path: Path) -> None:
    counter = StepCounter()
    run_swarm(tmp_path, Scripted(policy), config(), prompt="5 3")
    for event in read(tmp_path).events:
        counter.take(event)
    # Orchestrator: create, assign (beside it 3 look-ups and an answer of each of 5), merge.
    assert counter.critical == 3 + 4 and counter.total == 3 + 5 * 4


@pytest.mark.parametrize(("actions", "critical", "total"), [
    ((), 0, 0),
    ((Action(), Action(), Action()), 3, 3),
    ((Action(((Action(),) * 4,) * 10),), 5, 41),
    ((Action(), Action(((Action(),) * 2, (Action(),) * 7)), Action()), 10, 12),
    ((Action(((Action(((Action(),) * 3,)),),)),), 5, 5),
])  # fmt: skip
def test_critical_steps_by_hand(actions, critical: int, total: int) -> None:
    assert (critical_steps(actions), total_steps(actions)) == (critical, total)


GROUP = st.lists(st.integers(0, 8), max_size=5)


def acted(groups: Sequence[Sequence[int]]) -> list[Action]:
    return [Action(tuple((Action(),) * steps for steps in group)) for group in groups]


@given(st.lists(GROUP, max_size=6), st.data())
def test_idle_or_shorter_siblings_change_nothing(groups: list[list[int]], data) -> None:
    before = critical_steps(acted(groups))
    assert before == sum(1 + max(group, default=0) for group in groups)
    more = [[*group, data.draw(st.integers(0, max(group, default=0)))] for group in groups]
    assert critical_steps(acted(more)) == before


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(2, 5))
def test_splitting_the_longest_evenly_lowers_it(group: list[int], parts: int) -> None:
    longest = max(group)
    rest = sorted(group)[:-1]
    even = [longest // parts + (i < longest % parts) for i in range(parts)]
    before, after = critical_steps(acted([group])), critical_steps(acted([[*rest, *even]]))
    assert after <= before
    if longest > max(rest, default=0) and longest > 1:
        assert after < before


def test_the_critical_path_ends_at_the_end_and_sums_to_the_time_it_took(tmp_path: Path) -> None:
    run_swarm(tmp_path, Scripted(policy, seconds=0.02), config())
    events = read(tmp_path).events
    links = critical_path(events)
    took = events[-1].time - events[0].time
    assert sum(link.seconds for link in links) == pytest.approx(took, abs=1e-6)
    assert links[-1].end == events[-1].seq and len({link.agent for link in links}) == 2
    assert seconds_by_use(links)["model"] > 0.8 * took


def test_the_critical_path_by_hand() -> None:
    def event(seq: int, kind: str, time: float, after: tuple[int, ...] = (), agent: str = "main", **data) -> Event:
        return Event(seq, kind, time, agent, after, data)

    events = [
        event(0, "agent.created", 0.0),
        event(1, "llm.started", 0.0, (0,)),
        event(2, "llm.finished", 3.0, (1,), waited=1.0),
        event(3, "tool.started", 3.0, (2,)),
        event(4, "tool.started", 3.0, (2,)),
        event(5, "tool.finished", 4.0, (3,)),
        event(6, "tool.finished", 8.0, (4,)),
        event(7, "round.finished", 8.5, (2, 5, 6)),
    ]
    assert [(link.end, link.seconds, link.spent) for link in critical_path(events)] == [
        (2, 1.0, "limiter"), (2, 2.0, "model"), (6, 5.0, "tool"), (7, 0.5, "program"),
    ]  # fmt: skip


def refused(calls: Sequence[ToolCall], **settings) -> list[str]:
    """What an orchestrator's calls give, one answer each."""
    import tempfile

    replies = [assistant("", calls=(call,)) for call in calls] + [assistant("end")]

    def answer(messages: Sequence[Message]) -> Message:
        if "Kimi" not in messages[0].text:
            return assistant("sub says hello " * 2000)
        return replies[sum(message.role == "assistant" for message in messages)]

    model = Scripted(answer)
    with tempfile.TemporaryDirectory() as folder:
        run_swarm(Path(folder), model, config(**settings))
    return [message.text for message in model.calls[-1] if message.role == "tool"]


def create(name: str, id: str) -> ToolCall:
    return ToolCall(id, "create_subagent", json.dumps({"name": name, "system_prompt": "You look things up."}))


def assign(name: str, id: str) -> ToolCall:
    return ToolCall(id, "assign_task", json.dumps({"agent": name, "prompt": "go"}))


def test_what_cannot_be_done_is_said_with_what_can() -> None:
    said = refused([assign("a", "1"), create("a", "2"), create("a", "3"), create(" ", "4"), assign("b", "5")])
    assert "Create it first" in said[0] and "Created" in said[1]
    assert "'a' exists already" in said[2] and "needs a name" in said[3] and "there are: a" in said[4]


def test_long_results_are_clipped_and_kept_whole(tmp_path: Path) -> None:
    said = refused([create("a", "1"), assign("a", "2")], context_tokens=1000, artefacts=tmp_path)
    assert len(said[1].encode()) < 2400 and "left out; the whole is in /artefacts/" in said[1]
    (kept,) = tmp_path.iterdir()
    assert kept.read_text() == "sub says hello " * 2000


def test_a_run_may_start_only_so_many_agents() -> None:
    said = refused([create("a", "1"), assign("a", "2"), assign("a", "3")], most_agents=1)
    assert "sub says hello" in said[1] and "may start 1 sub-agents" in said[2]


@given(st.text(max_size=300), st.integers(8, 200))
def test_clipping_keeps_to_its_limit(text: str, limit: int) -> None:
    found = clipped(text, limit=limit)
    if len(text.encode()) <= limit:
        assert found == text
    else:
        assert len(found.encode()) <= limit + 60 and "left out" in found


def test_one_sub_agents_failure_leaves_its_siblings_alone(tmp_path: Path) -> None:
    class Refusing(Scripted):
        async def complete(self, messages, tools=(), **kwargs):
            if "topic 1" in messages[1].text and messages[-1].role == "tool":
                raise ModelError("HTTP 400: no", kind="request", status=400, partial="half")
            return await super().complete(messages, tools, **kwargs)

    outcome = run_swarm(tmp_path, Refusing(policy), config())
    assert outcome.stop == "done" and sorted(outcome.text.removeprefix("merged: ").split(" | ")) == [
        "found 0", "found 2", "found 3", "half",
    ]  # fmt: skip
    ends = Counter(e.data["outcome"]["stop"] for e in read(tmp_path).events if e.kind == "agent.finished")
    assert ends == {"done": 4, "error": 1}


def test_sub_agents_keep_to_their_own_step_limit(tmp_path: Path) -> None:
    run_swarm(tmp_path, Scripted(policy), config(preset=Preset(100, 2)), prompt="3 50")
    ends = [e.data["outcome"] for e in read(tmp_path).events if e.kind == "agent.finished" and e.agent != "main"]
    assert [end["stop"] for end in ends] == ["step_cap"] * 3 and all(end["steps"] == 2 for end in ends)


CHILD = Path(__file__).parent / "swarm_child.py"


def test_a_killed_run_goes_on_and_repeats_no_finished_call(tmp_path: Path) -> None:
    calm = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path / "calm")], capture_output=True, text=True, timeout=120, check=True
    )
    kills = 0
    for number in range(60):
        process = subprocess.Popen(
            [sys.executable, str(CHILD), str(tmp_path / "run"), str(22 + number % 5)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        said, _ = process.communicate(timeout=120)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 10 and said == calm.stdout and "merged: found 0" in said
    events = read(tmp_path / "run").events
    finished = Counter((e.agent, e.data["turn"]) for e in events if e.kind == "llm.finished")
    tools = Counter((e.agent, e.data["place"]) for e in events if e.kind == "tool.finished")
    assert set(tools.values()) == {1} and set(finished.values()) == {1}
    spent = [e.data["outcome"] for e in events if e.kind == "agent.finished" and e.agent != "main"]
    assert [(end["turns"], end["steps"]) for end in spent] == [(5, 4)] * 6


def test_a_cancelled_sub_agent_is_reported_and_its_siblings_go_on(tmp_path: Path) -> None:
    async def go() -> Outcome:
        with Journal(tmp_path) as journal:
            run = AgentRun(journal, Scripted(policy, seconds=0.02))

            def cancel_one(event: Event) -> None:
                if event.kind == "llm.started" and event.agent == "main/1":
                    run.cancel("main/1")

            journal.listen(cancel_one)
            return await run.start(Task("t", "3 2"), config().orchestrator())

    outcome = asyncio.run(go())
    ends = {e.agent: e.data["outcome"]["stop"] for e in read(tmp_path).events if e.kind == "agent.finished"}
    assert ends == {"main": "done", "main/0": "done", "main/1": "cancelled", "main/2": "done"}
    assert outcome.text.count("found") == 2


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    async def stopped() -> None:
        with Journal(tmp_path) as journal:
            run = asyncio.ensure_future(
                AgentRun(journal, Scripted(policy, seconds=0.02)).start(Task("t", "3 4"), config().orchestrator())
            )
            await asyncio.sleep(0.1)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run

    asyncio.run(stopped())
    before = read(tmp_path).events
    assert not any(event.kind == "agent.finished" and event.agent == "main" for event in before)
    outcome = run_swarm(tmp_path, Scripted(policy), config(), prompt="3 4")
    assert outcome.text == "merged: found 0 | found 1 | found 2"
    turns = Counter((e.agent, e.data["turn"]) for e in read(tmp_path).events if e.kind == "llm.finished")
    assert set(turns.values()) == {1}


def test_ids_of_calls_may_repeat_from_answer_to_answer(tmp_path: Path) -> None:
    """Many endpoints begin to count anew in every answer."""

    def answer(messages: Sequence[Message]) -> Message:
        turn = sum(message.role == "assistant" for message in messages)
        if turn == 3:
            return assistant(" | ".join(message.text for message in messages if message.role == "tool"))
        calls = (
            ToolCall("call_0", "look_up", f'{{"key": "{turn}a"}}'),
            ToolCall("call_0", "look_up", f'{{"key": "{turn}b"}}'),
        )
        return assistant("", calls=calls)

    environment = config().sub_agent("You look up.")

    async def until_stopped() -> None:
        with Journal(tmp_path) as journal:
            run = asyncio.ensure_future(AgentRun(journal, Scripted(answer)).start(Task("t", "go"), environment))
            journal.listen(
                lambda event: run.cancel() if event.kind == "llm.started" and event.data["turn"] == 1 else None
            )
            with pytest.raises(asyncio.CancelledError):
                await run

    async def to_the_end() -> Outcome:
        past = read(tmp_path).events
        with Journal(tmp_path) as journal:
            return await AgentRun(journal, Scripted(answer), past=past).start(Task("t", "go"), environment)

    asyncio.run(until_stopped())
    said = asyncio.run(to_the_end()).text
    assert said == " | ".join(f"value of {turn}{half}" for turn in range(3) for half in "ab")


def test_long_results_of_one_round_are_kept_apart(tmp_path: Path) -> None:
    def answer(messages: Sequence[Message]) -> Message:
        message = policy(messages)
        return assistant(f"{message.text} " + "x" * 9000) if message.text.startswith("found") else message

    run_swarm(
        tmp_path / "run", Scripted(answer), config(context_tokens=1000, artefacts=tmp_path / "kept"), prompt="3 1"
    )
    kept = sorted((tmp_path / "kept").iterdir())
    assert [path.name for path in kept] == [f"result-main-{number}.md" for number in range(3)]
    assert [path.read_text()[:7] for path in kept] == ["found 0", "found 1", "found 2"]


def test_what_the_endpoint_could_not_do_is_tried_again_by_a_resume(tmp_path: Path) -> None:
    class Down(Scripted):
        async def complete(self, messages, tools=(), **kwargs):
            raise ModelError("HTTP 402: no credit", kind="quota", status=402)

    assert run_swarm(tmp_path, Down(policy), config(), prompt="2 1").stop == "error"
    assert run_swarm(tmp_path, Scripted(policy), config(), prompt="2 1").text == "merged: found 0 | found 1"
