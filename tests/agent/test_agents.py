"""Toolsets, budgets, context strategies and the loop, with scripted models."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.budget import Budget, Limits, Refusal, Reservation
from manyeyes.agent.chat_model import ModelError, Reply, Usage
from manyeyes.agent.context import HIDDEN, DiscardAll, HideToolResults, ShowAll, Summarise, estimated_tokens, task_of
from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import OVER_STEPS, Functions, Together, ToolResult, tool
from manyeyes.core.journal import Journal, read
from manyeyes.core.media import Picture
from manyeyes.core.messages import ImagePart, Message, TextPart, ToolCall, assistant, system, user


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


@pytest.mark.parametrize(("given", "failure", "text"), [
    (3, "", "3"), ({"ü": [1]}, "", '{"ü":[1]}'), ([1, "a"], "", '[1,"a"]'), (None, "", "done"), ("s", "", "s"),
    (TextPart("p"), "", "p"), (b"raw", "refused", "bytes"), (object(), "crash", "object"),
])  # fmt: skip
def test_what_a_function_returns_becomes_parts(given: Any, failure: str, text: str) -> None:
    async def give() -> Any:
        """Give."""
        return given

    result = asyncio.run(Functions([give]).call(called("give", "{}")))
    assert result.failure == failure and text in result.text and all(isinstance(p, TextPart) for p in result.parts)


def test_a_picture_and_a_result_stay_what_they_are() -> None:
    picture, made = Picture.from_bytes(_png()), ToolResult.of("x", n=1)

    async def look() -> Any:
        """Look."""
        return picture

    async def make() -> Any:
        """Make."""
        return made

    both = Functions([look, make])
    assert asyncio.run(both.call(called("look", ""))).parts == (ImagePart(picture),)
    assert asyncio.run(both.call(called("make", ""))) is made


def _png() -> bytes:
    import io

    from PIL import Image

    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, "PNG")
    return content.getvalue()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_is_a_deadline_of_every_ancestor() -> None:
    clock = Clock()
    root = Budget(Limits(seconds=10), elapsed=3, clock=clock)
    leaf = root.child(Limits()).child(Limits(seconds=20))
    assert leaf.left("seconds") == 7 and leaf.exhausted() is None
    clock.now += 6
    late = leaf.child(Limits(seconds=5))
    assert late.left("seconds") == 1 and leaf.left("seconds") == 1
    clock.now += 1
    assert late.exhausted() == Refusal("seconds", 10, 10) and late.reached("seconds").limit == 10
    with pytest.raises(ValueError, match="elapsed"):
        leaf.spend(seconds=1)


def test_a_hold_waits_for_what_others_give_back_and_only_then() -> None:
    async def go() -> None:
        root = Budget(Limits(tokens=100))
        one, two = root.child(Limits()), root.child(Limits())
        first = one.reserve(tokens=80)
        assert isinstance(first, Reservation)
        waiting = asyncio.ensure_future(two.hold(tokens=60))
        await asyncio.sleep(0)
        assert not waiting.done()
        first.settle(tokens=30)
        first.settle(tokens=30)
        held = await waiting
        assert isinstance(held, Reservation) and root.spent["tokens"] == 30 and root.held["tokens"] == 60
        assert isinstance(await one.hold(tokens=71), Refusal)

    asyncio.run(go())


def started(environment: Environment, model: Any, tmp_path, budget: Budget) -> Outcome:
    async def go() -> Outcome:
        with Journal(tmp_path) as journal:
            return await AgentRun(journal, model, budget=budget).start(Task("t", "Do it."), environment)

    return asyncio.run(go())


@tool(seconds=60)
async def slow() -> str:
    """Be slow."""
    await asyncio.sleep(30)
    return "never"


def wrapped_up(messages: Sequence[Message]) -> bool:
    return messages[-1].text.startswith("You have reached your limit")


def test_time_of_the_root_ends_a_round_in_its_middle_and_finished_calls_are_kept(tmp_path) -> None:
    def answer(messages: Sequence[Message]) -> Message:
        if wrapped_up(messages):
            return assistant(" | ".join(m.text for m in messages if m.role == "tool"))
        return assistant("", calls=(called("slow", "{}", id="s"), called("add", '{"a": 1}', id="a")))

    outcome = started(tools(add, slow), Scripted(answer), tmp_path, Budget(Limits(seconds=0.2)))
    assert outcome.stop == "time_cap" and "limit of 0.2 seconds" in outcome.reason and outcome.steps == 1
    assert outcome.text == "Error: the time limit was reached while this call was under way | 2"


def test_time_ends_a_model_call_too(tmp_path) -> None:
    class Hanging(Scripted):
        async def complete(self, messages, tools=(), **kwargs):
            if not wrapped_up(messages):
                await asyncio.sleep(30)
            return await super().complete(messages, tools, **kwargs)

    outcome = started(tools(add), Hanging([assistant("too late")]), tmp_path, Budget(Limits(seconds=0.1)))
    assert (outcome.stop, outcome.text) == ("time_cap", "too late")


class Stopping(Scripted):
    stop: Any = "length"

    async def complete(self, messages, tools=(), **kwargs):
        reply = await super().complete(messages, tools, **kwargs)
        return Reply(reply.message, self.stop, Usage(10, 1))


@pytest.mark.parametrize(("end", "stop"), [("length", "cut_off"), ("filter", "filtered")])
def test_an_answer_that_was_ended_is_not_done(end: str, stop: str, tmp_path) -> None:
    model = Stopping([assistant("half an")])
    model.stop = end
    outcome = run(tools(add), model, tmp_path)
    assert (outcome.stop, outcome.text) == (stop, "half an") and outcome.reason and not outcome.finished


def test_an_answer_with_calls_that_was_ended_goes_on(tmp_path) -> None:
    model = Stopping([assistant("", calls=(called("add", '{"a": 1'),)), assistant("half")])
    assert run(tools(add), model, tmp_path).turns == 2


async def say_much(n: int) -> str:
    """Say much."""
    return f"{n} " + "much " * 200


def test_what_is_hidden_stays_hidden_and_is_the_same_object(tmp_path) -> None:
    def answer(messages: Sequence[Message]) -> Message:
        if len(messages) > 40:
            return assistant("end")
        return assistant("", calls=(called("say_much", f'{{"n": {len(messages)}}}', id=f"c{len(messages)}"),))

    environment, model = tools(say_much), Scripted(answer)
    environment.context = HideToolResults(threshold=1000)
    run(environment, model, tmp_path)
    counts = [sum(m.text == HIDDEN for m in shown) for shown in model.calls]
    assert counts == sorted(counts) and counts[-1] > 10
    assert max(sum(map(estimated_tokens, shown)) for shown in model.calls) < 1900
    for before, after in zip(model.calls, model.calls[1:], strict=False):
        same = [a is b for a, b in zip(before, after, strict=False)]
        blanked = [m.text == HIDDEN for m in before]
        assert all(s for s, b in zip(same, blanked, strict=True) if b)
    applied = [e for e in read(tmp_path).events if e.kind == "context.applied"]
    assert 1 < len(applied) < len(model.calls) / 2


def test_last_words_see_what_was_found_under_discard_all(tmp_path) -> None:
    def answer(messages: Sequence[Message]) -> Message:
        if wrapped_up(messages):
            return assistant(" ".join(m.text[:2] for m in messages if m.role == "tool"))
        return assistant("", calls=(called("say_much", f'{{"n": {len(messages)}}}', id="c"),))

    environment = tools(say_much)
    environment.context = DiscardAll(threshold=200)
    outcome = run(environment, Scripted(answer), tmp_path, limits=Limits(steps=1))
    assert (outcome.stop, outcome.text) == ("step_cap", "2 ")


class Dear(Scripted):
    """Every answer costs a dollar."""

    async def complete(self, messages, tools=(), **kwargs):
        reply = await super().complete(messages, tools, **kwargs)
        self.most = kwargs["sampling"].max_tokens
        return Reply(reply.message, reply.stop, Usage(reply.usage.prompt, reply.usage.completion, cost=1.0))


def only_calls(messages: Sequence[Message]) -> Message:
    if wrapped_up(messages):
        return assistant("last words")
    return assistant("", calls=(called("say_much", f'{{"n": {len(messages)}}}', id=f"c{len(messages)}"),))


def test_a_token_cap_leaves_room_for_last_words(tmp_path) -> None:
    model = Dear(only_calls)
    outcome = run(tools(say_much), model, tmp_path, limits=Limits(tokens=10_000))
    assert (outcome.stop, outcome.text) == ("token_cap", "last words")
    assert outcome.usage.total <= 10_000 and outcome.turns > 2 and 0 < model.most < 10_000


def test_a_cost_cap_that_is_overrun_gives_the_last_results(tmp_path) -> None:
    outcome = run(tools(say_much), Dear(only_calls), tmp_path, limits=Limits(cost=1.0))
    assert outcome.stop == "cost_cap" and outcome.text.startswith("2 much")
    outcome = run(tools(say_much), Dear(only_calls), tmp_path / "more", limits=Limits(cost=1.01))
    assert (outcome.stop, outcome.text) == ("cost_cap", "last words")


def test_calls_beyond_the_step_cap_are_refused_in_order(tmp_path) -> None:
    made = []

    async def note(n: int) -> str:
        """Note."""
        made.append(n)
        return str(n)

    def answer(messages: Sequence[Message]) -> Message:
        if wrapped_up(messages):
            return assistant("end")
        return assistant("", calls=tuple(called("note", f'{{"n": {n}}}', id=f"c{n}") for n in range(300)))

    model = Scripted(answer)
    outcome = run(tools(note), model, tmp_path, limits=Limits(steps=15))
    results = [m for m in model.calls[-1] if m.role == "tool"]
    assert (outcome.stop, outcome.steps, made) == ("step_cap", 15, list(range(15)))
    assert [m.tool_call_id for m in results] == [f"c{n}" for n in range(300)]
    assert [m.text for m in results] == [*map(str, range(15)), *[OVER_STEPS.text] * 285]


def again(environment: Environment, model: Any, folder, kinds: tuple[str, ...], limits: Limits) -> Outcome:
    """Go on with the run of which only events up to the last of `kinds` are left."""
    events = read(folder).events
    last = max(i for i, event in enumerate(events) if event.kind in kinds)

    async def go() -> Outcome:
        with Journal(folder.parent / "again") as journal:
            resumed = AgentRun(journal, model, past=events[: last + 1])
            return await resumed.start(Task("t", "What is 1 + 2?", limits=limits), environment)

    return asyncio.run(go())


def test_a_resumed_run_acts_on_a_recorded_answer_before_its_cap(tmp_path) -> None:
    limits, call = Limits(turns=2), assistant("", calls=(called("add", '{"a": 2}'),))
    run(tools(add), Scripted([call, assistant("It is 3.")]), tmp_path / "a", limits=limits)
    outcome = again(tools(add), Scripted([]), tmp_path / "a", ("llm.finished",), limits)
    assert (outcome.stop, outcome.text) == ("done", "It is 3.")


def test_a_resumed_run_uses_pending_results_before_its_cap(tmp_path) -> None:
    limits, call = Limits(turns=1), assistant("", calls=(called("add", '{"a": 2}'),))
    run(tools(add), Scripted([call, assistant("words")]), tmp_path / "a", limits=limits)
    model = Scripted([assistant("after all")])
    outcome = again(tools(add), model, tmp_path / "a", ("tool.finished",), limits)
    assert (outcome.stop, outcome.text) == ("turn_cap", "after all")
    assert [m.text for m in model.calls[0] if m.role == "tool"] == ["3"]


def test_recorded_last_words_are_still_those_of_a_cap(tmp_path) -> None:
    limits, call = Limits(turns=1), assistant("", calls=(called("add", '{"a": 2}'),))
    run(tools(add), Scripted([call, assistant("words")]), tmp_path / "a", limits=limits)
    outcome = again(tools(add), Scripted([]), tmp_path / "a", ("llm.finished",), limits)
    assert (outcome.stop, outcome.text) == ("turn_cap", "words")


@pytest.mark.parametrize(("end", "stop"), [("length", "cut_off"), ("filter", "filtered")])
def test_an_answer_that_was_ended_is_not_done_in_a_resumed_run_either(end: str, stop: str, tmp_path) -> None:
    model = Stopping([assistant("half an")])
    model.stop = end
    run(tools(add), model, tmp_path / "a")
    outcome = again(tools(add), Scripted([]), tmp_path / "a", ("llm.finished",), Limits())
    assert (outcome.stop, outcome.text) == (stop, "half an")


def test_last_words_are_as_long_as_the_money_that_is_left_pays_for(tmp_path) -> None:
    class Noting(Scripted):
        most: int | None = None

        async def complete(self, messages, tools=(), **kwargs):
            self.most = kwargs["sampling"].max_tokens
            return await super().complete(messages, tools, **kwargs)

    model = Noting(only_calls, price=1e-4)
    outcome = run(tools(say_much), model, tmp_path, limits=Limits(cost=1.0))
    assert (outcome.stop, outcome.text) == ("cost_cap", "last words") and outcome.usage.cost <= 1.0
    before = outcome.usage.total - sum(map(estimated_tokens, [*model.calls[-1], assistant("last words")]))
    assert model.most is not None
    assert (before + sum(map(estimated_tokens, model.calls[-1])) + model.most) * 1e-4 == pytest.approx(1.0, abs=2e-4)
