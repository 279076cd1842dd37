"""Time that stands still: what is measured by it, and what expires by it."""

import asyncio
from math import inf

import pytest

from manyeyes.agent.clock import StopClock

from .virtual_time import run_virtually


def stop_clock() -> StopClock:
    return StopClock(asyncio.get_running_loop().time)


def test_it_stands_while_it_is_stopped_and_twice_is_once() -> None:
    async def do() -> list[float]:
        clock, read = stop_clock(), []
        for act in (clock.stop, clock.stop, clock.go_on, clock.go_on, clock.stop):
            await asyncio.sleep(1.0)
            act()
            read.append(clock())
        assert clock.stands
        return read

    assert run_virtually(do())[0] == pytest.approx([1.0, 1.0, 1.0, 2.0, 3.0])


def test_a_timeout_expires_by_it() -> None:
    async def do() -> None:
        clock = stop_clock()
        with pytest.raises(TimeoutError):
            async with clock.timeout(5.0) as deadline:
                await asyncio.sleep(2.0)
                clock.stop()
                await asyncio.sleep(100.0)
                clock.go_on()
                await asyncio.sleep(2.9)
                assert not deadline.expired()
                await asyncio.sleep(1000.0)
        assert deadline.expired() and clock() == pytest.approx(5.0)

    assert run_virtually(do())[1] == pytest.approx(105.0)


def test_it_may_begin_stopped_and_may_have_no_end() -> None:
    async def do() -> None:
        clock = stop_clock()
        clock.stop()
        async with clock.timeout(0.0):
            await asyncio.sleep(1e6)
        clock.go_on()
        async with clock.timeout(inf):
            await asyncio.sleep(1e6)
        with pytest.raises(TimeoutError):
            async with clock.timeout(0.0):
                await asyncio.sleep(1e6)

    run_virtually(do())
