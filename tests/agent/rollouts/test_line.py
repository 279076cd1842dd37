"""Waits with deadlines: the one that ran out hears of it, no other does, and time in each is counted once."""

import asyncio
from typing import Any

import pytest

from manyeyes.agent.rollouts.deadline_wheel import NEVER, DeadlineWheel
from manyeyes.agent.rollouts.line import Line, Timekeeping
from manyeyes.agent.rollouts.stats import RolloutStats
from manyeyes.agent.rollouts.ticker import RATE, Ticker

from ..virtual_time import run_virtually

FOREVER = 1e6


class Waiter:
    """A task with a line, and waits one inside the other."""

    def __init__(self, *, limit: int = NEVER) -> None:
        wheel = DeadlineWheel()
        self.stats, self.hung = RolloutStats(), list[Line]()
        self.ticker = Ticker(wheel, on_tick=lambda: None)
        task = asyncio.current_task()
        assert task is not None
        self.line = Line(Timekeeping(wheel, self.ticker.clock, self.stats), task, limit=limit, hung=self.hung.append)

    async def wait(self, kind: str, seconds: float, work: Any) -> Any:
        outer = self.line.enter(kind, int(seconds * RATE))
        try:
            return await work
        except asyncio.CancelledError:
            if self.line.overdue(outer):
                raise TimeoutError(kind) from None
            raise
        finally:
            self.line.leave(outer)


def test_a_wait_that_takes_too_long_is_ended_and_the_task_goes_on() -> None:
    async def work() -> str:
        waiter = Waiter()
        with pytest.raises(TimeoutError, match="model"):
            await waiter.wait("model", 2.0, asyncio.sleep(FOREVER))
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0
        return await waiter.wait("tool", 2.0, asyncio.sleep(1.0, "done"))

    given, seconds = run_virtually(work())
    assert given == "done" and 3.0 <= seconds < 3.3


def test_the_inner_wait_hears_of_its_own_limit_and_the_outer_of_its_own() -> None:
    async def work(inner: float, outer: float) -> str:
        waiter = Waiter()

        async def nested() -> None:
            await waiter.wait("model", inner, asyncio.sleep(FOREVER))

        with pytest.raises(TimeoutError) as caught:
            await waiter.wait("tool", outer, nested())
        return str(caught.value)

    assert run_virtually(work(1.0, 5.0))[0] == "model"
    assert run_virtually(work(5.0, 1.0))[0] == "tool"


def test_a_cancellation_from_outside_is_nobodys_timeout() -> None:
    async def work() -> None:
        started = asyncio.Event()

        async def waits() -> None:
            waiter = Waiter()
            started.set()
            await waiter.wait("tool", 5.0, asyncio.sleep(FOREVER))

        task = asyncio.create_task(waits())
        await started.wait()
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run_virtually(work())


def test_a_task_that_does_not_end_is_hung_and_named_by_its_frame() -> None:
    async def work() -> tuple[int, str]:
        waiters, released = list[Waiter](), asyncio.Event()

        async def stubborn() -> None:
            while not released.is_set():
                try:
                    await asyncio.sleep(FOREVER)
                except asyncio.CancelledError:
                    pass

        async def waits() -> None:
            waiters.append(Waiter())
            await waiters[0].wait("tool", 1.0, stubborn())

        task = asyncio.create_task(waits())
        await asyncio.sleep(60.0)
        released.set()
        task.cancel()
        await asyncio.wait([task])
        return len(waiters[0].hung), waiters[0].line.frames

    (hung, frames), _ = run_virtually(work())
    assert hung == 1 and "sleep" in frames


def test_every_second_is_counted_under_the_innermost_wait() -> None:
    async def work() -> RolloutStats:
        waiter = Waiter()

        async def nested() -> None:
            await asyncio.sleep(1.0)
            await waiter.wait("model", 9.0, asyncio.sleep(2.0))
            await asyncio.sleep(4.0)

        await waiter.wait("tool", 99.0, nested())
        return waiter.stats

    stats, _ = run_virtually(work())
    assert stats.spent["tool"] == pytest.approx(5.0) and stats.spent["model"] == pytest.approx(2.0)
    assert not any(stats.waiting.values())


def test_time_for_a_sub_agent_is_not_the_calls_own() -> None:
    async def work() -> str:
        waiter = Waiter()

        async def delegates() -> str:
            outer = waiter.line.enter_free("spawn", NEVER)
            await asyncio.sleep(50.0)
            waiter.line.leave(outer, free=True)
            return await asyncio.sleep(2.0, "in time")

        return await waiter.wait("tool", 5.0, delegates())

    assert run_virtually(work())[0] == "in time"


def test_time_stands_still_while_the_run_is_suspended() -> None:
    async def work() -> str:
        waiter = Waiter()
        asyncio.get_running_loop().call_later(1.0, waiter.ticker.clock.stop)
        asyncio.get_running_loop().call_later(100.0, waiter.ticker.clock.go_on)
        return await waiter.wait("model", 5.0, asyncio.sleep(102.0, "in time"))

    assert run_virtually(work())[0] == "in time"


def test_nothing_expires_before_what_has_arrived_was_heard() -> None:
    """A loop that is held up for longer than the limit is no reason to give up an answer that is there."""

    async def work() -> str:
        waiter, loop = Waiter(), asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        loop.call_later(0.5, answer.set_result, "an answer")

        def hold_up() -> None:
            loop._clock.now += 10.0  # pyright: ignore[reportAttributeAccessIssue]

        loop.call_later(0.4, hold_up)
        return await waiter.wait("model", 2.0, answer)

    assert run_virtually(work())[0] == "an answer"
