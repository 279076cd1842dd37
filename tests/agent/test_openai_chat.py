"""The client against a real server on loopback: what it sends, what it understands, and every way to fail."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
from aiohttp import web

from manyeyes.agent.chat_model import ModelError, Reply, Sampling, Usage
from manyeyes.agent.fakes import FakeEndpoint, Fault
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.refusals import Busy, Course, NoQuota, Transient, refusal, said_by
from manyeyes.agent.wire import Assembler, Chunk, MessageEncoder, tools_json
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
    monkeypatch.setattr("manyeyes.agent.refusals.DEFAULT_RETRY_AFTER", 0.01)
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
    server = FakeEndpoint(lambda _: assistant("yes"), rate=40, window=0.5)

    async def do(chat: OpenAIChat) -> list[Reply]:
        return await asyncio.gather(*(chat.complete([user(str(n))]) for n in range(120)))

    replies = talk(server, do)
    assert server.served == 120 == sum(reply.message.text == "yes" for reply in replies)
    assert server.refused <= 120  # all come at once, most are refused once; after that calls keep to the pace


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


def put_together(*chunks: dict[str, Any]) -> list[tuple[str, str, str]]:
    answer = Assembler()
    for chunk in chunks:
        answer.add(msgspec.convert({"choices": [chunk]}, Chunk))
    return [(call.id, call.name, call.arguments) for call in answer.message(prefix="p").tool_calls]


def piece(id: str | None = None, name: str | None = None, arguments: str = "", **index: int) -> dict[str, Any]:
    return {"id": id, "function": {"name": name, "arguments": arguments}, **index}


F, G = ("a", "f", '{"x":1}'), ("b", "g", "{}")


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_calls_of_a_whole_answer_stay_apart(index: dict[str, int]) -> None:
    assert put_together({"message": {"tool_calls": [piece(*F, **index), piece(*G, **index)]}}) == [F, G]
    nameless = {"message": {"tool_calls": [piece(None, *F[1:], **index), piece(None, *G[1:], **index)]}}
    assert put_together(nameless) == [("p:0", *F[1:]), ("p:1", *G[1:])]


def deltas(*pieces: dict[str, Any]) -> list[tuple[str, str, str]]:
    return put_together(*({"delta": {"tool_calls": [one]}} for one in pieces))


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_calls_that_all_come_under_one_index_stay_apart(index: dict[str, int]) -> None:
    halves = piece("a", "f", '{"x"', **index), piece(None, None, ":1}", **index)
    assert deltas(*halves, piece(*G, **index)) == [F, G]
    assert put_together({"delta": {"tool_calls": [piece(*F, **index), piece(*G, **index)]}}) == [F, G]


def test_pieces_find_their_call_by_index_and_ids_may_repeat_or_change() -> None:
    mixed = piece("b", "g", index=1), piece("a", "f", index=0), piece("a", None, '{"x":1}', index=0)
    assert deltas(*mixed, piece("other", None, "{}", index=1)) == [F, G]


MONEY = {"message": "You exceeded your current quota, please check your plan.", "code": "insufficient_quota"}
AZURE = {"message": "Exceeded the token rate limit. Go here to request a quota increase.", "code": "429"}
GEMINI = {
    "message": "You exceeded your current quota, please check your plan and billing details. Please retry in 27s."
}


@pytest.mark.parametrize(("error", "headers", "kind"), [
    (MONEY, {}, NoQuota), (MONEY, {"Retry-After": "3"}, Busy), (AZURE, {"Retry-After": "3"}, Busy),
    (AZURE, {}, Busy), (GEMINI, {}, Busy), ({"message": "credit where due"}, {}, Busy),
    ({"message": "the load balancer is full"}, {}, Busy), ({"message": "Insufficient balance"}, {}, NoQuota),
    ({"message": "x", "type": "exceeded_current_quota_error"}, {}, NoQuota),
])  # fmt: skip
def test_a_rate_limit_is_no_lack_of_money(error: dict[str, str], headers: dict[str, str], kind: type) -> None:
    assert type(refusal(429, said_by(error, Endpoint("http://x", "m")), headers)) is kind


def test_a_limit_on_calls_under_way_is_known_by_its_name() -> None:
    moonshot = {"message": "reached max organization concurrency: 3, please try again after 1 seconds"}
    for error, at_once in [(moonshot, True), (AZURE, False)]:
        failure = refusal(429, said_by(error, Endpoint("http://x", "m")), {})
        assert isinstance(failure, Busy) and failure.at_once is at_once


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_key_that_comes_back_is_cut_out(status: int) -> None:
    key = "sk-secret-123"

    class Telling(FakeEndpoint):
        async def _respond(self, request, number):
            said = {"error": {"message": f"{'x' * 280} {key} is no good {key}"}}
            return web.json_response(said, status=status)

    async def do(chat: OpenAIChat) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await chat.complete([user("q")])
        return caught.value

    error = talk(Telling(policy), do, key=key, retries=0)
    assert "sk-secret" not in str(error) and "[key]" in str(error)
    assert "http://x/1" in repr(Endpoint("http://x/1", "m", key="1")) and key not in repr(Endpoint(key, "m", key=key))


def test_neither_a_partial_answer_nor_the_failures_behind_an_error_show_the_key() -> None:
    key = "sk-secret-123"
    said = assistant(f"your key is {key}, is it not? " * 40)
    server = FakeEndpoint(lambda _: said, fault=lambda number, messages: "cut")

    async def do(chat: OpenAIChat) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await chat.complete([user("q")])
        return caught.value

    error = talk(server, do, key=key, retries=0)
    assert "your key is [key]" in error.partial and "sk-secret" not in error.partial
    assert error.__cause__ is None and error.__context__ is None


def test_signs_of_life_are_no_answer() -> None:
    server = FakeEndpoint(lambda _: assistant("never " * 20), fault=lambda number, messages: "ping")

    async def do(chat: OpenAIChat) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await chat.complete([user("q")])
        return caught.value

    error = talk(server, do, idle=30.0, alive=0.2, retries=1)
    assert error.kind == "endpoint" and server.received == 2
    assert "without a word of an answer for 0.2 s" in str(error) and "never" in error.partial


def test_patience_begins_with_the_first_refusal_and_leaves_out_queues() -> None:
    course, busy = Course(0.0, waited=500.0), Busy("", retry_after=10.0)
    for begins, ends, refused in [(500.0, 502.0, 0.0), (900.0, 901.0, 11.0), (2000.0, 2003.0, 24.0)]:
        course.tries(begins)
        course.failed(busy, ends)
        assert course.refused == refused
    course.failed(Transient(""), 2004.0)
    assert (course.refused, course.failures, course.attempts) == (24.0, 1, 3)


def test_a_call_that_is_only_ever_refused_fails_in_the_end(monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.refusals.DEFAULT_RETRY_AFTER", 0.02)
    server = FakeEndpoint(lambda _: assistant("never"), fault=lambda number, messages: "429")

    async def do(chat: OpenAIChat) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await chat.complete([user("q")])
        return caught.value

    error = talk(server, do, patience=0.05)
    assert error.kind == "endpoint" and error.status == 429 and server.received >= 2


def test_a_call_that_is_tried_again_does_not_queue_behind_later_ones(monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.refusals.DEFAULT_RETRY_AFTER", 0.01)
    order: list[str] = []

    def answer(messages: Sequence[Message]) -> Message:
        order.append(messages[-1].text)
        return assistant("ok")

    async def run() -> None:
        server = FakeEndpoint(answer, fault=lambda number, messages: "429" if number == 0 else "")
        async with server, OpenAIChat(Endpoint(server.url, "m"), limiter=Limiter(1)) as chat:
            await asyncio.gather(*(chat.complete([user(str(n))]) for n in range(4)))

    asyncio.run(run())
    assert order == ["0", "1", "2", "3"]


def test_equal_tools_of_many_agents_are_encoded_once(monkeypatch) -> None:
    encoded: list[Sequence[Tool]] = []
    monkeypatch.setattr(
        "manyeyes.agent.openai_chat.tools_json", lambda tools: encoded.append(tools) or tools_json(tools)
    )
    chat = OpenAIChat(Endpoint("http://x", "m"))
    kinds = [(Tool("search", "S", {"type": "object"}),), (Tool("search", "S", {"type": "null"}),)]
    for _ in range(5):
        for kind in kinds:
            own = [Tool(tool.name, tool.description, dict(tool.parameters)) for tool in kind]
            assert chat._declared(own) == tools_json(kind)
    assert len(encoded) == 2
    for n in range(40):
        chat._declared((Tool(f"t{n}", "", {}),))
    assert len(chat._tools) == 16


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_an_endless_answer_is_cut(monkeypatch, kind: str) -> None:
    monkeypatch.setattr("manyeyes.agent.openai_chat.LONGEST_ANSWER", 10_000)
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n')
            sent += 1
        return response

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            async with OpenAIChat(Endpoint(url, "m", retries=0)) as chat:
                with pytest.raises(ModelError, match="an answer of more than"):
                    await chat.complete([user("go")])
        finally:
            await runner.cleanup()

    asyncio.run(run())
    assert sent > 100


def test_what_is_not_there_asks_for_the_address() -> None:
    missing = refusal(404, said_by("404: Not Found", Endpoint("http://x", "m")), {})
    assert isinstance(missing, ModelError) and missing.kind == "request" and "/v1" in str(missing)
