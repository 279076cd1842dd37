"""The limiter: order, cancellation, refusals, pauses, and never more calls than allowed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.limiter import BACK_OFF, REACTION, Limiter


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(do: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await do()

    asyncio.run(within())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def entering(limiter: Limiter, order: list[str], name: str, priority: int = 0, ticket: int | None = None):
    async def enter() -> None:
        await limiter.enter(priority, ticket)
        order.append(name)

    return asyncio.ensure_future(enter())


def test_who_waits_is_served_by_priority_then_by_ticket() -> None:
    async def do() -> None:
        limiter, order = Limiter(1), []
        early = limiter.ticket()
        await limiter.enter()
        for name, priority, ticket in (("b", 1, None), ("c", 1, None), ("a", 0, None), ("again", 1, early)):
            entering(limiter, order, name, priority, ticket)
        await settle()
        assert limiter.queued == 4
        for _ in range(4):
            limiter.leave()
            await settle()
        assert order == ["a", "again", "b", "c"] and limiter.in_flight == 1

    run(do)


def test_cancelled_while_queued_nothing_leaks_and_others_are_served() -> None:
    async def do() -> None:
        limiter, order = Limiter(1), []
        await limiter.enter()
        first, second = entering(limiter, order, "first"), entering(limiter, order, "second")
        await settle()
        first.cancel()
        await settle()
        assert limiter.queued == 1
        limiter.leave()
        await second
        limiter.leave()
        assert order == ["second"] and limiter.in_flight == 0

    run(do)


def test_cancelled_in_the_moment_of_being_served_the_turn_goes_on() -> None:
    async def do() -> None:
        limiter, order = Limiter(1), []
        await limiter.enter()
        first, second = entering(limiter, order, "first"), entering(limiter, order, "second")
        await settle()
        limiter.leave()  # the turn is the first one's, which has not run yet
        first.cancel()
        await second
        limiter.leave()
        assert order == ["second"] and limiter.in_flight == 0

    run(do)


def test_nothing_starts_before_the_moment_that_the_endpoint_named() -> None:
    async def do() -> None:
        clock, order = Clock(), []
        limiter = Limiter(4, clock=clock)
        await limiter.enter()
        limiter.refuse(0.02)
        limiter.leave()
        waiting = entering(limiter, order, "a")
        await asyncio.sleep(0.1)  # the timer rings, but by the clock it is too early
        assert limiter.state == "waiting" and not order and limiter.in_flight == 0
        clock.now = 0.02
        await waiting
        assert limiter.state == "open" and limiter.in_flight == 1

    run(do)


def test_refusals_cut_the_limit_once_in_a_while_and_successes_raise_it() -> None:
    async def do() -> None:
        clock = Clock()
        limiter = Limiter(10, clock=clock)
        for _ in range(10):
            await limiter.enter()
        limiter.refuse(0.0)
        limiter.refuse(0.0)
        assert limiter.limit == pytest.approx(10 * BACK_OFF) and limiter.refused == 2
        clock.now = REACTION
        limiter.refuse(0.0)
        assert limiter.limit == pytest.approx(10 * BACK_OFF**2)
        for _ in range(200):
            limiter.succeeded()
        assert limiter.limit == 10

    run(do)


def test_a_pause_holds_everybody_until_somebody_resumes() -> None:
    async def do() -> None:
        clock, order = Clock(), []
        limiter = Limiter(4, clock=clock)
        limiter.pause("no money")
        waiting = [entering(limiter, order, str(n)) for n in range(3)]
        clock.now = 1e6
        await settle()
        assert limiter.state == "paused" and limiter.paused_for == "no money" and not order
        limiter.resume()
        await asyncio.gather(*waiting)
        assert order == ["0", "1", "2"] and limiter.state == "open"

    run(do)


def test_a_pause_within_a_refusal_leaves_the_rest_of_the_wait() -> None:
    async def do() -> None:
        clock, order = Clock(), []
        limiter = Limiter(4, clock=clock)
        limiter.refuse(0.02)
        limiter.pause("")
        waiting = entering(limiter, order, "a")
        await settle()
        limiter.resume()
        await settle()
        assert limiter.state == "waiting" and not order
        clock.now = 0.02
        await waiting

    run(do)


DEEDS = st.lists(
    st.tuples(st.sampled_from(["enter", "leave", "cancel", "yield", "refuse", "succeed"]), st.integers(0, 7)),
    max_size=60,
)


@settings(deadline=None)
@given(most=st.integers(1, 4), deeds=DEEDS)
def test_never_more_than_the_cap_and_nobody_is_forgotten(most: int, deeds: list[tuple[str, int]]) -> None:
    async def do() -> None:
        clock, tasks, inside = Clock(), [], 0
        limiter = Limiter(most, clock=clock)

        async def call(priority: int) -> None:
            nonlocal inside
            await limiter.enter(priority)
            inside += 1
            assert inside <= most and limiter.in_flight <= most

        def leave() -> None:
            nonlocal inside
            inside -= 1
            limiter.leave()

        for deed, number in deeds:
            if deed == "enter":
                tasks.append(asyncio.ensure_future(call(number % 3)))
            elif deed == "leave" and inside:
                leave()
            elif deed == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            elif deed == "refuse":
                clock.now += 0.5
                limiter.refuse(0.0)
            elif deed == "succeed":
                limiter.succeeded()
            else:
                await asyncio.sleep(0)
            assert inside <= limiter.in_flight <= most
        for _ in range(len(tasks) + 1):
            await settle()
            while inside:
                leave()
        assert all(task.done() for task in tasks) and limiter.in_flight == 0 and limiter.queued == 0
        assert all(task.cancelled() or task.exception() is None for task in tasks)

    run(do)
