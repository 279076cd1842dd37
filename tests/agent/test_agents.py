"""Toolsets, budgets, context strategies and the loop, with scripted models."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.budget import Budget, Limits, Refusal, Reservation
from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.context import HIDDEN, DiscardAll, HideToolResults, ShowAll, Summarise, task_of
from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Functions, Together, tool
from manyeyes.core.journal import Journal, read
from manyeyes.core.messages import Message, ToolCall, assistant, system, user


async def add(a: int, b: int = 1) -> str:
    """Add two numbers.

    Args:
        a: the first.
        b: the second,
            one when left out.
    """
    return str(a + b)


async def crash() -> str:
    """Fail."""
    raise RuntimeError("boom")


@tool(seconds=0.05)
async def sleep_long() -> str:
    """Sleep."""
    await asyncio.sleep(30)
    return ""


def called(name: str, arguments: str, *, id: str = "c") -> ToolCall:
    return ToolCall(id, name, arguments)


def test_a_declaration_follows_from_the_function() -> None:
    (declared,) = Functions([add]).tools
    assert declared.name == "add" and declared.description == "Add two numbers."
    assert declared.parameters == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "the first."},
            "b": {"type": "integer", "description": "the second, one when left out."},
        },
        "required": ["a"],
    }


@pytest.mark.parametrize(("call", "failure", "said"), [
    (called("add", '{"a": 2}'), "", "3"),
    (called("add", '{"a": "x"}'), "bad_arguments", "Expected `int`"),
    (called("add", '{"a": 1, "z": 2}'), "bad_arguments", "z"),
    (called("add", '{"a": '), "bad_arguments", "truncated"),
    (called("sub", "{}"), "unknown_tool", "add, crash, sleep_long"),
    (called("crash", ""), "crash", "boom"),
    (called("sleep_long", "{}"), "timeout", "0.05"),
])  # fmt: skip
def test_a_call_never_raises(call: ToolCall, failure: str, said: str) -> None:
    result = asyncio.run(Functions([add, crash, sleep_long]).call(call))
    assert result.failure == failure and said in result.text


def test_toolsets_join_and_names_must_differ() -> None:
    both = Together(Functions([add]), Functions([crash]))
    assert [one.name for one in both.tools] == ["add", "crash"]
    assert asyncio.run(both.call(called("add", '{"a": 1}'))).text == "2"
    with pytest.raises(ValueError, match="add"):
        Together(Functions([add]), Functions([add]))


AMOUNT = st.integers(0, 20)


@given(st.lists(st.tuples(st.sampled_from(["tokens", "steps"]), AMOUNT, AMOUNT), max_size=20))
def test_budgets_hold_what_is_reserved_and_spend_what_was_used(moves) -> None:
    root = Budget(Limits(tokens=50))
    child = root.child(Limits(steps=30))
    used = {"tokens": 0, "steps": 0}
    for what, wanted, needed in moves:
        held = child.reserve(**{what: wanted})
        if isinstance(held, Refusal):
            assert held.what == what and used[what] + wanted > (50 if what == "tokens" else 30)
            continue
        assert isinstance(held, Reservation)
        held.settle(**{what: min(needed, wanted)})
        used[what] += min(needed, wanted)
    assert root.spent["tokens"] == child.spent["tokens"] == used["tokens"] <= 50
    assert child.spent["steps"] == used["steps"] <= 30 and root.spent["steps"] == 0
    assert not any(root.held.values()) and not any(child.held.values())


def history(rounds: int) -> list[Message]:
    messages = [system("s"), user("task")]
    for n in range(rounds):
        messages += [
            assistant(f"a{n}", reasoning=f"r{n}", calls=(called("add", "{}", id=f"{n}"),)),
            Message("tool", f"result {n}", tool_call_id=str(n)),
        ]
    return messages


def test_hide_tool_results_keeps_the_newest_round_and_all_reasoning() -> None:
    shown = HideToolResults(threshold=10).show(history(3), tokens=11)
    assert [m.text for m in shown.messages if m.role == "tool"] == [HIDDEN, HIDDEN, "result 2"]
    assert [m.reasoning for m in shown.messages if m.role == "assistant"] == ["r0", "r1", "r2"]
    assert HideToolResults(threshold=10).show(history(3), tokens=10).applied == ""


def test_discard_all_leaves_the_task_and_none_leaves_everything() -> None:
    assert DiscardAll(10).show(history(3), tokens=11).messages == (system("s"), user("task"))
    assert ShowAll().show(history(3), tokens=10**9).messages == tuple(history(3))
    assert task_of(history(2)) == (system("s"), user("task"))


def run(environment: Environment, model: Any, tmp_path, *, limits: Limits = Limits()) -> Outcome:  # noqa: B008
    async def go() -> Outcome:
        with Journal(tmp_path) as journal:
            return await AgentRun(journal, model).start(Task("t", "What is 1 + 2?", limits=limits), environment)

    return asyncio.run(go())


def tools(*functions) -> Environment:
    return Environment(lambda ctx: Functions(functions), system="You add.")


def test_the_loop_calls_tools_and_ends_with_an_answer(tmp_path) -> None:
    model = Scripted([assistant("", calls=(called("add", '{"a": 1, "b": 2}'),)), assistant("It is 3.")])
    outcome = run(tools(add), model, tmp_path)
    assert outcome.stop == "done" and outcome.text == "It is 3." and (outcome.steps, outcome.turns) == (1, 2)
    assert [m.role for m in model.calls[1]] == ["system", "user", "assistant", "tool"]
    assert model.calls[1][-1].text == "3"
    kinds = [event.kind for event in read(tmp_path).events]
    assert kinds == [
        "agent.created", "agent.began", "llm.started", "llm.finished", "tool.started", "tool.finished",
        "round.finished", "llm.started", "llm.finished", "agent.finished",
    ]  # fmt: skip


def test_calls_of_one_answer_run_at_once(tmp_path) -> None:
    running = most = 0

    async def wait() -> str:
        """Wait."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return "done"

    calls = tuple(called("wait", "{}", id=str(n)) for n in range(5))
    run(tools(wait), Scripted([assistant("", calls=calls), assistant("end")]), tmp_path)
    assert most == 5


def endless(messages: Sequence[Message]) -> Message:
    if messages[-1].text.startswith("You have reached your limit"):
        return assistant("so far: 3")
    return assistant("thinking", calls=(called("add", f'{{"a": {len(messages)}}}', id=f"c{len(messages)}"),))


@pytest.mark.parametrize(("limits", "stop"), [(Limits(steps=3), "step_cap"), (Limits(turns=4), "turn_cap")])
def test_before_a_cap_there_are_last_words(limits: Limits, stop: str, tmp_path) -> None:
    outcome = run(tools(add), Scripted(endless), tmp_path, limits=limits)
    assert outcome.stop == stop and outcome.text == "so far: 3" and "limit" in outcome.reason


def test_going_round_in_circles_is_noticed(tmp_path) -> None:
    same = assistant("hm", calls=(called("add", '{"a": 1}'),))
    outcome = run(tools(add), Scripted([same] * 5), tmp_path)
    assert outcome.stop == "loop" and outcome.text == "hm"


class Failing(Scripted):
    async def complete(self, messages, tools=(), **kwargs):
        if len(self.calls) == 1:
            raise ModelError("too long", kind=self.kind, partial="half an ans")
        return await super().complete(messages, tools, **kwargs)

    kind: Any = "overflow"


@pytest.mark.parametrize(("kind", "stop"), [("overflow", "context_overflow"), ("endpoint", "error")])
def test_a_failed_call_ends_the_agent_with_what_it_had(kind: str, stop: str, tmp_path) -> None:
    model = Failing(endless)
    model.kind = kind
    outcome = run(tools(add), model, tmp_path)
    assert outcome.stop == stop and outcome.text == "half an ans" and outcome.reason == "too long"


def test_a_summary_replaces_the_history(tmp_path) -> None:
    def answer(messages: Sequence[Message]) -> Message:
        if "Write down everything" in messages[-1].text:
            return assistant("notes: 3 so far")
        if any("notes: 3 so far" in message.text for message in messages):
            return assistant("the end")
        return assistant("x" * 400, calls=(called("add", f'{{"a": {len(messages)}}}', id=f"c{len(messages)}"),))

    environment = tools(add)
    environment.context = Summarise(threshold=200)
    outcome = run(environment, Scripted(answer), tmp_path)
    assert (outcome.stop, outcome.text) == ("done", "the end"), outcome.reason
    assert [e.data["strategy"] for e in read(tmp_path).events if e.kind == "context.applied"] == ["summary"]


def test_a_bug_in_an_environment_is_that_agents_end(tmp_path) -> None:
    def broken(ctx) -> Any:
        raise KeyError("no toolset")

    outcome = run(Environment(broken), Scripted([assistant("x")]), tmp_path)
    assert outcome.stop == "error" and "no toolset" in outcome.reason


def test_a_later_summary_replaces_the_earlier_one(tmp_path) -> None:
    written = 0

    def answer(messages: Sequence[Message]) -> Message:
        nonlocal written
        if "Write down everything" in messages[-1].text:
            written += 1
            return assistant(f"notes number {written} " + "n" * 300)
        notes = [message.text for message in messages if message.text.startswith("Your notes")]
        assert len(notes) <= 1
        if written == 3:
            return assistant("the end")
        return assistant("x" * 600, calls=(called("add", f'{{"a": {len(messages)}}}', id=f"c{written}"),))

    environment = tools(add)
    environment.context = Summarise(threshold=200)
    outcome = run(environment, Scripted(answer), tmp_path)
    assert (outcome.stop, outcome.text) == ("done", "the end"), outcome.reason
