"""The pool: every loan ends once, every instance is closed once, whatever happens and in whatever order."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest

from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.pool_kind import (
    LeaseOver,
    OpenFailed,
    PoolClosed,
    PoolError,
    PoolFull,
    PoolKind,
    PoolTimeout,
)
from manyeyes.core.errors import ConfigError

from ..virtual_time import run_virtually


@dataclass
class Made:
    """What a test makes its pool of, and what became of it.

    Attributes:
        takes: seconds of each of the four calls.
        fails: calls that fail, by name and number of the instance.
        sick: instances that say they are not well.
        log: calls in order, as (name, number of the instance).
        alive: instances that were opened and not closed.
        wrong: what the pool did that it must not do.
    """

    takes: dict[str, float] = field(default_factory=dict)
    fails: set[tuple[str, int]] = field(default_factory=set)
    sick: set[int] = field(default_factory=set)
    log: list[tuple[str, int]] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def __call__(self) -> "Thing":
        return Thing(self, sum(name == "made" for name, _ in self.log))

    def calls(self, name: str) -> list[int]:
        return [number for called, number in self.log if called == name]


class Thing:
    """A resource that says what is done to it, and that nobody may call twice at once."""

    def __init__(self, made: Made, number: int) -> None:
        self.made, self.number, self.busy = made, number, ""
        made.log.append(("made", number))

    async def open(self) -> None:
        self.made.alive.add(self.number)
        await self._do("open")

    async def reset(self) -> None:
        await self._do("reset")

    async def healthy(self) -> bool:
        await self._do("healthy")
        return self.number not in self.made.sick

    async def close(self) -> None:
        if self.number in self.made.calls("close"):
            self.made.wrong.append(f"{self.number} is closed twice")
        try:
            await self._do("close")
        finally:
            self.made.alive.discard(self.number)

    async def _do(self, name: str) -> None:
        if self.busy:
            self.made.wrong.append(f"{name} of {self.number} while it is busy with {self.busy}")
        self.busy = name
        self.made.log.append((name, self.number))
        try:
            await asyncio.sleep(self.seconds(name))
        finally:
            self.busy = ""
        if self.breaks(name):
            raise RuntimeError(f"{name} of {self.number} failed by plan")

    def seconds(self, name: str) -> float:
        return self.made.takes.get(name, 0.0)

    def breaks(self, name: str) -> bool:
        return (name, self.number) in self.made.fails


def virtually(work: Coroutine[Any, Any, Any]) -> Any:
    return run_virtually(work)[0]


def one_kind(made: Made, **options: Any) -> EnvironmentPool:
    return EnvironmentPool({"thing": PoolKind(made, **options)})


async def borrowed(
    pool: EnvironmentPool, owner: str = "a", seconds: float = inf, hold: float = 0.0, **more: Any
) -> int:
    async with pool.lease("thing", owner=owner, seconds=seconds, **more) as lease:
        number = lease.resource.number
        await asyncio.sleep(hold)
        return number


def test_one_is_opened_once_and_lent_again_after_a_reset() -> None:
    async def do() -> Made:
        made = Made()
        async with one_kind(made) as pool:
            assert [await borrowed(pool) for _ in range(3)] == [0, 0, 0]
        return made

    made = virtually(do())
    assert made.calls("open") == [0] and made.calls("close") == [0] and not made.alive
    assert made.calls("reset") == [0, 0, 0]


def test_who_holds_one_longer_than_he_may_loses_it_and_it_is_closed() -> None:
    async def do() -> None:
        made = Made()
        async with one_kind(made) as pool:
            async with pool.lease("thing", owner="a", seconds=10.0) as lease:
                await asyncio.sleep(9.9)
                assert lease.held and lease.resource.number == 0
                await asyncio.sleep(0.2)
                assert made.calls("close") == [0] and not lease.held
                with pytest.raises(LeaseOver, match="the 10 s of this loan were over"):
                    _ = lease.resource
            assert await borrowed(pool) == 1
            assert pool.stats()["thing"]["expired"] == 1

    virtually(do())


def test_release_is_harmless_twice_and_a_lease_serves_once() -> None:
    async def do() -> None:
        made = Made()
        async with one_kind(made) as pool:
            lease = pool.lease("thing", owner="a", seconds=inf)
            lease.release()
            with pytest.raises(LeaseOver):
                await lease.__aenter__()
            async with pool.lease("thing", owner="a", seconds=inf) as lease:
                lease.release()
                lease.release()
            assert await borrowed(pool) == 0 and made.calls("reset") == [0]
            with pytest.raises(LeaseOver):
                await lease.__aenter__()
            assert pool.stats()["thing"]["leases"] == 2

    virtually(do())


def test_the_queue_goes_by_priority_and_then_by_arrival() -> None:
    async def do() -> list[str]:
        order: list[str] = []

        async def one(name: str, priority: int) -> None:
            async with pool.lease("thing", owner=name, seconds=inf, priority=priority):
                order.append(name)
                await asyncio.sleep(1.0)

        async with one_kind(Made(), most=1) as pool, asyncio.TaskGroup() as group:
            for name, priority in [("first", 5), ("b1", 1), ("b2", 1), ("a1", 0), ("c", 2), ("a2", 0)]:
                group.create_task(one(name, priority))
                await asyncio.sleep(0.01)
        return order

    assert virtually(do()) == ["first", "a1", "a2", "b1", "b2", "c"]


def test_who_waits_too_long_is_told_so_and_too_many_may_not_wait() -> None:
    async def do() -> None:
        async with one_kind(Made(), most=1, waiting=2) as pool, asyncio.TaskGroup() as group:
            async with pool.lease("thing", owner="a", seconds=inf):
                with pytest.raises(PoolTimeout, match="no thing was free within 3 s"):
                    await borrowed(pool, wait=3.0)
                waiting = [group.create_task(borrowed(pool)) for _ in range(2)]
                await asyncio.sleep(0)
                with pytest.raises(PoolFull, match="2 wait for thing already"):
                    await borrowed(pool)
            assert await asyncio.gather(*waiting) == [0, 0]
            stats = pool.stats()["thing"]
            assert stats["timed_out"] == 1 and stats["waiting"] == stats["leased"] == 0

    virtually(do())


def test_warm_ones_are_ready_before_anybody_asks_and_are_replaced_when_worn() -> None:
    async def do() -> None:
        made = Made(takes={"open": 2.0})
        async with one_kind(made, warm=2, most=4, uses=1) as pool:
            await asyncio.sleep(3.0)
            assert pool.stats()["thing"]["warm"] == 2
            for _ in range(3):
                began = asyncio.get_running_loop().time()
                await borrowed(pool)
                assert asyncio.get_running_loop().time() == pytest.approx(began)
                await asyncio.sleep(3.0)
            assert len(set(made.calls("close"))) == len(made.calls("close")) == 3 and not made.calls("reset")
            assert pool.stats()["thing"]["worn_out"] == 3 and pool.stats()["thing"]["warm"] == 2

    virtually(do())


def test_old_ones_are_replaced_whether_lent_or_free() -> None:
    async def do() -> None:
        made = Made()
        async with one_kind(made, warm=1, most=2, seconds_alive=100.0) as pool:
            assert await borrowed(pool) == 0
            await asyncio.sleep(250.0)
            assert 0 in made.calls("close") and len(made.alive) == 1
            number = await borrowed(pool, hold=150.0)
            await asyncio.sleep(0.1)
            assert number in made.calls("close")

    virtually(do())


def test_a_sick_one_is_not_lent_and_is_found_when_nobody_borrows_it() -> None:
    async def do() -> None:
        made = Made()
        async with one_kind(made, probe_every=30.0) as pool:
            assert await borrowed(pool) == 0
            made.sick.add(0)
            await asyncio.sleep(5.0)
            assert await borrowed(pool) == 1
            made.sick.add(1)
            assert pool.stats()["thing"]["unhealthy"] == 1
            await asyncio.sleep(70.0)
            assert pool.stats()["thing"]["unhealthy"] == 2 and not made.alive

    virtually(do())


def test_a_reset_that_fails_and_a_look_that_hangs_cost_the_instance_and_nobody_his_turn() -> None:
    async def do() -> None:
        made = Made(fails={("reset", 0)}, takes={"healthy": 1.0})
        async with one_kind(made, most=1, probe_seconds=5.0) as pool:
            assert await borrowed(pool) == 0
            assert await borrowed(pool) == 1
            await asyncio.sleep(10.0)
            made.takes["healthy"] = 1e9
            assert await borrowed(pool) == 2
            assert pool.stats()["thing"]["problem"] == "it took longer than 5 s"

    virtually(do())


def test_who_gives_up_while_one_is_looked_at_for_him_leaves_it_to_others() -> None:
    async def do() -> None:
        made = Made(takes={"healthy": 1.0})
        async with one_kind(made, most=2) as pool:
            assert await borrowed(pool) == 0
            await asyncio.sleep(10.0)
            hasty = asyncio.ensure_future(borrowed(pool))
            await asyncio.sleep(0.5)
            assert pool.stats()["thing"]["checking"] == 1
            hasty.cancel()
            await asyncio.sleep(5.0)
            assert pool.stats()["thing"]["warm"] == pool.stats()["thing"]["created"] == 1
            assert sorted(await asyncio.gather(*(borrowed(pool, hold=1.0) for _ in range(2)))) == [0, 1]

    virtually(do())


def test_what_cannot_be_opened_is_tried_again_and_fails_who_waits_at_last() -> None:
    async def do() -> None:
        made = Made(fails={("open", number) for number in range(5)})
        async with one_kind(made, tries=3, most=1) as pool:
            with pytest.raises(OpenFailed, match="no thing could be opened: RuntimeError: open of 2 failed by plan"):
                await borrowed(pool)
            assert await borrowed(pool) == 5
            assert sorted(made.calls("close")) == [0, 1, 2, 3, 4] and pool.stats()["thing"]["not_opened"] == 5

    virtually(do())


def test_creations_are_as_fast_as_they_may_be() -> None:
    async def do() -> list[float]:
        moments: list[float] = []

        class Timed(Thing):
            async def open(self) -> None:
                moments.append(asyncio.get_running_loop().time())
                await super().open()

        made = Made()
        kind = PoolKind(lambda: Timed(made, made().number), most=10, creations_per_second=2.0)
        async with EnvironmentPool({"thing": kind}) as pool:
            await asyncio.gather(*(borrowed(pool, hold=100.0) for _ in range(6)))
        return moments

    assert virtually(do()) == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.5, 2.0])


def test_what_the_dead_left_is_taken_back_whether_they_hold_or_wait() -> None:
    async def do() -> None:
        living, made = {"b"}, Made()
        kinds = {"thing": PoolKind(made, most=1)}
        async with EnvironmentPool(kinds, alive=living.__contains__, reap_every=5.0) as pool:
            living.add("a")
            held, waits = pool.lease("thing", owner="a", seconds=inf), pool.lease("thing", owner="a", seconds=inf)
            await held.__aenter__()
            waiting = asyncio.ensure_future(waits.__aenter__())
            patient = asyncio.ensure_future(borrowed(pool, "b"))
            await asyncio.sleep(20.0)
            assert held.held and not waiting.done()
            living.discard("a")
            assert await patient == 1 and not held.held
            with pytest.raises(LeaseOver, match="gone"):
                await waiting
            assert pool.stats()["thing"]["taken_back"] == 2

            mine = pool.lease("thing", owner="b", seconds=inf)
            await mine.__aenter__()
            assert pool.take_back("b") == 1 and pool.take_back("b") == 0 and not mine.held

    virtually(do())


def test_closing_ends_everybody_and_waits_for_no_instance_longer_than_its_time() -> None:
    async def do() -> float:
        made = Made(takes={"close": 1.0})
        pool = one_kind(made, most=3, close_seconds=2.0)
        held = [pool.lease("thing", owner="a", seconds=inf) for _ in range(3)]
        for lease in held:
            await lease.__aenter__()
        waiting = asyncio.ensure_future(borrowed(pool))
        await asyncio.sleep(0)
        made.fails.add(("close", 1))
        held[2].resource.made = Made(takes={"close": 1e9}, alive={2})
        began = asyncio.get_running_loop().time()
        await pool.close()
        took = asyncio.get_running_loop().time() - began
        with pytest.raises(PoolClosed):
            await waiting
        with pytest.raises(PoolClosed):
            await borrowed(pool)
        stats = pool.stats()["thing"]
        assert stats["closed"] == 3 and stats["stuck"] == 2 and not any(lease.held for lease in held)
        assert stats["leased"] == stats["closing"] == stats["waiting"] == 0
        return took

    assert virtually(do()) < 3.0


def test_closing_interrupts_what_is_being_opened() -> None:
    async def do() -> float:
        made = Made(takes={"open": 1e6})
        async with one_kind(made, warm=3, most=3, open_seconds=inf):
            await asyncio.sleep(1.0)
        assert not made.alive and len(made.calls("close")) == 3
        return asyncio.get_running_loop().time()

    assert virtually(do()) < 3.0


@pytest.mark.parametrize("wrong", [{"most": 0}, {"warm": 5, "most": 4}, {"uses": 0}, {"seconds_alive": 0.0}])
def test_a_kind_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        PoolKind(Made(), **wrong)  # pyright: ignore[reportArgumentType]


def test_a_kind_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="no kind 'room'; it has thing"):
        one_kind(Made()).lease("room", owner="a", seconds=1.0)


@pytest.mark.parametrize("seed", range(8))
def test_in_a_storm_of_cancellations_failures_and_hangs_nothing_is_lost_and_nothing_leaks(seed: int) -> None:
    draw, spread = random.Random(seed), (60.0, 400.0)[seed % 2]  # more than it can serve, and less
    ends: Counter[str] = Counter()

    class Weather(Thing):
        def seconds(self, name: str) -> float:
            return draw.choice((0.0, 0.1, 1.0)) if draw.random() > 0.03 else 1e6

        def breaks(self, name: str) -> bool:
            return draw.random() < 0.05

        async def healthy(self) -> bool:
            return draw.random() > 0.1 and await super().healthy()

    async def owner(pool: EnvironmentPool, name: str) -> None:
        seconds, wait = draw.choice((2.0, 30.0, inf)), draw.choice((5.0, 60.0, inf))
        try:
            await asyncio.sleep(draw.uniform(0.0, spread))
            async with pool.lease("thing", owner=name, seconds=seconds, wait=wait, priority=draw.randrange(3)) as lease:
                if (number := lease.resource.number) in holders:
                    made.wrong.append(f"{number} is lent twice")
                holders.add(number)
                try:
                    await asyncio.sleep(draw.uniform(0.0, 5.0))
                finally:
                    holders.discard(number)
        except PoolError as error:
            ends[type(error).__name__] += 1
        except asyncio.CancelledError:
            ends["cancelled"] += 1
            raise
        else:
            ends["done"] += 1

    async def do() -> None:
        pool = EnvironmentPool({
            "thing": PoolKind(
                lambda: Weather(made, made().number), most=12, warm=3, waiting=120, uses=5, seconds_alive=40.0,
                creations_per_second=4.0, open_seconds=5.0, reset_seconds=5.0, probe_seconds=5.0, close_seconds=5.0,
                probe_every=7.0,
            )
        })  # fmt: skip
        async with pool:
            tasks = [asyncio.ensure_future(owner(pool, f"owner {number}")) for number in range(400)]
            for _ in range(150):
                await asyncio.sleep(draw.uniform(0.0, spread / 75))
                draw.choice(tasks).cancel()
                if draw.random() < 0.2:
                    pool.take_back(f"owner {draw.randrange(400)}")
                assert len(made.alive) <= 12
            await asyncio.wait(tasks)
            stats = pool.stats()["thing"]
            assert stats["leased"] == stats["waiting"] == 0 and sum(ends.values()) == len(tasks)
            assert not any(task.exception() for task in tasks if not task.cancelled())
        stats = pool.stats()["thing"]
        assert not any(stats[name] for name in ("opening", "resetting", "leased", "closing", "waiting", "warm"))
        assert stats["created"] == stats["closed"] and not made.alive
        assert stats["leases"] >= ends["done"] and not made.wrong, made.wrong

    made, holders = Made(), set[int]()
    virtually(do())
    assert ends["done"] > 100 and ends["cancelled"] > 20


def test_who_is_cancelled_in_the_moment_in_which_his_turn_comes_costs_the_pool_nothing() -> None:
    async def work() -> dict[str, Any]:
        made, wrong = Made(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with EnvironmentPool({"thing": PoolKind(made, most=1)}) as pool:

            async def borrow() -> None:
                async with pool.lease("thing", owner="b", seconds=inf):
                    await asyncio.sleep(1.0)

            shelf = pool._shelves["thing"]
            async with pool.lease("thing", owner="a", seconds=inf):
                waiting = asyncio.create_task(borrow())
                await asyncio.sleep(1.0)
                first = shelf.borrowers.first()
                assert first is not None
                put, shelf._put = shelf._put, lambda instance: (waiting.cancel(), put(instance))  # pyright: ignore[reportAttributeAccessIssue]
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.sleep(5.0)
            assert not wrong
            async with pool.lease("thing", owner="c", seconds=inf):
                return pool.stats()["thing"]

    stats, _ = run_virtually(work())
    assert stats["leased"] == 1 and stats["waiting"] == 0
