"""Harnesses write assistant messages anew; what was sampled is sent as it was sampled wherever it can be."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from manyeyes.agent.gateway.matcher import canonical, meaning
from manyeyes.core.messages import ToolCall, assistant
from manyeyes.core.trajectory import NOBODY

from .gateways import TINY, TOOL, Place, listening, over, paths, run, sampler, turn

BYTE = {TINY.tokens[rank]: rank for rank in range(TINY.n_ranks) if len(TINY.tokens[rank]) == 1}
ARGUMENTS = '{"x":1,  "y": [1.0, "é"]}'
HI = [{"role": "system", "content": "s"}, {"role": "user", "content": "Hi"}]
CALLS = [("zoom", '{"x": 1}')]
Message = dict[str, Any]


def spelt(ids: list[int]) -> list[int]:
    """The same text in single bytes, as no encoder writes it."""
    return [one for token in ids for one in (
        [token] if TINY.is_special(token) else [BYTE[bytes([b])] for b in TINY.token_bytes(token)])]  # fmt: skip


SCRIPT = [spelt(turn(" Look here ", reasoning="hm", calls=[("zoom", ARGUMENTS)])), spelt(turn("Done", reasoning="so"))]


def as_it_was(message: Message) -> None:
    """Sent back as it came."""


def arguments_anew(message: Message) -> None:
    call = message["tool_calls"][0]["function"]
    call["arguments"] = json.dumps(dict(reversed(json.loads(call["arguments"]).items())))


def whole_numbers(message: Message) -> None:
    message["tool_calls"][0]["function"]["arguments"] = '{"x": 1, "y": [1, "\\u00e9"]}'


def thought_left_out(message: Message) -> None:
    del message["reasoning_content"]


def thought_in_the_text(message: Message) -> None:
    message["content"] = f"<think>{message.pop('reasoning_content')}</think>\n{message['content']}"


def space_cut(message: Message) -> None:
    message["content"] = message["content"].strip()


def other_ids(message: Message) -> None:
    message["tool_calls"][0]["id"] = "call_xyz"


def nothing_is_left_out(message: Message) -> None:
    message["content"] = [{"type": "text", "text": message["content"]}]
    message |= {"refusal": None, "annotations": [], "function_call": None}


def text_edited(message: Message) -> None:
    message["content"] = "Look there"


def argument_changed(message: Message) -> None:
    message["tool_calls"][0]["function"]["arguments"] = '{"x": 2, "y": [1, "é"]}'


def call_left_out(message: Message) -> None:
    del message["tool_calls"]


KEPT = [as_it_was, arguments_anew, whole_numbers, thought_left_out, thought_in_the_text, space_cut, other_ids,
        nothing_is_left_out]  # fmt: skip
EXACT = [as_it_was, nothing_is_left_out]
CHANGED = [text_edited, argument_changed, call_left_out]


async def talked(place: Place, change: Callable[[Message], None]) -> None:
    body = {"model": "m", "messages": HI, "tools": [TOOL]}
    _, first = await place.post("/s/s/v1/chat/completions", body)
    message = copy.deepcopy(first["choices"][0]["message"])
    change(message)
    results = [{"role": "tool", "tool_call_id": c["id"], "content": "seen"} for c in message.get("tool_calls", ())]
    more = [*HI, message, *(results or [{"role": "user", "content": "more"}])]
    status, second = await place.post("/s/s/v1/chat/completions", body | {"messages": more})
    assert status == 200, second


@pytest.mark.parametrize("change", [*KEPT, *CHANGED], ids=lambda change: change.__name__)
def test_a_message_that_means_the_same_is_the_turn_that_was_sampled(change: Callable[[Message], None]) -> None:
    async def work() -> None:
        fake = sampler(SCRIPT)
        async with listening(over(fake)) as place:
            await talked(place, change)
            whole = place.gateway.trajectory("s")
            assert (len(whole.leaves) == 1) == (change in KEPT)
            assert (whole.nodes[1].fork == "") == (change in KEPT)
            assert [*fake.requests[1].ids.tolist(), *SCRIPT[1]] in paths(place.gateway)
            if change in KEPT:
                end = TINY.decode(fake.requests[1].ids.tolist())
                assert "## Return of functions.zoom:0\nseen" in end, "results are told under the id that was sampled"
            else:
                assert whole.nodes[1].parent == NOBODY and whole.nodes[1].fork == "retold"

    run(work)


@pytest.mark.parametrize("change", KEPT, ids=lambda change: change.__name__)
def test_strict_matching_takes_what_is_exactly_the_same(change: Callable[[Message], None]) -> None:
    async def work() -> None:
        async with listening(over(sampler(SCRIPT), matching="strict")) as place:
            await talked(place, change)
            assert (len(place.gateway.trajectory("s").leaves) == 1) == (change in EXACT)

    run(work)


def test_after_a_compaction_sampled_ids_are_kept_in_a_branch_of_their_own() -> None:
    script = [spelt(turn(f"answer {i}", reasoning=f"why {i}")) for i in range(3)]

    async def work() -> None:
        fake = sampler(script)
        async with listening(over(fake)) as place:
            said: list[Message] = list(HI)
            for _ in range(2):
                _, answer = await place.post("/s/s/v1/chat/completions", {"model": "m", "messages": said})
                said += [answer["choices"][0]["message"], {"role": "user", "content": "more"}]
            compact = [{"role": "user", "content": "so far: ..."}, *said[-2:]]
            await place.post("/s/s/v1/chat/completions", {"model": "m", "messages": compact})
            whole = place.gateway.trajectory("s")
            assert [node.parent for node in whole.nodes] == [NOBODY, 0, NOBODY] and whole.nodes[2].fork == "changed"
            given = whole.nodes[2].ids[: whole.nodes[2].given].tolist()
            head = given.index(TINY.think) + 1
            assert given[head : head + len(script[1])] == script[1], "thought and spelling as they were sampled"
            trained = [sample.weights.sum() for sample in whole.to_samples(1.0)]
            assert trained == [len(script[0]) + len(script[1]), len(script[2])]

    run(work)


def test_clients_that_number_the_calls_of_every_turn_anew() -> None:
    """A result stands under the id of its own call, whether that is the one that was sampled or the client's."""
    script = [turn("A", calls=CALLS), turn("B", calls=CALLS, at=1), turn("C")]

    async def work() -> None:
        fake = sampler(script)
        async with listening(over(fake)) as place:
            said: list[Message] = list(HI)
            for text in ("A", "edited"):
                _, answer = await place.post(
                    "/s/s/v1/chat/completions", {"model": "m", "messages": said, "tools": [TOOL]}
                )
                message = answer["choices"][0]["message"] | {"content": text}
                message["tool_calls"][0]["id"] = "call_0"
                said += [message, {"role": "tool", "tool_call_id": "call_0", "content": f"of {text}"}]
            await place.post("/s/s/v1/chat/completions", {"model": "m", "messages": said, "tools": [TOOL]})
            told = TINY.decode(fake.requests[-1].ids.tolist())
            assert "## Return of functions.zoom:0\nof A" in told and "## Return of call_0\nof edited" in told

    run(work)


def test_of_two_that_read_the_same_elsewhere_neither_is_taken() -> None:
    script = [turn("ok", reasoning="one"), turn("ok", reasoning="two"), turn("fin")]

    async def work() -> None:
        fake = sampler(script)
        async with listening(over(fake)) as place:
            for text in ("a", "b"):
                await place.post("/s/s/v1/messages", {"model": "m", "max_tokens": 9, "messages": [
                    {"role": "user", "content": text}]})  # fmt: skip
            await place.post("/s/s/v1/messages", {"model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": "c"}, {"role": "assistant", "content": "ok"},
                {"role": "user", "content": "d"}]})  # fmt: skip
            assert "one" not in (said := TINY.decode(fake.requests[2].ids.tolist())) and "two" not in said

    run(work)


def test_a_retold_last_message_is_a_branch_of_the_turn_before_it() -> None:
    """The prompt still begins with an older turn's stream: what they share is stored once."""
    script = [turn(f"answer {i}") for i in range(3)]

    async def work() -> None:
        async with listening(over(sampler(script))) as place:
            said: list[Message] = list(HI)
            for number in range(3):
                _, answer = await place.post("/s/s/v1/chat/completions", {"model": "m", "messages": said})
                message = answer["choices"][0]["message"] | ({"content": "edited"} if number == 1 else {})
                said += [message, {"role": "user", "content": "more"}]
            whole = place.gateway.trajectory("s")
            assert [(node.parent, node.fork) for node in whole.nodes] == [(NOBODY, ""), (0, ""), (0, "retold")]

    run(work)


def test_meaning() -> None:
    one = assistant("a", calls=(ToolCall("i", "f", '{"a": 1}'),))
    assert meaning(one) == meaning(assistant(" a\n", reasoning="r", calls=(ToolCall("j", "f", '{ "a":1.0 }'),)))
    for other in (assistant("a"), assistant("b", calls=one.tool_calls), assistant("a", calls=one.tool_calls * 2),
                  assistant("a", calls=(ToolCall("i", "g", '{"a": 1}'),)),
                  assistant("a", calls=(ToolCall("i", "f", '{"a": "1"}'),))):  # fmt: skip
        assert meaning(one) != meaning(other)
    for odd in ("", "{", "[1, 2", "\ud800", "1e999", "9" * 400, "[" * 9999):
        assert canonical(odd) == canonical(f" {odd} ") or not odd
