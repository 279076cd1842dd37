"""The client against a real server on loopback: what it sends, what it understands, and every way to fail."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from manyeyes.agent.chat_model import ModelError, Reply, Sampling, Usage
from manyeyes.agent.fakes import FakeEndpoint, Fault
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.wire import MessageEncoder, tools_json
from manyeyes.core.messages import Message, Tool, ToolCall, assistant, system, tool_result, user

CALL = ToolCall("c1", "search", '{"queries": ["a"]}')
TOOLS = (Tool("search", "Search.", {"type": "object", "properties": {"queries": {"type": "array"}}}),)


def policy(messages: Sequence[Message]) -> Message:
    """Calls a tool first, then tells what came back."""
    if messages[-1].role == "tool":
        return assistant(f"It says {messages[-1].text}", reasoning="now I know")
    return assistant("", reasoning="I should look", calls=(CALL,))


def talk(server: FakeEndpoint, do: Callable[[OpenAIChat], Awaitable[Any]], **settings: Any) -> Any:
    async def run() -> Any:
        async with server, OpenAIChat(Endpoint(server.url, "fake", **({"retries": 2} | settings))) as chat:
            return await do(chat)

    return asyncio.run(run())


def test_calls_reasoning_and_text_arrive_whole() -> None:
    async def do(chat: OpenAIChat) -> tuple[Reply, Reply]:
        history = [system("s"), user("u")]
        first = await chat.complete(history, TOOLS)
        second = await chat.complete([*history, first.message, tool_result(CALL, "42")], TOOLS)
        return first, second

    first, second = talk(FakeEndpoint(policy), do)
    assert first.message == assistant("", reasoning="I should look", calls=(CALL,)) and first.stop == "tool_calls"
    assert second.message == assistant("It says 42", reasoning="now I know") and second.stop == "stop"
    assert second.usage.prompt == 10 and second.attempts == 1


def test_what_is_sent_is_what_openai_documents() -> None:
    seen: list[Sequence[Message]] = []
    bodies: list[dict[str, Any]] = []

    class Recording(FakeEndpoint):
        async def _respond(self, request, number):
            bodies.append(json.loads(await request.read()))
            return await super()._respond(request, number)

    def answer(messages: Sequence[Message]) -> Message:
        seen.append(messages)
        return assistant("ok")

    async def do(chat: OpenAIChat) -> Reply:
        thought = assistant("", reasoning="", calls=(CALL,))
        sampling = Sampling(0.5, 0.9, max_tokens=7, extra={"thinking": {"type": "enabled"}})
        return await chat.complete([user("q"), thought, tool_result(CALL, "r")], TOOLS, sampling=sampling)

    talk(Recording(answer), do)
    (body,) = bodies
    assert body["messages"][1] == {
        "role": "assistant", "content": "", "reasoning_content": "",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": CALL.arguments}}],
    }  # fmt: skip
    assert body["messages"][2] == {"role": "tool", "content": "r", "tool_call_id": "c1"}
    assert body["tools"] == json.loads(tools_json(TOOLS)) and body["stream"] is True
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.5, 0.9, 7)
    assert body["thinking"] == {"type": "enabled"} and body["stream_options"] == {"include_usage": True}


def test_reasoning_goes_back_with_tool_calls_even_when_there_was_none() -> None:
    plain = json.loads(MessageEncoder().message(assistant("", calls=(CALL,))))
    assert plain["reasoning_content"] == ""
    assert "reasoning_content" not in json.loads(MessageEncoder().message(assistant("hi")))


def test_pieces_of_text_are_told_as_they_arrive() -> None:
    pieces: list[str] = []

    async def do(chat: OpenAIChat) -> Reply:
        return await chat.complete([user("q")], on_text=pieces.append)

    reply = talk(FakeEndpoint(lambda _: assistant("hello world")), do)
    assert "".join(pieces) == reply.message.text == "hello world" and len(pieces) == 2


@pytest.mark.parametrize(("fault", "kind", "calls"), [("400", "request", 1), ("overflow", "overflow", 1),
    ("401", "quota", 1), ("402", "quota", 1), ("500", "endpoint", 3), ("cut", "endpoint", 3),
    ("garbage", "endpoint", 3), ("silent", "endpoint", 3), ("timeout", "endpoint", 3)])  # fmt: skip
def test_every_failure_ends_in_one_error_of_its_kind(fault: Fault, kind: str, calls: int, monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.openai_chat.FIRST_PAUSE", 0.01)
    server = FakeEndpoint(lambda _: assistant("never"), fault=lambda number, messages: fault)

    async def do(chat: OpenAIChat) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await chat.complete([user("q")])
        assert chat.limiter.in_flight == 0
        return caught.value

    error = talk(server, do, idle=0.2, wall=5.0)
    assert error.kind == kind and server.received == calls and "\n" not in str(error)


@pytest.mark.parametrize("fault", ["500", "cut", "garbage", "silent", "429"])
def test_a_passing_failure_is_tried_again(fault: Fault, monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.openai_chat.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("manyeyes.agent.openai_chat.DEFAULT_RETRY_AFTER", 0.01)
    server = FakeEndpoint(lambda _: assistant("yes"), fault=lambda number, messages: fault if number == 0 else "")

    async def do(chat: OpenAIChat) -> Reply:
        return await chat.complete([user("q")])

    reply = talk(server, do, idle=0.3)
    assert reply.message.text == "yes" and reply.attempts == 2


def test_a_dead_endpoint_is_named_with_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.openai_chat.FIRST_PAUSE", 0.01)

    async def do() -> None:
        async with OpenAIChat(Endpoint("http://127.0.0.1:9/v1", "m", retries=1, connect=1.0)) as chat:
            await chat.complete([user("q")])

    with pytest.raises(ModelError, match="cannot be reached.*server up"):
        asyncio.run(do())


def test_without_quota_everybody_waits_until_somebody_resumes() -> None:
    paid = False

    def fault(number: int, messages: Sequence[Message]) -> Fault:
        return "" if paid else "402"

    async def do(chat: OpenAIChat) -> list[Reply]:
        nonlocal paid
        waiting = [asyncio.ensure_future(chat.complete([user(str(n))])) for n in range(3)]
        while chat.limiter.state != "paused" or chat.limiter.in_flight:
            await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting) and "402" in chat.limiter.paused_for
        paid = True
        chat.limiter.resume()
        return await asyncio.gather(*waiting)

    replies = talk(FakeEndpoint(lambda _: assistant("yes"), fault=fault), do, wait_for_quota=True)
    assert [reply.message.text for reply in replies] == ["yes"] * 3


def test_a_storm_of_refusals_wastes_little() -> None:
    server = FakeEndpoint(lambda _: assistant("yes"), rate=40)

    async def do(chat: OpenAIChat) -> float:
        began = time.monotonic()
        await asyncio.gather(*(chat.complete([user(str(n))]) for n in range(120)))
        return time.monotonic() - began

    seconds = talk(server, do)
    assert server.served == 120
    assert seconds < 5.0  # 40 a second: three windows, the first of which may have begun before


def test_the_key_is_sent_and_never_shown() -> None:
    server = FakeEndpoint(lambda _: assistant("yes"), key="sk-secret")

    async def do(chat: OpenAIChat) -> Reply:
        return await chat.complete([user("q")])

    assert talk(server, do, key="sk-secret").message.text == "yes"
    assert "sk-secret" not in repr(Endpoint("http://x", "m", key="sk-secret"))


def test_prices_become_costs() -> None:
    endpoint = Endpoint("http://x", "m", prompt_price=2.0, completion_price=8.0, cached_price=0.5)
    assert endpoint.cost(Usage(prompt=1_000_000, completion=500_000, cached=400_000)) == pytest.approx(1.2 + 0.2 + 4.0)


def test_equal_messages_are_encoded_once() -> None:
    encoder, messages = MessageEncoder(), [user("a"), assistant("b")]
    first = encoder.conversation(messages)
    assert encoder.message(messages[0]) is encoder.message(messages[0])
    assert msgspec.json.decode(first) == msgspec.json.decode(MessageEncoder().conversation(messages))


def test_priority_goes_first_where_calls_queue() -> None:
    order: list[str] = []

    def answer(messages: Sequence[Message]) -> Message:
        order.append(messages[-1].text)
        return assistant("ok")

    async def run() -> None:
        server = FakeEndpoint(answer, seconds=0.02)
        async with server, OpenAIChat(Endpoint(server.url, "m"), limiter=Limiter(1)) as chat:
            calls = [chat.complete([user(f"{priority}")], priority=priority) for priority in (2, 2, 1, 0)]
            await asyncio.gather(*calls)

    asyncio.run(run())
    assert order == ["2", "0", "1", "2"]
