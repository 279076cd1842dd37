"""What the official client sees, from the behaviour that the API reference documents."""

import asyncio
import base64
import io
import json

import numpy as np
import openai
import pytest
from PIL import Image

from .scripted_server import TOKENIZER, serving, settled, tool, turn

HI = [{"role": "user", "content": "Hi"}]
INSTANT = {"extra_body": {"chat_template_kwargs": {"thinking": False}}}


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work(), 120))


def picture(size: int = 28) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((size, size, 3), np.uint8)).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_a_chat_completion() -> None:
    async def work() -> None:
        async with serving([turn("Hello you", reasoning="a greeting")]) as s:
            said = await s.client.chat.completions.create(model="tiny", messages=HI, max_tokens=99)
            (choice,) = said.choices
            assert said.object == "chat.completion" and said.model == "tiny" and said.id.startswith("chatcmpl-")
            assert (choice.message.role, choice.message.content) == ("assistant", "Hello you")
            assert choice.message.reasoning_content == "a greeting" and choice.finish_reason == "stop"
            assert choice.message.tool_calls is None and choice.logprobs is None and choice.index == 0
            assert said.usage.completion_tokens == len(turn("Hello you", reasoning="a greeting"))
            assert said.usage.prompt_tokens == len(s.fake.requests[0].ids)
            assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
            details = said.usage.completion_tokens_details
            assert details.reasoning_tokens == len(TOKENIZER.encode("a greeting")) + 1

    run(work)


def test_a_stream_has_the_role_then_deltas_then_the_finish_then_usage() -> None:
    async def work() -> None:
        async with serving([turn("Hé 😀 you", reasoning="hm")] * 2) as s:
            options = {"stream_options": {"include_usage": True}}
            stream = await s.client.chat.completions.create(model="tiny", messages=HI, stream=True, **options)
            chunks = [chunk async for chunk in stream]
            assert len({chunk.id for chunk in chunks}) == 1 and {c.object for c in chunks} == {"chat.completion.chunk"}
            first, *middle, last, usage = chunks
            assert first.choices[0].delta.role == "assistant"
            assert "".join(c.choices[0].delta.content or "" for c in middle) == "Hé 😀 you"
            assert "".join(getattr(c.choices[0].delta, "reasoning_content", "") or "" for c in middle) == "hm"
            assert [c.choices[0].finish_reason for c in (first, *middle)] == [None] * (len(middle) + 1)
            assert last.choices[0].finish_reason == "stop" and not last.choices[0].delta.content
            assert usage.choices == [] and usage.usage.total_tokens > 0 and all(c.usage is None for c in chunks[:-1])
            async with s.http.post(f"{s.base}/v1/chat/completions",
                                   json={"model": "tiny", "messages": HI, "stream": True}) as raw:  # fmt: skip
                text = await raw.text()
            assert raw.headers["Content-Type"].startswith("text/event-stream")
            assert text.endswith("data: [DONE]\n\n") and '"usage"' not in text

    run(work)


def test_tool_calls_whole_and_in_pieces() -> None:
    calls = [("zoom", '{"x": 1, "how": "in"}'), ("zoom", '{"x": 22}')]

    async def work() -> None:
        async with serving([turn("Look:", reasoning="hm", calls=calls)] * 2) as s:
            asked = {"model": "tiny", "messages": HI, "tools": [tool()]}
            choice = (await s.client.chat.completions.create(**asked)).choices[0]
            assert choice.finish_reason == "tool_calls" and choice.message.content == "Look:"
            told = [(c.id, c.type, c.function.name, c.function.arguments) for c in choice.message.tool_calls]
            assert told == [(f"functions.zoom:{i}", "function", "zoom", calls[i][1]) for i in range(2)]
            deltas = []
            async for chunk in await s.client.chat.completions.create(**asked, stream=True):
                deltas += chunk.choices[0].delta.tool_calls or []
            heads = [delta for delta in deltas if delta.id]
            assert [(d.index, d.id, d.type, d.function.name) for d in heads] == [
                (i, f"functions.zoom:{i}", "function", "zoom") for i in range(2)
            ]
            for index in range(2):
                pieces = [d.function.arguments for d in deltas if d.index == index]
                assert "".join(pieces) == calls[index][1] and len(pieces) > 2

    run(work)


def test_the_clients_own_stream_helper_puts_the_message_together() -> None:
    async def work() -> None:
        script = turn("Look:", reasoning="hm", calls=[("zoom", '{"x": 1}')])
        async with serving([script]) as s:
            async with s.client.chat.completions.stream(model="tiny", messages=HI, tools=[tool(strict=True)]) as stream:
                final = await stream.get_final_completion()
            message = final.choices[0].message
            assert message.content == "Look:" and message.tool_calls[0].function.parsed_arguments == {"x": 1}

    run(work)


def test_a_whole_round_of_tools_goes_back_in() -> None:
    async def work() -> None:
        script = [turn(reasoning="hm", calls=[("zoom", '{"x": 1}')]), turn("A cat", reasoning="aha")]
        async with serving(script) as s:
            first = await s.client.chat.completions.create(model="tiny", messages=HI, tools=[tool()])
            call = first.choices[0].message.tool_calls[0]
            back = {"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": "done"}]}
            messages = [*HI, first.choices[0].message.model_dump(exclude_none=True), back]
            second = await s.client.chat.completions.create(model="tiny", messages=messages, tools=[tool()])
            assert second.choices[0].message.content == "A cat"
            before, after = s.fake.requests[0].ids.tolist(), s.fake.requests[1].ids.tolist()
            assert after[: len(before) + len(script[0])] == before + script[0]  # the turn stands as it was sampled

    run(work)


def test_thinking_is_on_unless_one_of_two_switches_turns_it_off() -> None:
    async def work() -> None:
        async with serving(lambda request: turn("Yes")) as s:
            for extra in ({"chat_template_kwargs": {"thinking": False}}, {"thinking": {"type": "disabled"}}):
                said = await s.client.chat.completions.create(model="tiny", messages=HI, extra_body=extra)
                assert said.choices[0].message.content == "Yes"
                assert not hasattr(said.choices[0].message, "reasoning_content")
                assert s.fake.requests[-1].ids[-1] == TOKENIZER.end_think
                assert TOKENIZER.end_think in s.fake.requests[-1].params.never
            said = await s.client.chat.completions.create(model="tiny", messages=HI)
            assert said.choices[0].message.reasoning_content == "Yes"
            assert s.fake.requests[-1].ids[-1] == TOKENIZER.think

    run(work)


def test_parameters_reach_the_sampler() -> None:
    async def work() -> None:
        async with serving(lambda request: turn("Yes")) as s:
            await s.client.chat.completions.create(
                model="tiny", messages=HI, temperature=0.5, top_p=0.9, seed=7, max_completion_tokens=11,
                stop=["a", "b"],
                extra_body={"top_k": 5, "min_p": 0.1, "something": "unknown"},
            )  # fmt: skip
            params = s.fake.requests[0].params
            assert (params.temperature, params.top_p, params.seed, params.max_new_tokens) == (0.5, 0.9, 7, 11)
            assert (params.top_k, params.min_p, params.stop_texts) == (5, 0.1, ("a", "b"))
            assert set(TOKENIZER.stops) == params.stop_ids and TOKENIZER.media_pad in params.never
            await s.client.chat.completions.create(model="tiny", messages=HI)
            await s.client.chat.completions.create(model="tiny", messages=HI)
            first, second = (request.params for request in s.fake.requests[1:])
            assert first.temperature == 1.0 and first.seed != second.seed
            assert first.max_new_tokens + len(s.fake.requests[1].ids) == 2048

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_stop_texts_and_the_length_limit(stream) -> None:
    async def work() -> None:
        async with serving([turn("one two three")] * 2) as s:
            for extra, text, why in (({"stop": "two"}, "one ", "stop"), ({"max_tokens": 1}, "one", "length")):
                said = await s.client.chat.completions.create(
                    model="tiny", messages=HI, stream=stream, **extra, **INSTANT
                )
                if stream:
                    chunks = [chunk.choices[0] async for chunk in said]
                    got, finish = "".join(c.delta.content or "" for c in chunks), chunks[-1].finish_reason
                else:
                    got, finish = said.choices[0].message.content, said.choices[0].finish_reason
                assert (got if why == "stop" else got[:1], finish) == (text if why == "stop" else "o", why)

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_a_stop_text_cuts_is_not_one_to_make(stream) -> None:
    async def work() -> None:
        async with serving([turn(calls=[("zoom", '{"x": 1, "how": "in"}')])] * 2) as s:
            for stop, finish in (("how", "stop"), ("nowhere", "tool_calls")):
                said = await s.client.chat.completions.create(
                    model="tiny", messages=HI, tools=[tool()], stop=stop, stream=stream, **INSTANT
                )
                choice = [chunk.choices[0] async for chunk in said][-1] if stream else said.choices[0]
                assert choice.finish_reason == finish

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_never_closes_is_not_one_to_make(stream) -> None:
    """Cut by the limit it is `length`; where the model itself ends inside of it, `stop`, and a lone id is text."""
    whole = turn(calls=[("zoom", '{"x": 1}')])
    begun, end = whole[: whole.index(TOKENIZER.call_argument_begin)], TOKENIZER.im_end
    inside = whole[: whole.index(TOKENIZER.call_end)]
    scripts = ((inside, len(inside), "length", ""), ([*inside, end], 99, "stop", ""),
               ([*begun, end], 99, "stop", "functions.zoom:0"), (whole, 99, "tool_calls", ""))  # fmt: skip

    async def work() -> None:
        async with serving([ids for ids, *_ in scripts]) as s:
            for _, most, finish, text in scripts:
                said = await s.client.chat.completions.create(
                    model="tiny", messages=HI, tools=[tool()], max_tokens=most, stream=stream, **INSTANT
                )
                if stream:
                    chunks = [chunk.choices[0] async for chunk in said]
                    got, content = chunks[-1].finish_reason, "".join(c.delta.content or "" for c in chunks)
                else:
                    got, content = said.choices[0].finish_reason, said.choices[0].message.content or ""
                assert (got, content) == (finish, text)

    run(work)


def test_marks_of_media_are_never_said() -> None:
    marks = {TOKENIZER.media_begin, TOKENIZER.media_content, TOKENIZER.media_end, TOKENIZER.media_pad}

    async def work() -> None:
        async with serving([turn("a")] * 4) as s:
            await s.post("/v1/chat/completions", {"model": "tiny", "messages": HI, "tools": [tool()]})
            await s.post("/v1/completions", {"model": "tiny", "prompt": "x"})
            await s.post("/generate", {"ids": [1]})
            assert all(marks <= request.params.never for request in s.fake.requests)
            await s.post("/generate", {"ids": [1], "params": {"never": []}})
            assert s.fake.requests[-1].params.never == frozenset()

    run(work)


def test_one_call_at_a_time_is_one_call() -> None:
    async def work() -> None:
        async with serving([]) as s:
            for parallel, constrained in ((False, True), (True, False), (None, False)):
                more = {} if parallel is None else {"parallel_tool_calls": parallel}
                with pytest.raises(openai.BadRequestError, match="script is over"):
                    await s.client.chat.completions.create(model="tiny", messages=HI, tools=[tool()], **more, **INSTANT)
                assert (s.fake.requests[-1].params.constraint is not None) == constrained

    run(work)


def test_the_usual_length_fits_in_what_is_left() -> None:
    async def work() -> None:
        async with serving(lambda request: turn("x")) as s:
            ids = TOKENIZER.encode("x") * 2040
            await s.client.completions.create(model="tiny", prompt=ids)
            assert s.fake.requests[0].params.max_new_tokens == 8
            await s.client.completions.create(model="tiny", prompt=ids[:9])
            assert s.fake.requests[1].params.max_new_tokens == 16
            with pytest.raises(openai.BadRequestError) as caught:
                await s.client.completions.create(model="tiny", prompt=ids * 2)
            assert caught.value.code == "context_length_exceeded"

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices(stream) -> None:
    async def work() -> None:
        async with serving(lambda request: turn(f"seed {request.params.seed}")) as s:
            asked = {"model": "tiny", "messages": HI, "n": 3, "seed": 5, "stream": stream, **INSTANT}
            said = await s.client.chat.completions.create(**asked)
            texts = ["", "", ""]
            if stream:
                async for chunk in said:
                    texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
            else:
                texts = [choice.message.content for choice in said.choices]
                assert said.usage.completion_tokens == 3 * len(turn("seed 5"))
            assert texts == ["seed 5", "seed 6", "seed 7"]

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_of_the_content(stream) -> None:
    async def work() -> None:
        async with serving([turn("Hé 😀!", reasoning="hm")] * 2) as s:
            for top in (0, 3):
                asked = {"model": "tiny", "messages": HI, "logprobs": True, "top_logprobs": top, "stream": stream}
                said = await s.client.chat.completions.create(**asked)
                chunks = [c async for c in said] if stream else [said]
                told = [entry for c in chunks if c.choices[0].logprobs for entry in c.choices[0].logprobs.content]
                assert b"".join(bytes(entry.bytes) for entry in told).decode() == "Hé 😀!"
                assert all(entry.logprob <= 0 and len(entry.top_logprobs) == top for entry in told)
                if top:
                    best = [max(entry.top_logprobs, key=lambda other: other.logprob) for entry in told]
                    assert [other.bytes for other in best] == [entry.bytes for entry in told]

    run(work)


def test_pictures_and_films_come_as_data_urls() -> None:
    async def work() -> None:
        async with serving(lambda request: turn("A square")) as s:
            content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": picture(56)}}]
            await s.client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": content}])
            (request,) = s.fake.requests
            assert [item.grid for item in request.media] == [(1, 4, 4)]
            assert (request.ids == TOKENIZER.media_pad).sum() == 4
            film = [{"type": "video_url", "video_url": {"url": video()}}]
            await s.client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": film}])
            assert [item.grid.t for item in s.fake.requests[1].media] == [4, 1]

    run(work)


def video() -> str:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for shade in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade * 9, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return f"data:video/mp4;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.mark.parametrize(
    ("format", "check"),
    [
        ({"type": "json_object"}, lambda said: isinstance(said, dict)),
        (
            {"type": "json_schema", "json_schema": {"name": "s", "schema": {
                "type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"],
                "additionalProperties": False}}},
            lambda said: said["a"] in (1, 2) and len(said) == 1,
        ),
    ],
)  # fmt: skip
def test_a_response_format_holds_for_a_model_that_knows_nothing(format, check) -> None:
    async def work() -> None:
        async with serving() as s:
            for seed in range(8):
                said = await s.client.chat.completions.create(
                    model="tiny", messages=HI, response_format=format, seed=seed, max_tokens=200, **INSTANT
                )
                if said.choices[0].finish_reason == "stop":
                    assert check(json.loads(said.choices[0].message.content))

    run(work)


def test_a_text_completion() -> None:
    async def work() -> None:
        text = [*TOKENIZER.encode(" and so on"), TOKENIZER.eos]
        async with serving(lambda request: text) as s:
            said = await s.client.completions.create(model="tiny", prompt="One", max_tokens=50, logprobs=2)
            (choice,) = said.choices
            assert (said.object, choice.text, choice.finish_reason) == ("text_completion", " and so on", "stop")
            assert s.fake.requests[0].ids[0] == TOKENIZER.bos and s.fake.requests[0].ids[1] != TOKENIZER.bos
            assert "".join(choice.logprobs.tokens) == " and so on[EOS]" and len(choice.logprobs.top_logprobs[0]) == 2
            assert choice.logprobs.text_offset[0] == 0 and choice.logprobs.token_logprobs[0] <= 0
            ids = TOKENIZER.encode("One")
            said = await s.client.completions.create(model="tiny", prompt=[ids, ids], n=2, echo=True)
            assert [c.text for c in said.choices] == ["One and so on"] * 4 and s.fake.requests[1].ids.tolist() == ids
            stream = await s.client.completions.create(model="tiny", prompt="One", stream=True, max_tokens=50)
            chunks = [chunk.choices[0] async for chunk in stream]
            assert "".join(c.text for c in chunks) == " and so on" and chunks[-1].finish_reason == "stop"

    run(work)


def test_models() -> None:
    async def work() -> None:
        async with serving([]) as s:
            assert [model.id async for model in s.client.models.list()] == ["tiny"]
            assert (await s.client.models.retrieve("tiny")).owned_by == "manyeyes"
            with pytest.raises(openai.NotFoundError) as caught:
                await s.client.models.retrieve("huge")
            assert caught.value.code == "model_not_found"

    run(work)


@pytest.mark.parametrize(
    ("change", "kind", "param", "code"),
    [
        ({"model": "huge"}, openai.NotFoundError, "model", "model_not_found"),
        ({"messages": []}, openai.BadRequestError, "messages", None),
        ({"messages": [{"role": "user", "content": 5}]}, openai.BadRequestError, "messages[0].content", None),
        ({"messages": [{"role": "robot", "content": "x"}]}, openai.BadRequestError, "messages[0].role", None),
        ({"temperature": 2.5}, openai.BadRequestError, "temperature", None),
        ({"temperature": "hot"}, openai.BadRequestError, "temperature", None),
        ({"top_p": 0}, openai.BadRequestError, "top_p", None),
        ({"n": 0}, openai.BadRequestError, "n", None),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens", None),
        ({"max_tokens": 9999}, openai.BadRequestError, "max_completion_tokens", "context_length_exceeded"),
        ({"messages": [{"role": "user", "content": "word " * 9999}]}, openai.BadRequestError, "messages",
         "context_length_exceeded"),
        ({"logit_bias": {"5": 1}}, openai.BadRequestError, "logit_bias", None),
        ({"top_logprobs": 3}, openai.BadRequestError, "top_logprobs", None),
        ({"stream_options": {"include_usage": True}}, openai.BadRequestError, "stream_options", None),
        ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice", None),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, openai.BadRequestError,
         "tools[0].function.name", None),
        ({"functions": [{}]}, openai.BadRequestError, "functions", None),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "none"}]}, openai.BadRequestError, None, None),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, openai.BadRequestError,
         "messages[0].content[0].type", None),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"not": {}}}}},
         openai.BadRequestError, "response_format", "unsupported_schema"),
    ],
)  # fmt: skip
def test_errors_have_openais_form(change, kind, param, code) -> None:
    async def work() -> None:
        async with serving([]) as s:
            with pytest.raises(kind) as caught:
                await s.client.chat.completions.create(**{"model": "tiny", "messages": HI} | change)
            error = caught.value
            assert (error.param, error.code) == (param, code or error.code) and error.type == "invalid_request_error"
            assert error.message and "Traceback" not in str(error.body) and not s.fake.requests

    run(work)


def test_the_wrong_token_is_a_401_and_a_full_queue_a_429() -> None:
    async def work() -> None:
        async with serving([turn("x")], fault=lambda number: "overloaded") as s:
            with pytest.raises(openai.AuthenticationError) as caught:
                await s.client.with_options(api_key="wrong").models.list()
            assert caught.value.code == "invalid_api_key"
            for stream in (False, True):
                with pytest.raises(openai.RateLimitError) as busy:
                    await s.client.chat.completions.create(model="tiny", messages=HI, stream=stream)
                assert busy.value.response.headers["Retry-After"] == "2" and busy.value.type == "rate_limit_error"

    run(work)


def test_a_crash_behind_the_server_is_a_500_without_a_word_of_it(caplog) -> None:
    async def work() -> None:
        faults = ["crash", "crash", "crash_later"]
        async with serving(lambda request: turn("a long text"), fault=lambda number: faults[number]) as s:
            for stream in (False, True):
                with pytest.raises(openai.InternalServerError) as caught:
                    await s.client.chat.completions.create(model="tiny", messages=HI, stream=stream)
                assert "plan" not in str(caught.value.body) and caught.value.code == "internal_error"
            with pytest.raises(openai.APIError) as cut:
                async for _ in await s.client.chat.completions.create(model="tiny", messages=HI, stream=True):
                    pass
            assert "inside the server" in cut.value.message
            await settled(lambda: s.server.desk.open == 0)

    run(work)
    assert len(caplog.records) == 3 and "RuntimeError" in caplog.text and "by plan\n" not in caplog.text
    assert "fakes.py" in caplog.text and "Hi" not in caplog.text  # where it happened, and not what was said
