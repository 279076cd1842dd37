"""A client that asks again because it never heard is answered once; who asks twice and hears twice has two samples."""

import asyncio
from typing import Any

import aiohttp
import numpy as np
import pytest

from manyeyes.agent.gateway.capture import NOT_RECEIVED
from manyeyes.agent.gateway.repeats import RETRIED

from .gateways import Place, listening, over, run, sampler, settled, turn

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/s/s/v1/chat/completions"
AGAIN = {RETRIED: "1"}


def held() -> tuple[Any, asyncio.Event]:
    """A sampler whose answers differ, and what lets it go on."""
    goes = asyncio.Event()
    fake = sampler(lambda request: turn(f"answer {len(fake.requests)} " + "x" * 20), pace=lambda: goes.wait())
    return fake, goes


def said(reply: Any) -> str:
    return reply[1]["choices"][0]["message"]["content"][:8]


async def left(place: Place, stream: bool = False) -> None:
    """Ask, and hang up while it is sampled."""
    count = len(place.gateway.upstream.sampler.requests)  # pyright: ignore[reportAttributeAccessIssue]
    asked = asyncio.create_task(place.post(PATH, BODY | {"stream": stream}))
    await settled(lambda: len(place.gateway.upstream.sampler.requests) > count)  # pyright: ignore
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await settled(lambda: not any(call.readers for call in place.gateway.desk.calls))


def test_who_asks_twice_and_hears_twice_has_two_samples() -> None:
    async def work() -> None:
        fake, goes = held()
        goes.set()
        async with listening(over(fake)) as place:
            assert [said(await place.post(PATH, BODY)) for _ in range(2)] == ["answer 1", "answer 2"]
            assert [node.parent for node in place.gateway.trajectory("s").nodes] == [-1, -1]
            together = await asyncio.gather(*(place.post(PATH, BODY) for _ in range(3)))
            assert len({said(reply) for reply in together}) == 3, "asked at once by three that all listen"

    run(work)


def test_a_retry_of_the_client_library_is_told_what_was_sampled() -> None:
    async def work() -> None:
        fake, goes = held()
        goes.set()
        async with listening(over(fake)) as place:
            first = await place.post(PATH, BODY)
            assert await place.post(PATH, BODY, headers=AGAIN) == first
            assert await place.post(PATH, BODY, headers={RETRIED: "0"}) != first
            assert len(fake.requests) == len(place.gateway.trajectory("s").nodes) == 2
            assert place.gateway.metrics.told["replayed"] == 1

    run(work)


def test_a_retry_joins_what_is_under_way() -> None:
    async def work() -> None:
        fake, goes = held()
        async with listening(over(fake)) as place:
            calls = [asyncio.create_task(place.post(PATH, BODY, headers={RETRIED: str(n)})) for n in range(3)]
            await settled(lambda: sum(call.readers for call in place.gateway.desk.calls) == 3)
            goes.set()
            replies = await asyncio.gather(*calls)
            assert replies[0] == replies[1] == replies[2] and len(fake.requests) == 1

    run(work)


def test_a_client_that_left_finds_its_answer() -> None:
    """It need not say that it is a retry: nobody has heard the first answer."""

    async def work() -> None:
        for stream in (False, True):
            fake, goes = held()
            async with listening(over(fake)) as place:
                await left(place, stream)
                goes.set()
                await settled(lambda place=place: place.gateway.desk.open == 0)
                assert place.gateway.trajectory("s").nodes[0].masked == NOT_RECEIVED
                assert place.gateway.trajectory("s").to_samples(1.0) == []
                async with place.http.post(place.gateway.url + PATH, json=BODY | {"stream": stream}) as answer:
                    assert answer.status == 200 and (b"[DONE]" if stream else b"answer 1") in await answer.read()
                (node,) = place.gateway.trajectory("s").nodes
                assert node.masked == "" and len(fake.requests) == 1

    run(work)


def test_a_client_that_left_joins_its_stream_from_the_beginning() -> None:
    async def work() -> None:
        fake, goes = held()
        async with listening(over(fake)) as place:
            await left(place, stream=True)
            again = asyncio.create_task(place.http.post(place.gateway.url + PATH, json=BODY | {"stream": True}))
            await settled(lambda: any(call.readers for call in place.gateway.desk.calls))
            goes.set()
            text = await (await again).text()
            assert text.count('"role":"assistant"') == 1 and text.endswith("data: [DONE]\n\n")
            assert len(fake.requests) == 1 and place.gateway.metrics.told["joined"] == 1

    run(work)


@pytest.mark.parametrize("headers", [{}, AGAIN])
def test_a_sibling_that_left_finds_its_own_answer(headers: dict[str, str]) -> None:
    """And not that of its twin, who asked the same later and still listens."""

    async def work() -> None:
        fake, goes = held()
        async with listening(over(fake)) as place:
            calls: list[asyncio.Task[Any]] = []

            def readers() -> int:
                return sum(call.readers for call in place.gateway.desk.calls)

            for count in (1, 2):
                calls.append(asyncio.create_task(place.post(PATH, BODY)))
                await settled(lambda count=count: len(fake.requests) == readers() == count)
            calls[0].cancel()
            await settled(lambda: readers() == 1)
            again = asyncio.create_task(place.post(PATH, BODY, headers=headers))
            await settled(lambda: readers() == 2)
            goes.set()
            assert (await again)[1]["id"] != (await calls[1])[1]["id"] and len(fake.requests) == 2
            assert [node.masked for node in place.gateway.trajectory("s").nodes] == ["", ""]

    run(work)


def test_sampling_that_nobody_comes_back_for_ends_and_is_masked() -> None:
    async def work() -> None:
        tokens = asyncio.Semaphore(5)
        fake = sampler(lambda request: turn("abcdefghijkl"), pace=tokens.acquire)
        async with listening(over(fake), leave_seconds=0.01) as place:
            await left(place)
            await settled(lambda: place.gateway.desk.open == 0)
            assert fake.running == 0 and place.gateway.metrics.told["abandoned"] == 1
            (node,) = place.gateway.trajectory("s").nodes
            assert node.sampled.tolist() == turn("abcdefghijkl")[:5] and node.masked and node.stop == "aborted"
            assert np.isfinite(node.logprobs).all()
            tokens.release()

    run(work)


def test_a_retry_of_a_refused_request_is_a_first_try() -> None:
    """A sibling whose first attempt met a 429 must not be told its twin's answer."""

    async def work() -> None:
        fake, goes = held()
        goes.set()
        async with listening(over(fake)) as place:
            assert said(await place.post(PATH, BODY)) == "answer 1"
            await place.gateway.pause(mode="refuse")
            assert (await place.post(PATH, BODY))[0] == 429
            place.gateway.resume()
            assert said(await place.post(PATH, BODY, headers=AGAIN)) == "answer 2"
            assert said(await place.post(PATH, BODY, headers=AGAIN)) == "answer 2"

    run(work)


def test_a_failed_call_is_made_anew() -> None:
    async def work() -> None:
        fake = sampler(lambda request: turn("a"), fault=lambda number: "crash" if number == 0 else "")
        async with listening(over(fake)) as place:
            assert (await place.post(PATH, BODY))[0] == 500
            assert (await place.post(PATH, BODY, headers=AGAIN))[0] == 200

    run(work)


def test_an_idempotency_key_is_one_call() -> None:
    async def work() -> None:
        fake, goes = held()
        goes.set()
        async with listening(over(fake)) as place:
            named = {"Idempotency-Key": "k1"}
            first = await place.post(PATH, BODY, headers=named)
            assert await place.post(PATH, BODY, headers=named) == first
            assert await place.post(PATH, BODY, headers={"Idempotency-Key": "k2"}) != first

    run(work)


def test_a_client_that_reads_nothing_does_not_hold_the_call() -> None:
    async def work() -> None:
        fake = sampler(lambda request: turn("word " * 300))
        async with listening(over(fake)) as place:
            async with aiohttp.ClientSession(headers=place.http.headers, read_bufsize=64) as http:
                response = await http.post(place.gateway.url + PATH, json=BODY | {"stream": True, "max_tokens": 2000})
                await settled(lambda: place.gateway.desk.open == 0)
                response.close()
            assert len(place.gateway.trajectory("s").nodes) == 1

    run(work)


def test_what_is_kept_for_retries_is_bounded() -> None:
    async def work() -> None:
        fake = sampler(lambda request: turn("word " * 50))
        async with listening(over(fake), retry_bytes=3000) as place:
            for number in range(12):
                await place.post(PATH, {"model": "m", "messages": [{"role": "user", "content": f"{number}"}]})
            repeats = place.gateway.sessions.find("s").repeats
            kept = [call for same in repeats._calls.values() for call in same]
            assert repeats._kept == sum(call.tape.size for call in kept) <= 3000 + 1500
            assert 1 <= len(kept) <= 5

    run(work)


def test_a_client_that_hangs_up_behind_the_last_word_has_heard_it() -> None:
    async def work() -> None:
        fake = sampler(lambda request: turn("word " * 20))
        async with listening(over(fake)) as place:
            body = BODY | {"stream": True}
            for _ in range(20):
                async with place.http.post(place.gateway.url + PATH, json=body) as answer:
                    async for line in answer.content:
                        if b"[DONE]" in line:
                            answer.close()
                            break
            await settled(lambda: not any(call.readers for call in place.gateway.desk.calls))
            assert [node.masked for node in place.gateway.trajectory("s").nodes] == [""] * 20

    run(work)


def test_who_goes_on_from_an_answer_has_it() -> None:
    """Whatever became of the connection that it came by."""

    async def work() -> None:
        fake, goes = held()
        async with listening(over(fake)) as place:
            await left(place)
            goes.set()
            await settled(lambda: place.gateway.desk.open == 0)
            assert place.gateway.trajectory("s").nodes[0].masked
            told = {"role": "assistant", "content": "answer 1 " + "x" * 20}
            more = [*BODY["messages"], told, {"role": "user", "content": "more"}]
            await place.post(PATH, BODY | {"messages": more})
            assert [node.masked for node in place.gateway.trajectory("s").nodes] == ["", ""]

    run(work)
