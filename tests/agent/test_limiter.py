"""The limiter: order, cancellation, refusals, pauses, and never more calls than allowed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.limiter import BACK_OFF, Limiter


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


def test_who_gives_up_while_waiting_leaves_no_trace() -> None:
    async def do() -> None:
        limiter, order = Limiter(1), []
        limiter.pause("no money")
        waiting = [entering(limiter, order, str(n)) for n in range(4)]
        await settle()
        for task in (waiting[0], waiting[2]):
            task.cancel()
        await settle()
        assert limiter.queued == 2 and len(limiter._waiting) == 2
        limiter.resume()
        await settle()
        limiter.leave()
        await settle()
        assert order == ["1", "3"] and limiter.in_flight == 1

    run(do)


def test_after_refusals_calls_start_at_the_pace_that_was_admitted() -> None:
    async def do() -> None:
        clock = Clock()
        limiter = Limiter(100, clock=clock)
        assert limiter.pace == float("inf")
        for _ in range(10):
            await limiter.enter()
        for _ in range(6):  # four of ten were admitted, for the next two seconds
            limiter.refuse(2.0)
            limiter.leave()
        clock.now = 2.0
        assert limiter.pace == pytest.approx(2.0) and limiter.refused == 6
        started = 0
        while limiter._may_start():  # what the wait left unused is caught up on
            await limiter.enter()
            started += 1
        assert started == 5
        clock.now = 3.0
        assert limiter._allow() == pytest.approx(2.0, abs=0.1)
        before = limiter.pace
        limiter.refuse(1.0)
        assert limiter.pace <= before * BACK_OFF

    run(do)


def test_where_nothing_was_admitted_calls_start_one_by_one_then_in_growing_number() -> None:
    async def do() -> None:
        clock = Clock()
        limiter = Limiter(16, clock=clock)
        waves = []
        for _ in range(3):
            await limiter.enter()
            limiter.refuse(1.0)
            limiter.leave()
            clock.now += 1.0
        for _ in range(6):
            wave = 0
            while limiter._may_start():
                await limiter.enter()
                wave += 1
            waves.append(wave)
            for _ in range(wave):
                limiter.succeeded()
                limiter.leave()
        assert waves == [1, 2, 4, 8, 16, 16]

    run(do)


def test_where_the_number_at_once_is_limited_it_is_learned_and_tried_again_now_and_then() -> None:
    async def do() -> None:
        clock = Clock()
        limiter = Limiter(100, clock=clock)
        for _ in range(20):
            await limiter.enter()
        for _ in range(12):
            limiter.refuse(1.0, at_once=True)
            limiter.leave()
        clock.now = 1.0
        assert limiter.in_flight == 8 and not limiter._may_start() and limiter.pace == float("inf")
        successes = 0
        while limiter._most_now < 9.0:
            limiter.succeeded()
            successes += 1
        assert 80 <= successes <= 90

    run(do)


def test_without_refusals_the_pace_grows_slowly_then_fast() -> None:
    async def do() -> None:
        clock = Clock()
        limiter = Limiter(100, clock=clock)
        for _ in range(20):
            await limiter.enter()
        limiter.refuse(1.0)
        paces = []
        for clock.now in (1.0, 2.0, 5.0, 21.0, 201.0):
            paces.append(limiter.pace)
        assert paces[0] == pytest.approx(19.0) and paces[1] < 1.01 * paces[0] and paces[2] < 1.6 * paces[0]
        assert paces[3] > 50 * paces[0] and paces[4] > 1e4 * paces[0]

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
    st.tuples(st.sampled_from(["enter", "leave", "cancel", "yield", "refuse", "pass"]), st.integers(0, 7)),
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
                limiter.refuse(0.0)
                clock.now += 0.5
            elif deed == "pass":
                clock.now += number
                limiter._serve()
            else:
                await asyncio.sleep(0)
            assert inside <= limiter.in_flight <= most
        for _ in range(len(tasks) + 1):
            clock.now += 60
            limiter._serve()
            await settle()
            while inside:
                leave()
        assert all(task.done() for task in tasks) and limiter.in_flight == 0 and limiter.queued == 0
        assert all(task.cancelled() or task.exception() is None for task in tasks)

    run(do)
