"""What clients of three dialects see, and what stays behind of their calls."""

import asyncio
import base64
import io
import json
from typing import Any

import aiohttp
import numpy as np
import openai
import pytest
from PIL import Image

from manyeyes.agent.gateway import session as session_module
from manyeyes.agent.gateway.capture import Verdict
from manyeyes.agent.gateway.gateway import Gateway
from manyeyes.agent.gateway.keys import Keys
from manyeyes.agent.gateway.session import Allowance
from manyeyes.agent.gateway.sessions import Wanted
from manyeyes.agent.gateway.wire import from_bytes
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import NOBODY, Trajectory
from manyeyes.inference.serve_errors import ApiError

from .gateways import CONTEXT, TINY, TOKEN, TOOL, ZOOM, Place, listening, over, paths, run, sampler, settled, turn

HI = [{"role": "user", "content": "Hi"}]
CALL = [("zoom", '{"x": 1}')]
ANTHROPIC = {"model": "m", "max_tokens": 300, "messages": HI}


def picture(level: int = 7) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]


async def streamed(place: Place, path: str, body: dict[str, Any]) -> str:
    async with place.http.post(place.gateway.url + path, json=body | {"stream": True}) as answer:
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream")
        return await answer.text()


def test_a_chat_completion_leaves_a_node() -> None:
    async def work() -> None:
        fake = sampler([turn("Hello", reasoning="hm")])
        async with listening(over(fake)) as place:
            said = await place.openai().chat.completions.create(model="any", messages=HI)
            (choice,) = said.choices
            assert (choice.message.content, choice.finish_reason, said.model) == ("Hello", "stop", "any")
            assert choice.message.reasoning_content == "hm" and said.usage.completion_tokens == len(turn("Hello")) + 2
            (node,) = place.gateway.trajectory("s").nodes
            assert node.ids[: node.given].tolist() == fake.requests[0].ids.tolist()
            assert node.sampled.tolist() == turn("Hello", reasoning="hm") and node.parent == NOBODY
            assert np.isfinite(node.logprobs).all() and node.versions.tolist() == [0] * len(node.sampled)
            assert (node.stop, node.fork, node.malformed, node.masked) == ("stop", "", "", "")

    run(work)


def test_a_conversation_is_one_branch_in_every_dialect() -> None:
    """Tool calls, results and thoughts travel each dialect's way and come back as the tokens that were sampled."""
    script = [turn("Look", reasoning="hm", calls=CALL), turn("Done", reasoning="so")]

    async def chat(place: Place) -> None:
        client = place.openai()
        first = await client.chat.completions.create(model="m", messages=HI, tools=[TOOL])
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls" and message.tool_calls[0].function.arguments == '{"x": 1}'
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "seen"}
        more = [*HI, message.model_dump(exclude_none=True), result]
        assert (await client.chat.completions.create(model="m", messages=more, tools=[TOOL])).choices[0].message.content

    async def responses(place: Place) -> None:
        client, tool = place.openai(), {"type": "function", "name": "zoom", "description": "Zooms.", "parameters": ZOOM,
                                        "strict": False}  # fmt: skip
        first = await client.responses.create(model="m", input="Hi", tools=[tool])
        thought, text, call = first.output
        assert (thought.type, text.content[0].text, call.arguments) == ("reasoning", "Look", '{"x": 1}')
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "seen"}
        items = [*HI, *(item.model_dump(exclude_none=True) for item in first.output), result]
        assert (await client.responses.create(model="m", input=items, tools=[tool])).output_text == "Done"

    async def messages(place: Place) -> None:
        tool = {"name": "zoom", "description": "Zooms.", "input_schema": ZOOM}
        asked = ANTHROPIC | {"tools": [tool], "thinking": {"type": "enabled", "budget_tokens": 100}}
        status, first = await place.post("/s/s/v1/messages", asked)
        thought, text, call = first["content"]
        assert status == 200 and first["stop_reason"] == "tool_use" and thought["thinking"] == "hm"
        assert (text["text"], call["input"]) == ("Look", {"x": 1})
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "seen"}]}
        said = [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]
        _, second = await place.post("/s/s/v1/messages", asked | {"messages": [*HI, *said]})
        assert second["content"][-1] == {"type": "text", "text": "Done"} and second["stop_reason"] == "end_turn"

    async def work() -> None:
        seen = []
        for talk in (chat, responses, messages):
            fake = sampler(script)
            async with listening(over(fake)) as place:
                await talk(place)
                (path,) = paths(place.gateway)
                assert path == [*fake.requests[1].ids.tolist(), *script[1]]
                seen.append(path)
        assert seen[0] == seen[1] == seen[2]

    run(work)


def test_a_stream_says_what_the_whole_answer_says() -> None:
    script = [turn("Hé 😀", reasoning="hm", calls=[("zoom", '{"x": 1}'), ("zoom", "{broken")])] * 2
    tool = {"name": "zoom", "input_schema": ZOOM}

    async def work() -> None:
        async with listening(over(sampler(script * 3))) as place:
            base = {"model": "m", "messages": HI, "tools": [TOOL]}
            _, whole = await place.post("/s/s/v1/chat/completions", base)
            said = events(await streamed(place, "/s/s/v1/chat/completions", base))
            deltas = [choice["delta"] for event in said for choice in event["choices"]]
            for name in ("content", "reasoning_content"):
                assert "".join(d.get(name) or "" for d in deltas) == whole["choices"][0]["message"][name]
            calls = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
            assert "".join(c["function"]["arguments"] for c in calls if c["index"] == 1) == "{broken"

            base = {"model": "m", "input": "Hi", "tools": [{"type": "function", "name": "zoom", "parameters": ZOOM,
                                                            "strict": False}]}  # fmt: skip
            _, whole = await place.post("/s/s/v1/responses", base)
            said = events(await streamed(place, "/s/s/v1/responses", base))
            assert [event["sequence_number"] for event in said] == list(range(len(said)))
            final = said[-1]["response"]["output"]
            assert [item | {"id": ""} for item in final] == [item | {"id": ""} for item in whole["output"]]
            done = [event["item"] for event in said if event["type"] == "response.output_item.done"]
            assert done == final and said[-1]["type"] == "response.completed"

            base = ANTHROPIC | {"tools": [tool]}
            _, whole = await place.post("/s/s/v1/messages", base)
            said = events(await streamed(place, "/s/s/v1/messages", base))
            assert said[0]["type"] == "message_start" and said[-1]["type"] == "message_stop"
            assert said[-2]["delta"]["stop_reason"] == whole["stop_reason"] == "tool_use"
            starts = [event["content_block"] for event in said if event["type"] == "content_block_start"]
            assert [block["type"] for block in starts] == [block["type"] for block in whole["content"]]
            partial = [e["delta"]["partial_json"] for e in said if e.get("delta", {}).get("type") == "input_json_delta"]
            assert [json.loads(text) for text in partial] == [block["input"] for block in whole["content"][1:]]
            assert partial[1] == '{"__unparsed_arguments__":"{broken"}'

    run(work)


def test_a_turn_that_is_cut_in_its_thought_is_a_thought() -> None:
    async def work() -> None:
        async with listening(over(sampler(lambda request: TINY.encode("hm " * 20)))) as place:
            asked = {"model": "m", "input": "Hi", "max_output_tokens": 5}
            _, whole = await place.post("/s/s/v1/responses", asked)
            streams = events(await streamed(place, "/s/s/v1/responses", asked))[-1]["response"]
            for said in (whole, streams):
                assert [item["type"] for item in said["output"]] == ["reasoning"] and said["status"] == "incomplete"

    run(work)


def test_a_thought_is_told_to_anthropic_clients_that_ask_for_it() -> None:
    async def work() -> None:
        async with listening(over(sampler([turn("A", reasoning="hm")] * 2))) as place:
            _, plain = await place.post("/s/s/v1/messages", ANTHROPIC)
            assert [block["type"] for block in plain["content"]] == ["text"]
            said = [*HI, {"role": "assistant", "content": plain["content"]}, {"role": "user", "content": "more"}]
            await place.post("/s/s/v1/messages", ANTHROPIC | {"messages": said})
            assert len(paths(place.gateway)) == 1, (
                "the thought that was not told stands in the next prompt all the same"
            )

    run(work)


def test_pictures_of_every_dialect_are_the_same_media() -> None:
    url = f"data:image/png;base64,{picture()}"
    chat = {"model": "m", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what"}]}]}  # fmt: skip
    responses = {"model": "m", "input": [{"role": "user", "content": [
        {"type": "input_image", "image_url": url}, {"type": "input_text", "text": "what"}]}]}  # fmt: skip
    source = {"type": "base64", "media_type": "image/png", "data": picture()}
    messages = ANTHROPIC | {"messages": [{"role": "user", "content": [
        {"type": "image", "source": source}, {"type": "text", "text": "what"}]}]}  # fmt: skip

    async def work() -> None:
        fake = sampler([turn("red")] * 4)
        async with listening(over(fake)) as place:
            for path, body in (("chat/completions", chat), ("responses", responses), ("messages", messages)):
                assert (await place.post(f"/s/{path[:4]}/v1/{path}", body))[0] == 200
            nodes = [place.gateway.trajectory(path).nodes[0] for path in ("chat", "resp", "mess")]
            assert len({node.ids.tobytes() for node in nodes}) == 1
            assert len({node.media[0].patches.tobytes() for node in nodes}) == 1
            assert nodes[0].media[0].grid.tokens == int((nodes[0].ids == TINY.media_pad).sum())
            said = [*chat["messages"], {"role": "assistant", "content": "red"}, {"role": "user", "content": "sure?"}]
            await place.post("/s/chat/v1/chat/completions", {"model": "m", "messages": said})
            whole = place.gateway.trajectory("chat")
            assert len(whole.leaves) == 1 and len(whole.path(1).media) == 1 and whole.nodes[1].media == ()

    run(work)


def test_equal_ids_with_other_pictures_are_another_branch() -> None:
    def asked(level: int) -> dict[str, Any]:
        url = {"url": f"data:image/png;base64,{picture(level)}"}
        shown = {"role": "user", "content": [{"type": "image_url", "image_url": url}]}
        said = [{"role": "assistant", "content": "red"}, {"role": "user", "content": "sure?"}]
        return {"model": "m", "messages": [shown, *said[: 2 * (level > 100)]]}

    async def work() -> None:
        async with listening(over(sampler([turn("red")] * 2))) as place:
            await place.post("/s/s/v1/chat/completions", asked(7))
            await place.post("/s/s/v1/chat/completions", asked(200))
            whole = place.gateway.trajectory("s")
            assert [node.parent for node in whole.nodes] == [NOBODY, NOBODY]
            assert whole.path(1).media[0].patches.max() > whole.path(0).media[0].patches.max()

    run(work)


def test_log_probabilities_where_the_dialect_has_them() -> None:
    async def work() -> None:
        async with listening(over(sampler([turn("Yes no")] * 3))) as place:
            client = place.openai()
            chat = await client.chat.completions.create(model="m", messages=HI, logprobs=True, top_logprobs=2)
            told = chat.choices[0].logprobs.content
            node = place.gateway.trajectory("s").nodes[0]
            assert [t.logprob for t in told] == pytest.approx(node.logprobs[1:-1].tolist())
            assert len(told[0].top_logprobs) == 2
            include = ["message.output_text.logprobs"]
            said = await client.responses.create(model="m", input="Hi", include=include)
            again = said.output[-1].content[0].logprobs
            assert [t.token for t in again] == [t.token for t in told]

    run(work)


def test_stop_texts_limits_and_tool_choice() -> None:
    async def work() -> None:
        fake = sampler(lambda request: turn("one STOP two", reasoning="") if len(fake.requests) < 3 else turn("x" * 50))
        async with listening(over(fake)) as place:
            body = {"model": "m", "messages": HI}
            _, chat = await place.post("/s/s/v1/chat/completions", body | {"stop": ["STOP"]})
            assert chat["choices"][0]["message"]["content"] == "one " and chat["choices"][0]["finish_reason"] == "stop"
            _, said = await place.post("/s/s/v1/messages", ANTHROPIC | {"stop_sequences": ["STOP"]})
            assert (said["stop_reason"], said["stop_sequence"]) == ("stop_sequence", "STOP")
            status, cut = await place.post("/s/s/v1/chat/completions", body | {"max_tokens": 5})
            assert status == 200 and cut["choices"][0]["finish_reason"] == "length"
            assert len(place.gateway.trajectory("s").nodes[2].sampled) == 5
            forced = body | {"tools": [TOOL], "tool_choice": "required", "max_tokens": 60}
            await place.post("/s/s/v1/chat/completions", forced)
            assert fake.requests[-1].params.constraint is not None
            await place.post("/s/s/v1/chat/completions", forced | {"tool_choice": "none"})
            assert fake.requests[-1].params.never >= {TINY.calls_begin, TINY.call_begin}

    run(work)


@pytest.mark.parametrize("path", ["chat/completions", "responses", "messages"])
def test_what_is_wrong_is_said_in_the_clients_dialect(path: str) -> None:
    wrong = [b"{", b"[]", b"{}", b'{"model": 7}', b'{"model": "m", "messages": "x", "input": 3, "max_tokens": 1}',
             b'{"model":"m","max_tokens":9,"temperature":9,"messages":[{"role":"user","content":"a"}],"input":"a"}',
             b"\xff", b'{"model":"m","max_tokens":9,"messages":[{"role":"martian","content":"a"}],'
             b'"input":[{"type":"alien"}]}', b"[" * 100_000]  # fmt: skip

    async def work() -> None:
        fake = sampler([])
        async with listening(over(fake)) as place:
            for body in wrong:
                status, said = await place.post(f"/s/s/v1/{path}", body)
                assert status == 400 and said["error"]["type"] == "invalid_request_error", body
                assert ("type" in said) == (path == "messages") and said["error"]["message"]
            for name, value, text in (("n", 2, "n must be 1"), ("n", 0, "")):
                if path == "chat/completions":
                    status, said = await place.post(f"/s/s/v1/{path}", {"model": "m", "messages": HI, name: value})
                    assert status == 400 and text in said["error"]["message"]
            assert fake.requests == [] and place.gateway.trajectory("s").nodes == []

    run(work)


def test_who_may_do_what() -> None:
    async def work() -> None:
        async with listening(over(sampler([turn("a")] * 9))) as place:
            url, body = place.gateway.url, {"model": "m", "messages": HI}

            async def status(path: str, key: str, header: str = "Authorization", method: str = "POST") -> int:
                value = f"Bearer {key}" if header == "Authorization" else key
                async with aiohttp.ClientSession() as http:
                    async with http.request(method, url + path, json=body, headers={header: value}) as answer:
                        return answer.status

            own, other = place.gateway.key_of("one"), place.gateway.key_of("two")
            assert await status("/s/one/v1/chat/completions", own) == 200
            assert await status("/v1/chat/completions", own) == 200, "the key says which session it is"
            assert await status("/v1/chat/completions", own, "X-Api-Key") == 200
            assert await status("/s/one/v1/chat/completions", TOKEN) == 200
            assert await status("/s/one/v1/chat/completions", other) == 403
            assert await status("/v1/chat/completions", TOKEN) == 400, "nothing says which session it is"
            for key in (
                "",
                "x",
                "sk-one.0" * 4,
                own[:-1] + ("0" if own[-1] != "0" else "1"),
                own.replace("one", "two"),
            ):
                assert await status("/s/one/v1/chat/completions", key) == 401
            for path in ("/sessions", "/sessions/one/reward", "/pause", "/resume", "/sessions/one/end"):
                assert await status(path, own) == 403, "a black box must not reward itself"
            assert await status("/metrics", own, method="GET") == 403
            assert await status("/s/../x/v1/chat/completions", TOKEN) in (400, 404)
            assert await status("/s/a%2Fb/v1/chat/completions", TOKEN) == 400
            async with place.http.get(f"{url}/health", headers={"Authorization": ""}) as answer:
                assert (await answer.json())["status"] == "ok"
            async with place.http.get(f"{url}/health", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 200
            async with place.http.get(f"{url}/sessions", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 403
        with pytest.raises(ConfigError, match="16 ASCII"):
            Keys("short")

    run(work)


def test_a_session_is_made_watched_rewarded_and_ended() -> None:
    ended: list[Trajectory] = []

    async def work() -> None:
        async with listening(over(sampler([turn("a")] * 9))) as place:
            place.gateway.sessions._on_finished = ended.append
            status, made = await place.post("/sessions", {
                "id": "root", "name": "maze/1/0", "task": "maze/1", "environment": "maze",
                "variant": {"style": "plain"}, "sampling": {"temperature": 0.5, "max_new_tokens": 7}, "seed": 3,
            })  # fmt: skip
            assert status == 201 and made["openai_base_url"].endswith("/s/root/v1")
            _, child = await place.post("/sessions", {"parent": "root", "role": "scout", "policy": "frozen"})
            assert child["agent"] == "main/0"
            client = openai.AsyncOpenAI(base_url=made["openai_base_url"], api_key=made["key"], max_retries=0)
            await client.chat.completions.create(model="m", messages=HI, temperature=1.0, max_tokens=99)
            await place.post(f"/s/{child['id']}/v1/messages", ANTHROPIC)
            headers = {"X-Manyeyes-Agent": "helper", "X-Manyeyes-Role": "critic"}
            await place.post("/s/root/v1/chat/completions", {"model": "m", "messages": HI}, headers=headers)
            await place.post("/s/root/a/helper/v1/chat/completions", {"model": "m", "messages": [*HI, *HI]})
            status, told = await place.post("/sessions/root/reward", {"reward": 0.5, "parts": {"path": 0.5}})
            assert status == 200 and told["reward"] == 0.5
            async with place.http.get(f"{place.gateway.url}/sessions/root/trajectory") as answer:
                whole = from_bytes(await answer.read())
            assert (whole.name, whole.task, whole.environment) == ("maze/1/0", "maze/1", "maze")
            assert [(a.name, a.role, a.parent, a.policy, a.node) for a in whole.agents] == [
                ("main", "", NOBODY, "live", NOBODY), ("main/0", "scout", 0, "frozen", NOBODY),
                ("main/1", "critic", 0, "live", 0)]  # fmt: skip
            assert [node.agent for node in whole.nodes] == [0, 1, 2, 2] and whole.variant == {"style": "plain"}
            assert whole.rewards == {"path": 0.5} and whole.reward == 0.5
            assert [sample.name for sample in whole.to_samples(1.0)] == [f"maze/1/0#{n}" for n in (0, 2, 3)]
            params = place.gateway.upstream.sampler.requests[0].params  # pyright: ignore[reportAttributeAccessIssue]
            assert params.temperature == 0.5 and params.max_new_tokens == 7
            assert (await place.post("/sessions/root/end", {"stop": "done"}))[0] == 200
            assert (await place.post(f"/sessions/{child['id']}/end", {}))[0] == 404, "a child ends with its root"
            assert len(ended) == 1 and ended[0].stop == "done" and ended[0].agents[1].ended >= 0
            assert len(place.gateway.sessions) == 0

    run(work)


def test_a_new_session_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with listening(over(sampler([])), most_sessions=2) as place:
            assert (await place.post("/sessions", {"id": "a"}))[0] == 201
            assert (await place.post("/sessions", {"id": "a"}))[0] == 409
            assert (await place.post("/sessions", {"id": "../b"}))[0] == 400
            assert (await place.post("/sessions", {"parent": "nobody"}))[0] == 404
            status, said = await place.post("/sessions", {"parent": "a", "name": "of its own"})
            assert status == 400 and "give them to session a" in said["error"]["message"]
            assert (await place.post("/sessions", {"colour": "red"}))[0] == 400
            assert (await place.post("/sessions", {"sampling": {"seed": 3}}))[0] == 400
            await place.post("/sessions", {"id": "c"})
            status, said = await place.post("/s/d/v1/messages", ANTHROPIC)
            assert status == 429 and said["error"]["type"] == "rate_limit_error"
            child = place.gateway.begin
            place.gateway.end("c")
            child(Wanted("kid", parent="a"))
            with pytest.raises(ApiError, match="reward that one"):
                place.gateway.reward("kid", Verdict(1.0))
            place.gateway.end("kid")
            monkeypatch.setattr(session_module, "MOST_AGENTS", 3)
            child(Wanted("kid", parent="a"))
            place.gateway.end("kid")
            with pytest.raises(ApiError, match="3 agents already"):
                child(Wanted("kid", parent="a"))

    run(work)


def test_agents_of_what_is_frozen_are_frozen_unless_they_are_said_not_to_be() -> None:
    async def work() -> None:
        async with listening(over(sampler([]))) as place:
            for id, parent, policy in (("a", "", "frozen"), ("b", "a", None), ("c", "a", "live"), ("d", "c", None)):
                place.gateway.begin(Wanted(id, parent=parent, policy=policy))
            spans = place.gateway.trajectory("a").agents
            assert [span.policy for span in spans] == ["frozen", "frozen", "live", "live"]

    run(work)


def test_what_a_session_may_use() -> None:
    async def work() -> None:
        async with listening(over(sampler([turn("a")] * 9))) as place:
            place.gateway.begin(Wanted("few", allowance=Allowance(calls=1)))
            place.gateway.begin(Wanted("short", allowance=Allowance(sampled_tokens=2)))
            for id in ("few", "short"):
                assert (await place.post(f"/s/{id}/v1/messages", ANTHROPIC))[0] == 200
                status, said = await place.post(f"/s/{id}/v1/messages", ANTHROPIC | {"messages": [*HI, *HI]})
                assert status == 403 and said["error"]["type"] == "permission_error"

    run(work)


def test_a_session_that_nobody_uses_is_over() -> None:
    now, ended = [0.0], []

    async def work() -> None:
        async with Gateway(over(sampler([])), token=TOKEN, on_finished=ended.append, clock=lambda: now[0]) as gateway:
            gateway.begin(Wanted("old"))
            gateway.begin(Wanted("old-kid", parent="old"))
            now[0] = 3000.0
            gateway.begin(Wanted("new"))
            now[0] = 4000.0
            gateway.sessions.expire()
            assert [session.id for session in gateway.sessions] == ["new"]
            (whole,) = ended
            assert whole.name == "old" and whole.stop == "expired" and whole.masked

    run(work)


def test_a_weight_update_holds_calls_or_refuses_them() -> None:
    async def work() -> None:
        fake = sampler([turn("a")] * 9)
        async with listening(over(fake), hold_seconds=30) as place:
            body = {"model": "m", "messages": HI}
            assert await place.gateway.pause()
            held = asyncio.create_task(place.post("/s/s/v1/chat/completions", body))
            await settled(lambda: place.gateway.desk.open == 1)
            assert fake.requests == [] and place.gateway.state == "paused"
            await fake.publish(4, {})
            place.gateway.resume()
            assert (await held)[0] == 200 and place.gateway.trajectory("s").nodes[0].versions[0] == 4
            assert (await place.post("/pause", {"mode": "refuse", "wait": 1.0}))[1]["idle"]
            async with place.http.post(f"{place.gateway.url}/s/s/v1/messages", json=ANTHROPIC) as answer:
                assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1
            patient = place.openai(max_retries=3)
            again = asyncio.create_task(patient.chat.completions.create(model="m", messages=[*HI, *HI]))
            await settled(lambda: place.gateway.metrics.told["refused"] >= 2)
            assert (await place.post("/resume", {"version": 5}))[1]["status"] == "ok"
            assert (await again).choices[0].message.content == "a", "the official client comes again by itself"

    run(work)


def test_a_pause_that_lasts_is_a_429() -> None:
    async def work() -> None:
        async with listening(over(sampler([])), hold_seconds=0.01) as place:
            await place.gateway.pause()
            assert (await place.post("/s/s/v1/messages", ANTHROPIC))[0] == 429

    run(work)


def test_a_capture_that_fails_masks_nothing_else_and_never_fails_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        fake = sampler([turn("a"), turn("b"), turn("c")])
        async with listening(over(fake)) as place:
            client = place.openai()
            first = await client.chat.completions.create(model="m", messages=HI)
            capture = place.gateway.sessions.find("s").capture
            with monkeypatch.context() as broken:
                broken.setattr(capture._streams, "place", lambda *_: 1 / 0)
                more = [*HI, {"role": "assistant", "content": "a"}, *HI]
                assert (await client.chat.completions.create(model="m", messages=more)).choices[
                    0
                ].message.content == "b"
            more = [*more, {"role": "assistant", "content": "b"}, *HI]
            assert (await client.chat.completions.create(model="m", messages=more)).choices[0].message.content == "c"
            whole = place.gateway.trajectory("s")
            assert capture.holes == 1 and [event.kind for event in whole.events] == ["failed"]
            assert [node.parent for node in whole.nodes] == [NOBODY, 0], "the lost answer is given to the next turn"
            assert whole.path(1).ids.tolist() == [*fake.requests[2].ids.tolist(), *turn("c")]
            assert whole.nodes[1].fork == "retold" and first.id

    run(work)


def test_a_full_session_goes_on_uncaptured() -> None:
    async def work() -> None:
        async with listening(over(sampler([turn("a")] * 3)), session_bytes=30) as place:
            for _ in range(3):
                assert (await place.post("/s/s/v1/messages", ANTHROPIC | {"messages": HI}))[0] == 200
            session = place.gateway.sessions.find("s")
            assert len(session.capture.whole.nodes) == 1 and session.capture.holes == 2

    run(work)


def test_failures_of_the_sampler_in_words() -> None:
    async def work() -> None:
        fake = sampler(lambda request: turn("a"), fault=lambda number: "refused" if number == 0 else "crash")
        async with listening(over(fake)) as place:
            status, said = await place.post("/s/s/v1/messages", ANTHROPIC)
            assert status == 400 and said["error"]["message"] == "refused by plan"
            status, said = await place.post("/s/s/v1/messages", ANTHROPIC)
            assert status == 500 and "its log has it as" in said["error"]["message"]
            long = {"role": "user", "content": "a b " * CONTEXT}
            status, said = await place.post("/s/s/v1/chat/completions", {"model": "m", "messages": [long]})
            assert status == 400 and said["error"]["code"] == "context_length_exceeded"
            assert place.gateway.trajectory("s").nodes == []

    run(work)


def test_a_crash_in_the_middle_of_a_stream_is_an_event() -> None:
    async def work() -> None:
        fake = sampler(lambda request: turn("abcdefgh"), fault=lambda number: "crash_later")
        async with listening(over(fake)) as place:
            for path, body in (("chat/completions", {"model": "m", "messages": HI}), ("messages", ANTHROPIC),
                               ("responses", {"model": "m", "input": "Hi"})):  # fmt: skip
                said = events(await streamed(place, f"/s/s/v1/{path}", body))
                assert "error" in said[-1] or said[-1]["type"] == "error"
            assert place.gateway.trajectory("s").nodes == []

    run(work)


def test_too_many_calls_and_too_large_a_body() -> None:
    async def work() -> None:
        goes = asyncio.Event()
        fake = sampler(lambda request: turn("a"), pace=lambda: goes.wait())
        async with listening(over(fake), most_calls=2, body_bytes=200_000) as place:
            calls = [asyncio.create_task(place.post(f"/s/{i}/v1/messages", ANTHROPIC)) for i in range(2)]
            await settled(lambda: place.gateway.desk.open == 2)
            status, said = await place.post("/s/2/v1/messages", ANTHROPIC)
            assert status == 429 and said["error"]["type"] == "rate_limit_error"
            goes.set()
            assert [(await call)[0] for call in calls] == [200, 200]
            status, said = await place.post("/s/2/v1/messages", ANTHROPIC | {"system": "x" * 300_000})
            assert status == 413 and said["error"]["type"] == "request_too_large"

    run(work)


def test_a_gateway_that_goes_down_answers_what_runs() -> None:
    async def work() -> None:
        goes = asyncio.Event()
        fake = sampler(lambda request: turn("a"), pace=lambda: goes.wait())
        async with listening(over(fake), drain_seconds=20.0) as place:
            call = asyncio.create_task(place.post("/s/s/v1/messages", ANTHROPIC))
            await settled(lambda: len(fake.requests) == 1)
            down = asyncio.create_task(place.gateway.drain())
            await settled(lambda: place.gateway.state == "draining")
            status, said = await place.post("/s/t/v1/messages", ANTHROPIC)
            assert status == 503 and said["error"]["type"] == "overloaded_error"
            goes.set()
            assert (await call)[0] == 200
            await down

    run(work)


def test_a_drain_has_an_end() -> None:
    async def work() -> None:
        fake = sampler(lambda request: turn("a"), pace=asyncio.Event().wait)
        async with listening(over(fake), drain_seconds=0.01) as place:
            call = asyncio.create_task(place.post("/s/s/v1/messages", ANTHROPIC))
            await settled(lambda: len(fake.requests) == 1)
            await place.gateway.drain()
            assert (await call)[0] == 503 and fake.running == 0

    run(work)


def test_metrics_and_tokens_of_a_prompt() -> None:
    async def work() -> None:
        fake = sampler([turn("a")] * 2)
        async with listening(over(fake)) as place:
            await place.post("/s/s/v1/messages", ANTHROPIC)
            status, said = await place.post("/s/s/v1/messages/count_tokens", {"model": "m", "messages": HI})
            assert status == 200 and said["input_tokens"] == len(fake.requests[0].ids)
            async with place.http.get(f"{place.gateway.url}/metrics") as answer:
                text = await answer.text()
            assert 'manyeyes_gateway_calls_total{dialect="messages",status="200"} 1' in text
            assert 'manyeyes_gateway_turns_total{what="fresh"} 1' in text
            async with place.http.get(f"{place.gateway.url}/s/s/v1/models") as answer:
                assert (await answer.json())["data"][0]["id"] == "tiny"
            assert (await place.openai().models.retrieve("any/model")).id == "any/model"
            assert (await place.post("/nowhere", {}))[0] == 404

    run(work)


def test_a_session_that_is_over_is_not_begun_anew_by_what_still_runs() -> None:
    async def work() -> None:
        async with listening(over(sampler([turn("a")] * 3))) as place:
            key = {"X-Api-Key": place.gateway.key_of("s"), "Authorization": ""}
            assert (await place.post("/v1/messages", ANTHROPIC, headers=key))[0] == 200
            place.gateway.end("s")
            status, said = await place.post("/v1/messages", ANTHROPIC, headers=key)
            assert status == 403 and "is over" in said["error"]["message"] and len(place.gateway.sessions) == 0
            place.gateway.begin(Wanted("s"))
            assert (await place.post("/v1/messages", ANTHROPIC, headers=key))[0] == 200

    run(work)


def test_what_all_sessions_keep_together_is_bounded() -> None:
    async def work() -> None:
        async with listening(over(sampler([turn("a")] * 9)), kept_bytes=700) as place:
            for id in ("a", "b", "c"):
                assert (await place.post(f"/s/{id}/v1/messages", ANTHROPIC))[0] == 200
            counts = [len(place.gateway.trajectory(id).nodes) for id in ("a", "b", "c")]
            assert counts == [1, 1, 0] and place.gateway.sessions.room.taken > 700
            for id in ("a", "b", "c"):
                place.gateway.end(id)
            assert place.gateway.sessions.room.taken == 0

    run(work)


def test_a_trajectory_that_cannot_be_handed_on_is_not_lost() -> None:
    def full(trajectory: Trajectory) -> None:
        raise ConfigError("the disk is full")

    async def work() -> None:
        async with listening(over(sampler([turn("a")]))) as place:
            place.gateway.sessions._on_finished = full
            await place.post("/s/s/v1/messages", ANTHROPIC)
            status, said = await place.post("/sessions/s/end", {})
            assert status == 400 and said["error"]["message"] == "the disk is full"
            assert len(place.gateway.trajectory("s").nodes) == 1

    run(work)


def test_an_answer_that_must_fit_a_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    chat = {"model": "m", "messages": HI, "chat_template_kwargs": {"thinking": False},
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}  # fmt: skip
    responses = {"model": "m", "input": "Hi", "tool_choice": "auto", "reasoning": {"effort": "none"},
                 "text": {"format": {"type": "json_schema", "name": "s", "schema": schema}}}  # fmt: skip

    async def work() -> None:
        async with listening(over(sampler())) as place:
            _, said = await place.post("/s/s/v1/chat/completions", chat)
            assert json.loads(said["choices"][0]["message"]["content"])["a"] in (1, 2)
            _, said = await place.post("/s/s/v1/responses", responses)
            assert json.loads(said["output"][0]["content"][0]["text"])["a"] in (1, 2)
            wrong = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"not": {}}}}
            status, said = await place.post("/s/s/v1/chat/completions", chat | {"response_format": wrong})
            assert status == 400 and said["error"]["code"] == "unsupported_schema"

    run(work)


def test_a_session_names_its_parent_where_it_may() -> None:
    async def work() -> None:
        async with listening(over(sampler([turn("a")] * 9))) as place:
            place.gateway.begin(Wanted("root"))
            parent = {"X-Manyeyes-Parent": "root"}
            assert (await place.post("/s/kid/v1/messages", ANTHROPIC, headers=parent))[0] == 200
            key = parent | {"X-Api-Key": place.gateway.key_of("stranger"), "Authorization": ""}
            assert (await place.post("/v1/messages", ANTHROPIC, headers=key))[0] == 200
            whole = place.gateway.trajectory("root")
            assert [agent.name for agent in whole.agents] == ["main", "main/0"] and len(whole.nodes) == 1
            assert len(place.gateway.trajectory("stranger").nodes) == 1, "a key speaks for its own session alone"

    run(work)
