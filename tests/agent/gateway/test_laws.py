"""Concatenating a path's nodes is exactly what the engine saw, whatever harnesses do to their conversations."""

import asyncio
import json
import zlib
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from manyeyes.agent.gateway.capture import Verdict
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.sampler import Completion, OnToken, SampleRequest
from manyeyes.core.trajectory_checks import Rules, check_trajectory

from .gateways import TINY, TOOL, Place, listening, over, settled

BYTE = {TINY.tokens[rank]: rank for rank in range(TINY.n_ranks) if len(TINY.tokens[rank]) == 1}
Chat = list[dict[str, Any]]
TEXT = st.sampled_from(["a", "b b", "the é世 end", " {}", "x\n"])


class Recording(FakeSampler):
    """Remembers what it saw and what it said, in the order in which it ended."""

    def __init__(self, **options: Any) -> None:
        super().__init__(say, vocab_size=TINY.n_vocab, tokenizer=TINY, context_tokens=8192, **options)
        self.saw: list[tuple[SampleRequest, Completion]] = []

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        done = await super().sample(request, on_token=on_token)
        self.saw.append((request, done))
        return done


def say(request: SampleRequest) -> list[int]:
    """A turn that follows from the prompt and the seed, often spelt as no encoder would spell it."""
    key = zlib.crc32(request.ids.tobytes() + str(request.params.seed).encode())
    text = (lambda t: [BYTE[bytes([b])] for b in t.encode()]) if key % 3 else TINY.encode
    ids = [*text(["", "hm", "so {"][key % 3]), TINY.end_think, *text(["", "fine ", "né"][key // 3 % 3])]
    if key // 9 % 2:
        ids += [TINY.calls_begin]
        for number in range(1 + key // 18 % 2):
            ids += [TINY.call_begin, *text(f"functions.zoom:{number}"), TINY.call_argument_begin]
            ids += [*text(['{"x": 1.0, "y": "é"}', '{"x":2}', "{broken"][key // 36 % 3]), TINY.call_end]
        ids += [TINY.calls_end]
    return ids if key % 11 == 0 else [*ids, TINY.im_end]


class Harness(RuleBasedStateMachine):
    """Black boxes that grow, edit, cut, repeat and abandon their conversations, in three dialects."""

    chats: Bundle[tuple[str, Chat]] = Bundle("chats")

    @initialize(target=chats)
    def open(self) -> tuple[str, Chat]:
        self.loop, self.goes = asyncio.new_event_loop(), asyncio.Event()
        self.goes.set()
        self.fake = Recording(pace=lambda: self.goes.wait())
        self.listening = listening(over(self.fake))
        self.place: Place = self.do(self.listening.__aenter__())
        self.asked = 0
        return "", [{"role": "user", "content": "begin"}]

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    @rule(target=chats, text=TEXT, agent=st.sampled_from(["", "one", "two"]))
    def begin(self, text: str, agent: str) -> tuple[str, Chat]:
        return agent, [{"role": "system", "content": text}, {"role": "user", "content": text}]

    @rule(target=chats, chat=chats, text=TEXT, dialect=st.sampled_from(["chat", "responses", "messages"]),
          stream=st.booleans())  # fmt: skip
    def ask(self, chat: tuple[str, Chat], text: str, dialect: str, stream: bool) -> tuple[str, Chat]:
        agent, history = chat
        reply = self.do(self.called(agent, history, dialect, stream))
        self.asked += 1
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": f"r {text}"} for call in reply.get("tool_calls", ())
        ]
        return agent, [*history, reply, *(results or [{"role": "user", "content": text}])]

    @rule(target=chats, chat=chats, how=st.sampled_from(["arguments", "space", "thought", "edit", "ids"]))
    def drift(self, chat: tuple[str, Chat], how: str) -> tuple[str, Chat]:
        agent, history = chat
        return agent, [drifted(message, how) for message in json.loads(json.dumps(history))]

    @rule(target=chats, chat=chats, text=TEXT)
    def compact(self, chat: tuple[str, Chat], text: str) -> tuple[str, Chat]:
        agent, history = chat
        kept = next((i for i, m in enumerate(history) if i >= len(history) // 2 and m["role"] != "tool"), len(history))
        return agent, [{"role": "user", "content": f"summary {text}"}, *history[kept:]]

    @rule(chat=chats, siblings=st.integers(1, 3))
    def ask_at_once(self, chat: tuple[str, Chat], siblings: int) -> None:
        agent, history = chat

        async def work() -> None:
            others = [[*history, {"role": "user", "content": f"branch {i}"}] for i in range(siblings)]
            await asyncio.gather(*(self.called(agent, other, "chat", False) for other in others))

        self.do(work())
        self.asked += siblings

    @rule(chat=chats, stream=st.booleans())
    def retry(self, chat: tuple[str, Chat], stream: bool) -> None:
        agent, history = chat
        again = {"X-Stainless-Retry-Count": "1"}
        first = self.do(self.called(agent, [*history, NEVER], "chat", stream))
        count = len(self.fake.requests)
        assert self.do(self.called(agent, [*history, NEVER], "chat", stream, again)) == first
        assert len(self.fake.requests) == count
        sibling = self.do(self.called(agent, [*history, NEVER], "chat", stream))
        assert len(self.fake.requests) == count + 1 and sibling["role"] == "assistant"
        self.asked += 2

    @rule(chat=chats)
    def leave_and_come_back(self, chat: tuple[str, Chat]) -> None:
        agent, history = chat
        count = len(self.fake.requests)

        async def work() -> None:
            desk, said = self.place.gateway.desk, [*history, NEVER, NEVER]
            self.goes.clear()
            first = asyncio.create_task(self.called(agent, said, "chat", False))
            await settled(lambda: len(self.fake.requests) > count)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await settled(lambda: not any(call.readers for call in desk.calls))
            second = asyncio.create_task(self.called(agent, said, "chat", False))
            await settled(lambda: any(call.readers for call in desk.calls))
            self.goes.set()
            await second

        self.do(work())
        self.asked += 1
        assert len(self.fake.requests) == count + 1

    async def called(
        self, agent: str, history: Chat, dialect: str, stream: bool, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        path, body = spoken(history, dialect, stream)
        where = f"{self.place.gateway.url}/s/s{f'/a/{agent}' if agent else ''}/v1/{path}"
        async with self.place.http.post(where, json=body, headers=headers or {}) as response:
            content = await response.read()
            assert response.status == 200, content
        return heard(content, dialect, stream)

    @invariant()
    def nodes_are_what_the_engine_saw(self) -> None:
        if not hasattr(self, "fake") or not self.asked:
            return
        whole = self.place.gateway.trajectory("s")
        assert len(whole.nodes) == len(self.fake.saw) == self.asked
        for number, (request, done) in enumerate(self.fake.saw):
            path = whole.path(number)
            assert path.ids.tolist() == [*request.ids.tolist(), *done.ids]
            assert path.nodes[-len(done.ids) :].tolist() == [number] * len(done.ids)
            node = whole.nodes[number]
            assert node.logprobs.tolist() == np.float32(done.logprobs).tolist() and not node.masked
            assert node.versions.tolist() == done.versions
        learned = sum(float(sample.weights.sum()) for sample in whole.to_samples(1.0))
        assert learned == sum(len(done.ids) for _, done in self.fake.saw)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            if self.asked:
                self.place.gateway.reward("s", Verdict(1.0))
                whole = self.place.gateway.end("s")
                assert whole is not None
                assert check_trajectory(whole, Rules(vocab_size=TINY.n_vocab, media_pad=TINY.media_pad)) == []
            self.do(self.listening.__aexit__(None, None, None))
            self.loop.close()


NEVER = {"role": "user", "content": "said in no other conversation"}


def drifted(message: dict[str, Any], how: str) -> dict[str, Any]:
    if message["role"] != "assistant":
        return message
    if how == "thought":
        message.pop("reasoning_content", None)
    elif how == "space":
        message["content"] = f" {message.get('content') or ''}\n"
    elif how == "edit":
        message["content"] = "edited"
    else:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = rewritten(call["function"]["arguments"])
    return message


def rewritten(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), indent=1, sort_keys=True)
    except ValueError:
        return arguments


def spoken(history: Chat, dialect: str, stream: bool) -> tuple[str, dict[str, Any]]:
    if dialect == "chat":
        return "chat/completions", {"model": "m", "messages": history, "tools": [TOOL], "stream": stream}
    if dialect == "responses":
        tool = {"type": "function", **TOOL["function"]}
        items = [item for message in history for item in items_of(message)]
        return "responses", {"model": "m", "input": items, "tools": [tool], "stream": stream}
    function = TOOL["function"]
    tool = {"name": function["name"], "description": function["description"], "input_schema": function["parameters"]}
    system = "\n".join(message["content"] for message in history if message["role"] == "system")
    said = [blocks_of(message) for message in history if message["role"] != "system"]
    body = {"model": "m", "messages": said, "tools": [tool], "max_tokens": 500, "stream": stream,
            "thinking": {"type": "enabled", "budget_tokens": 99}}  # fmt: skip
    return "messages", body | ({"system": system} if system else {})


def items_of(message: dict[str, Any]) -> Chat:
    if message["role"] == "tool":
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}]
    if message["role"] != "assistant":
        return [{"role": message["role"], "content": message["content"]}]
    items: Chat = []
    if message.get("reasoning_content"):
        thought = {"type": "reasoning_text", "text": message["reasoning_content"]}
        items.append({"type": "reasoning", "id": "rs", "summary": [], "content": [thought]})
    if message.get("content") or not message.get("tool_calls"):
        text = {"type": "output_text", "text": message.get("content") or "", "annotations": []}
        items.append({"type": "message", "role": "assistant", "content": [text]})
    for call in message.get("tool_calls", ()):
        function = call["function"]
        items.append({"type": "function_call", "call_id": call["id"], "name": function["name"],
                      "arguments": function["arguments"]})  # fmt: skip
    return items


def blocks_of(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        block = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
        return {"role": "user", "content": [block]}
    if message["role"] != "assistant":
        return {"role": "user", "content": message["content"]}
    blocks: Chat = []
    if message.get("reasoning_content"):
        blocks.append({"type": "thinking", "thinking": message["reasoning_content"], "signature": "s"})
    if message.get("content"):
        blocks.append({"type": "text", "text": message["content"]})
    for call in message.get("tool_calls", ()):
        try:
            given = json.loads(call["function"]["arguments"])
        except ValueError:
            given = {"__unparsed_arguments__": call["function"]["arguments"]}
        blocks.append({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": given})
    return {"role": "assistant", "content": blocks or ""}


def heard(content: bytes, dialect: str, stream: bool) -> dict[str, Any]:
    """The assistant's message, in the chat form."""
    lines = content.decode().split("\n")
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")] if stream else []
    if dialect == "chat":
        return assembled(events) if stream else clean(json.loads(content)["choices"][0]["message"])
    if dialect == "responses":
        said = events[-1]["response"] if stream else json.loads(content)
        return from_items(said["output"])
    return from_blocks(blocks_in(events) if stream else json.loads(content)["content"])


def clean(message: dict[str, Any]) -> dict[str, Any]:
    kept = {name: message[name] for name in ("reasoning_content", "tool_calls") if message.get(name)}
    return {"role": "assistant", "content": message.get("content") or "", **kept}


def assembled(events: Chat) -> dict[str, Any]:
    said: dict[str, Any] = {"content": "", "reasoning_content": ""}
    calls: dict[int, dict[str, Any]] = {}
    for event in events:
        for delta in (choice["delta"] for choice in event["choices"]):
            for name in ("content", "reasoning_content"):
                said[name] += delta.get(name) or ""
            for piece in delta.get("tool_calls") or ():
                if piece.get("id"):
                    function = {"name": piece["function"]["name"], "arguments": ""}
                    calls[piece["index"]] = {"id": piece["id"], "type": "function", "function": function}
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return clean(said | {"tool_calls": list(calls.values())})


def from_items(items: Chat) -> dict[str, Any]:
    said: dict[str, Any] = {"content": "", "tool_calls": []}
    for item in items:
        if item["type"] == "reasoning":
            said["reasoning_content"] = "".join(part["text"] for part in item["content"])
        elif item["type"] == "message":
            said["content"] = item["content"][0]["text"]
        else:
            function = {"name": item["name"], "arguments": item["arguments"]}
            said["tool_calls"].append({"id": item["call_id"], "type": "function", "function": function})
    return clean(said)


def blocks_in(events: Chat) -> Chat:
    blocks: Chat = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            delta, block = event["delta"], blocks[-1]
            match delta["type"]:
                case "text_delta":
                    block["text"] += delta["text"]
                case "thinking_delta":
                    block["thinking"] += delta["thinking"]
                case "input_json_delta":
                    block["input"] = json.loads(delta["partial_json"])
    return blocks


def from_blocks(blocks: Chat) -> dict[str, Any]:
    said: dict[str, Any] = {"content": "", "tool_calls": []}
    for block in blocks:
        if block["type"] == "thinking":
            said["reasoning_content"] = block["thinking"]
        elif block["type"] == "text":
            said["content"] += block["text"]
        else:
            given = block["input"].get("__unparsed_arguments__") or json.dumps(block["input"])
            function = {"name": block["name"], "arguments": given}
            said["tool_calls"].append({"id": block["id"], "type": "function", "function": function})
    return clean(said)


Harness.TestCase.settings = settings(max_examples=16, stateful_step_count=16)
test_nodes_are_what_the_engine_saw = Harness.TestCase
