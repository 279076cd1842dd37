"""The token API: what went in and out is what the sampler was asked and said."""

import asyncio
import base64
import json

import numpy as np
import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.inference.serve_control import WeightSource

from .scripted_server import TOKENIZER, ZOOM, Held, serving, settled, turn
from .test_server_openai import picture, run

PROMPT = TOKENIZER.encode("Once upon")
SAID = turn("a time")


def test_a_completion_is_the_samplers_own() -> None:
    async def work() -> None:
        async with serving() as s:
            params = {"max_new_tokens": 9, "temperature": 1.0, "top_k": 50, "seed": 3, "top_logprobs": 2,
                      "stop_ids": [TOKENIZER.im_end], "never": [5]}  # fmt: skip
            status, said = await s.post("/generate", {"ids": PROMPT, "params": params, "drawn": 4, "priority": -1})
            request = s.fake.requests[0]
            assert status == 200 and request.ids.tolist() == PROMPT and (request.drawn, request.priority) == (4, -1)
            frozen = {"stop_ids": frozenset([TOKENIZER.im_end]), "never": frozenset([5])}
            assert request.params == SamplingParams(**(params | frozen))
            alone = await s.fake.sample(request)
            assert (
                said["ids"] == alone.ids and said["logprobs"] == alone.logprobs and said["versions"] == alone.versions
            )
            assert said["top"] == [[list(pair) for pair in top] for top in alone.top] and said["stop"] == alone.stop
            assert said["usage"] == {"prompt": len(PROMPT), "cached": 0, "completion": len(alone.ids)}
            assert said["logprob_kind"] == "sampled"

    run(work)


def test_lines_put_together_are_the_completion() -> None:
    async def work() -> None:
        async with serving() as s:
            body = {"ids": PROMPT, "stream": True, "request_id": "mine"}
            async with s.http.post(s.base + "/generate", json=body) as answer:
                lines = [json.loads(line) for line in (await answer.text()).splitlines() if line]
            *pieces, last = lines
            assert last["done"] and last["request_id"] == "mine" == answer.headers["X-Request-Id"]
            for name in ("ids", "logprobs", "versions"):
                assert [value for piece in pieces for value in piece[name]] == last[name]
            assert answer.headers["Content-Type"] == "application/x-ndjson" and len(last["ids"]) == 64

    run(work)


def test_who_wants_few_lines_gets_few_and_misses_nothing() -> None:
    async def work() -> None:
        async with serving() as s:
            body = {"ids": PROMPT, "stream": True, "every": 60}
            async with s.http.post(s.base + "/generate", json=body) as answer:
                lines = [json.loads(line) for line in (await answer.text()).splitlines() if line]
            *pieces, last = lines
            assert len(pieces) <= 2 and [value for piece in pieces for value in piece["ids"]] == last["ids"]
            status, _ = await s.post("/generate", body | {"every": -1})
            assert status == 400

    run(work)


def test_a_schema_holds() -> None:
    async def work() -> None:
        async with serving() as s:
            params = {"max_new_tokens": 300, "temperature": 1.0, "schema": ZOOM}
            ended = 0
            for seed in range(20):
                _, said = await s.post("/generate", {"ids": PROMPT, "params": params | {"seed": seed}})
                if said["stop"] == "stop":
                    ended += 1
                    assert isinstance(json.loads(TOKENIZER.decode(said["ids"][:-1]))["x"], int)
            assert ended
            status, said = await s.post("/generate", {"ids": PROMPT, "params": {"schema": {"uniqueItems": True}}})
            assert status == 400 and "uniqueItems" in said["error"]["message"]

    run(work)


def test_media_as_pictures_and_as_patches() -> None:
    async def work() -> None:
        async with serving(lambda request: SAID) as s:
            pads = [TOKENIZER.media_pad] * 4
            status, _ = await s.post("/generate", {"ids": [*pads, 5, *pads], "media": [picture(56)] * 2})
            first = s.fake.requests[0].media[0]
            raw = {"grid": list(first.grid), "patches": base64.b64encode(first.patches.tobytes()).decode()}
            again, _ = await s.post("/generate", {"ids": pads, "media": [raw]})
            assert (status, again) == (200, 200)
            assert np.array_equal(s.fake.requests[1].media[0].patches, first.patches)
            for ids, media in ((pads, []), (PROMPT, [raw]), (pads[:3], [raw]), (pads, [raw | {"grid": [1, 4, 5]}]),
                               (pads, [raw | {"patches": "AAAA"}]), (pads, ["http://example.org/x.png"])):  # fmt: skip
                status, said = await s.post("/generate", {"ids": ids, "media": media})
                assert status == 400 and said["error"]["message"], said
            assert len(s.fake.requests) == 2

    run(work)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ids": []}, "length >= 1"),
        ({"ids": [TOKENIZER.n_vocab]}, "outside"),
        ({"ids": [-1]}, ">= 0"),
        ({"ids": [1.5]}, "int"),
        ({"ids": PROMPT * 2000}, "at most"),
        ({"params": {"temperature": -1}}, "temperature"),
        ({"params": {"top_p": 0}}, "top_p"),
        ({"params": {"never": [TOKENIZER.n_vocab]}}, "never"),
        ({"params": {"temprature": 1}}, "temprature"),
        ({"request_id": "two words"}, "request_id"),
        ({"drawn": len(PROMPT)}, "drawn"),
    ],
)
def test_wrong_requests_are_told_what_is_wrong(change, says) -> None:
    async def work() -> None:
        async with serving() as s:
            status, said = await s.post("/generate", {"ids": PROMPT} | change)
            assert status == 400 and says in said["error"]["message"] and not s.fake.requests

    run(work)


def test_nan_is_no_json() -> None:
    async def work() -> None:
        async with serving() as s:
            status, said = await s.post("/generate", b'{"ids": [1], "params": {"temperature": NaN}}')
            assert status == 400 and "JSON" in said["error"]["message"]

    run(work)


def test_abort_keeps_what_was_sampled() -> None:
    async def work() -> None:
        held = Held()
        async with serving(lambda request: SAID, pace=held) as s:
            task = asyncio.create_task(s.post("/generate", {"ids": PROMPT, "request_id": "mine"}))
            await settled(lambda: s.fake.running == 1)
            held.let(3)
            await settled(lambda: held.spent)
            assert (await s.post("/abort", {"request_id": "other"}))[1] == {"aborted": False}
            assert (await s.post("/abort", {"request_id": "mine"}))[1] == {"aborted": True}
            _, said = await task
            assert said["stop"] == "aborted" and said["ids"] == SAID[: len(said["ids"])]
            assert 2 <= len(said["ids"]) <= 3 and len(said["versions"]) == len(said["logprobs"]) == len(said["ids"])

    run(work)


def test_one_name_is_one_request() -> None:
    async def work() -> None:
        held = Held()
        async with serving(lambda request: SAID, pace=held) as s:
            first = asyncio.create_task(s.post("/generate", {"ids": PROMPT, "request_id": "mine"}))
            await settled(lambda: s.fake.running == 1)
            assert (await s.post("/generate", {"ids": PROMPT, "request_id": "mine"}))[0] == 409
            held.let(99)
            assert (await first)[0] == 200

    run(work)


def test_new_weights_tag_tokens_and_hand_back(tmp_path) -> None:
    for name in ("step-1", "step-2", "pickled"):
        (tmp_path / "weights" / name).mkdir(parents=True)
    for name in ("step-1", "step-2"):
        (tmp_path / "weights" / name / "model.safetensors").write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.safetensors").write_bytes(b"x")
    (tmp_path / "weights" / "link").symlink_to(tmp_path / "elsewhere")
    source = WeightSource(tmp_path / "weights", lambda folder: {"from": folder.name})

    async def work() -> None:
        held = Held()
        async with serving(lambda request: SAID, pace=held, weights=source) as s:
            task = asyncio.create_task(s.post("/generate", {"ids": PROMPT}))
            await settled(lambda: s.fake.running == 1)
            held.let(1)
            await settled(lambda: held.spent)
            assert (await s.post("/update_weights", {"path": "step-1", "version": 1}))[0] == 200
            assert s.fake.published == {"from": "step-1"}
            held.let(1)
            await settled(lambda: held.spent)
            body = {"path": "step-2", "version": 2, "hand_back": True}
            status, state = await s.post("/update_weights", body)
            assert (status, state) == (200, {"paused": False, "version": 2})
            held.let(9)
            _, part = await task
            assert part["stop"] == "handed_back" and part["versions"] == [0, 1] and part["ids"] == SAID[:2]
            for path in ("pickled", "none", "link", "../elsewhere", "/etc", "\0"):
                status, said = await s.post("/update_weights", {"path": path, "version": 9})
                assert status == 400 and "elsewhere" not in said["error"]["message"], path
            assert (await s.post("/update_weights", {"path": "step-1", "version": 2}))[0] == 409

    run(work)


def test_lines_tell_versions_while_weights_change(tmp_path) -> None:
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "model.safetensors").write_bytes(b"x")

    async def work() -> None:
        held = Held()
        async with serving(lambda request: SAID, pace=held, weights=WeightSource(tmp_path, lambda folder: {})) as s:
            body = {"ids": PROMPT, "stream": True}
            task = asyncio.create_task(s.http.post(s.base + "/generate", json=body).__aenter__())
            await settled(lambda: s.fake.running == 1)
            for version in (1, 2):
                held.let(1)
                await settled(lambda: held.spent)
                await s.post("/update_weights", {"path": "step", "version": version})
            held.let(99)
            *pieces, last = [json.loads(line) for line in (await (await task).text()).splitlines() if line]
            told = [version for piece in pieces for version in piece["versions"]]
            assert told == last["versions"] == [0, 1] + [2] * (len(last["ids"]) - 2)

    run(work)


def test_a_failed_update_and_a_pause_before_it_leave_the_pace_as_it_was(tmp_path, monkeypatch) -> None:
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "model.safetensors").write_bytes(b"x")

    async def refuse(version, tensors, *, hand_back=False) -> None:
        raise ConfigError("no such tensor")

    async def work() -> None:
        async with serving(lambda request: SAID, weights=WeightSource(tmp_path, lambda folder: {})) as s:
            assert (await s.post("/pause", {}))[1]["paused"]
            assert (await s.post("/update_weights", {"path": "step", "version": 1}))[1] == {
                "paused": True,
                "version": 1,
            }
            task = asyncio.create_task(s.post("/generate", {"ids": PROMPT}))
            await settled(lambda: s.fake.running == 1)
            assert (await s.post("/resume", {}))[0] == 200 and (await task)[1]["versions"][0] == 1
            monkeypatch.setattr(s.fake, "publish", refuse)
            status, said = await s.post("/update_weights", {"path": "step", "version": 2})
            assert status == 400 and "no such tensor" in said["error"]["message"]
            assert (await s.post("/generate", {"ids": PROMPT}))[0] == 200

    run(work)


def test_a_schema_goes_on_behind_what_was_drawn() -> None:
    async def work() -> None:
        async with serving() as s:
            begun = TOKENIZER.encode('{"x": 1')
            params = {"max_new_tokens": 300, "temperature": 1.0, "schema": ZOOM, "stop_ids": [TOKENIZER.im_end]}
            body = {"ids": [*PROMPT, *begun], "drawn": len(begun), "params": params}
            for seed in range(20):
                _, said = await s.post("/generate", body | {"params": params | {"seed": seed}})
                if said["stop"] == "stop":
                    assert str(json.loads(TOKENIZER.decode([*begun, *said["ids"][:-1]]))["x"]).startswith("1")
                    return
            raise AssertionError("none ended")

    run(work)


def test_a_chat_that_is_handed_back_goes_on_by_itself_even_when_constrained() -> None:
    async def work() -> None:
        held = Held()
        asked = {
            "model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 60, "seed": 1,
            "chat_template_kwargs": {"thinking": False}, "response_format": {"type": "json_object"},
        }  # fmt: skip
        async with serving() as s:
            _, whole = await s.post("/v1/chat/completions", asked)
        async with serving(pace=held) as s:
            task = asyncio.create_task(s.post("/v1/chat/completions", asked))
            await settled(lambda: s.fake.running == 1)
            held.let(1)
            await settled(lambda: held.spent)
            await s.post("/pause", {"hand_back": True})
            held.let(999)
            await settled(lambda: len(s.fake.requests) == 2)
            assert s.fake.requests[1].drawn > 0 and not task.done()
            health = await (await s.http.get(s.base + "/health")).json()
            assert health == {"status": "paused", "version": 0}
            await s.post("/resume", {})
            _, said = await task
            assert said["choices"][0]["message"] == whole["choices"][0]["message"]
            assert said["usage"] == whole["usage"]

    run(work)


def test_choices_that_are_handed_back_into_a_full_queue_wait_for_it(monkeypatch) -> None:
    sleep = asyncio.sleep
    monkeypatch.setattr("manyeyes.inference.serve_desk.asyncio.sleep", lambda seconds: sleep(0))
    plan = ["", "", "overloaded", "overloaded", *[""] * 9]
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "n": 2,
             "chat_template_kwargs": {"thinking": False}}  # fmt: skip

    async def work() -> None:
        held = Held()
        async with serving(lambda request: SAID[request.drawn :], pace=held, fault=lambda number: plan[number]) as s:
            task = asyncio.create_task(s.post("/v1/chat/completions", asked))
            await settled(lambda: s.fake.running == 2)
            held.let(2)
            await settled(lambda: held.spent)
            await s.post("/pause", {"hand_back": True})
            held.let(999)
            await s.post("/resume", {})
            status, said = await task
            assert status == 200 and len(s.fake.requests) == 6
            assert [choice["message"]["content"] for choice in said["choices"]] == ["a time"] * 2
            assert said["usage"]["completion_tokens"] == 2 * len(SAID)
            async with s.http.get(s.base + "/metrics") as answer:
                lines = (await answer.text()).splitlines()
            assert f"manyeyes_completion_tokens_total {float(2 * len(SAID))}" in lines  # both parts of each

    run(work)


def test_a_request_as_records_is_a_request_on_the_wire() -> None:
    """What a client of `core.sampler` sends is read as what it meant."""
    from manyeyes.inference.serve_tokens import Generate, sample_request
    from manyeyes.inference.serve_wire import read

    from .test_server_life import SERVED

    wanted = SampleRequest(np.array(PROMPT, np.int32), (), SamplingParams(5, 0.5, 0.9, 3, 0.1, 7, top_logprobs=1))
    names = ("max_new_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "top_logprobs")
    fields = {name: getattr(wanted.params, name) for name in names}
    got = sample_request(read(json.dumps({"ids": PROMPT, "params": fields | {"never": []}}).encode(), Generate), SERVED)
    assert got.params == wanted.params and got.ids.dtype == np.int32
