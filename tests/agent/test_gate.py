"""The gate: nothing passes while it is shut, everybody when it opens."""

import asyncio

from manyeyes.agent.gate import Gate

from .virtual_time import run_virtually


def test_everybody_waits_until_it_opens_and_is_told_how_long() -> None:
    async def do() -> list[float]:
        gate = Gate(clock=asyncio.get_running_loop().time)
        assert gate.is_open and await gate.passed() == 0.0
        gate.shut("")
        assert not gate.is_open and gate.reason == "paused"
        waiting = [asyncio.ensure_future(gate.passed()) for _ in range(3)]
        await asyncio.sleep(7.0)
        assert not any(one.done() for one in waiting)
        gate.open()
        assert gate.opened == 1 and gate.reason == ""
        return await asyncio.gather(*waiting)

    assert run_virtually(do())[0] == [7.0] * 3


def test_shut_again_before_anybody_passed_they_wait_on() -> None:
    async def do() -> float:
        gate = Gate(clock=asyncio.get_running_loop().time)
        gate.shut("one")
        waiting = asyncio.ensure_future(gate.passed())
        await asyncio.sleep(1.0)
        gate.open()
        gate.shut("two")
        await asyncio.sleep(1.0)
        assert not waiting.done()
        gate.open()
        return await waiting

    assert run_virtually(do())[0] == 2.0
