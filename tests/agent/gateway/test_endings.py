"""What becomes of calls whose session ends, whose gateway goes down, or which wait in vain."""

import asyncio
from typing import Any

import pytest

from manyeyes.agent.gateway import telling
from manyeyes.agent.gateway.chat_dialect import ChatDialect
from manyeyes.agent.gateway.gateway import Gateway
from manyeyes.agent.gateway.sessions import Wanted
from manyeyes.core.trajectory import Trajectory

from .gateways import TOKEN, listening, over, run, sampler, settled, turn
from .test_gateway import ANTHROPIC, HI, events

BODY = {"model": "m", "messages": HI}
CALLS = {
    "chat/completions": BODY, "responses": {"model": "m", "input": "Hi"}, "messages": ANTHROPIC,
}  # fmt: skip


@pytest.mark.parametrize("path", CALLS)
def test_a_stream_that_waits_in_vain_ends_with_the_reason(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status is out since the first line without content; a stream that just stops would pass for an answer."""
    monkeypatch.setattr(telling, "PING_SECONDS", 0.005)

    async def work() -> None:
        async with listening(over(sampler([])), hold_seconds=0.1) as place:
            await place.gateway.pause()
            asked = CALLS[path] | {"stream": True}
            async with place.http.post(f"{place.gateway.url}/s/s/v1/{path}", json=asked) as answer:
                text = await answer.text()
            last = events(text)[-1]
            assert answer.status == 200 and "the gateway is paused" in str(last.get("error") or last["message"])

    run(work)


@pytest.mark.parametrize("whose", ["root", "kid"])
def test_calls_of_a_session_that_ends_are_cut_and_leave_nothing(whose: str) -> None:
    """Its trajectory has been handed on: what would be sampled now is nobody's, and takes no room."""

    async def work() -> None:
        goes = asyncio.Event()
        fake = sampler(lambda request: turn("a"), pace=goes.wait)
        async with listening(over(fake)) as place:
            place.gateway.begin(Wanted("root"))
            place.gateway.begin(Wanted("kid", parent="root"))
            place.gateway.begin(Wanted("grandchild", parent="kid"))
            call = asyncio.create_task(place.post("/s/grandchild/v1/chat/completions", BODY))
            await settled(lambda: len(fake.requests) == 1)
            place.gateway.end(whose)
            status, said = await call
            assert status == 503 and "its session is over" in said["error"]["message"] and fake.running == 0
            assert [session.id for session in place.gateway.sessions] == ([] if whose == "root" else ["root"])
            assert (await place.post("/s/grandchild/v1/chat/completions", BODY))[0] == 403
            if whose == "kid":
                ended = place.gateway.end("root")
                assert ended is not None and [agent.stop for agent in ended.agents] == ["done"] * 3
            assert place.gateway.sessions.room.taken == 0

    run(work)


def test_a_call_that_is_cut_before_its_first_step_is_over() -> None:
    async def work() -> None:
        async with listening(over(sampler([]))) as place:
            session, desk = place.gateway.begin(Wanted("s")), place.gateway.desk
            body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
            call = desk.begin(session, 0, ChatDialect(), body, b"key")
            session.close("done")
            await asyncio.wait_for(call.tape.finished(), 30)
            assert call.failed and desk.open == session.open == 0
            await asyncio.wait_for(desk.drain(1e3), 30)

    run(work)


def test_calls_that_a_pause_holds_are_not_let_through_when_the_gateway_goes_down() -> None:
    """The weights are half exchanged."""

    async def work() -> None:
        fake = sampler([turn("a")])
        async with listening(over(fake)) as place:
            await place.gateway.pause()
            held = asyncio.create_task(place.post("/s/s/v1/messages", ANTHROPIC))
            await settled(lambda: place.gateway.desk.open == 1)
            await place.gateway.drain()
            status, said = await held
            assert status == 503 and "going down" in said["error"]["message"] and fake.requests == []

    run(work)


@pytest.mark.parametrize("paused", [True, False])
def test_a_call_whose_task_has_not_begun_when_the_gateway_goes_down_is_held_as_the_pause_says(paused: bool) -> None:
    async def work() -> None:
        fake = sampler([turn("a")])
        async with listening(over(fake)) as place:
            desk = place.gateway.desk
            if paused:
                await place.gateway.pause()
            begin, drained = desk.begin, list[asyncio.Task[None]]()

            def begin_and_go_down(*args: Any) -> Any:
                drained.append(asyncio.create_task(place.gateway.drain()))  # runs before the task that `begin` makes
                return begin(*args)

            desk.begin = begin_and_go_down
            status, _ = await place.post("/s/s/v1/messages", ANTHROPIC)
            await drained[0]
            assert (status, len(fake.requests)) == ((503, 0) if paused else (200, 1))

    run(work)


def test_a_call_that_the_end_of_a_pause_let_go_is_answered_though_the_gateway_goes_down_at_once() -> None:
    async def work() -> None:
        fake = sampler([turn("a")])
        async with listening(over(fake)) as place:
            desk = place.gateway.desk
            await place.gateway.pause()
            held = asyncio.create_task(place.post("/s/s/v1/messages", ANTHROPIC))
            while not desk.open:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)  # its task waits at the gate
            drained = asyncio.create_task(place.gateway.drain())  # runs before the call that is let go
            place.gateway.resume()
            assert (await held)[0] == 200 and len(fake.requests) == 1
            await drained

    run(work)


def test_a_trajectory_that_nobody_takes_stays_and_holds_up_no_other() -> None:
    now: list[float] = [0.0]
    ended: list[str] = []

    def picky(trajectory: Trajectory) -> None:
        if trajectory.name == "a" and "a" not in ended:
            ended.append("a")
            raise OSError("no space left")
        ended.append(trajectory.name)

    async def work() -> None:
        async with Gateway(over(sampler([])), token=TOKEN, on_finished=picky, clock=lambda: now[0]) as gateway:
            for id in ("a", "b"):
                gateway.begin(Wanted(id))
            now[0] = 4000.0
            gateway.sessions.expire()
            assert ended == ["a", "b"] and [session.id for session in gateway.sessions] == ["a"]
            assert (whole := gateway.trajectory("a")).stop == whole.masked == "", "as if nobody had tried"
            done = gateway.end("a", "done")
            assert done is not None and (done.stop, done.masked) == ("done", "")

    run(work)


def test_answers_that_nobody_asks_for_again_are_forgotten() -> None:
    now: list[float] = [0.0]

    async def work() -> None:
        fake = sampler(lambda request: turn("a"))
        async with Gateway(over(fake), token=TOKEN, clock=lambda: now[0]) as gateway:
            session = gateway.begin(Wanted("s"))
            body: Any = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
            call = gateway.desk.begin(session, 0, ChatDialect(), body, b"key")
            await call.tape.finished()
            await settled(lambda: gateway.desk.open == 0)
            assert session.repeats.find(b"key", retried=True) is call
            now[0] = gateway.config.retry_seconds + 1
            gateway.sessions.forget_answers()
            assert session.repeats._calls == {} and session.repeats._kept == 0 and len(gateway.sessions) == 1

    run(work)
