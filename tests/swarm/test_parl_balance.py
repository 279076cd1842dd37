"""Engine capacity between orchestrator and sub-agents: it follows demand, and its sum never changes."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.limiter import Limiter
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Policy
from manyeyes.swarm.parl_balance import Balance, Demand, balancing, whole

from .virtual_clock import run_virtually

POLICIES: tuple[Policy, ...] = ("live", "frozen")
CALLS = st.builds(Demand, st.integers(0, 50), st.integers(0, 200))


@given(st.lists(st.tuples(CALLS, CALLS), max_size=30), st.integers(1, 4))
def test_places_are_neither_made_nor_lost(demands, floor) -> None:
    balance = Balance({"live": 16, "frozen": 8}, floor=floor)
    for live, frozen in demands:
        balance.take({"live": live, "frozen": frozen})
        assert balance.total == 24 and min(balance.places.values()) >= floor


def test_a_steady_demand_is_met_in_proportion() -> None:
    balance = Balance({"live": 32, "frozen": 32})
    for _ in range(20):
        balance.take({"live": Demand(10, 0), "frozen": Demand(32, 58)})
    assert balance.places["live"] == pytest.approx(1 + 62 * 10 / 100, abs=1.0)


def test_nobody_queues_nothing_moves() -> None:
    balance = Balance({"live": 5, "frozen": 11})
    balance.take({"live": Demand(5, 0), "frozen": Demand(0, 0)})
    balance.take({})
    assert balance.places == {"live": 5, "frozen": 11}


@given(st.lists(st.floats(0, 20), min_size=1, max_size=6))
def test_whole_numbers_keep_the_sum(shares) -> None:
    total = round(sum(shares))
    found = whole(shares, total)
    assert all(abs(one - share) <= 1 for one, share in zip(found, shares, strict=True))
    assert sum(found) == min(total, sum(int(share) for share in shares) + len(shares))


def simulated(balance: Balance | None, *, episodes: int = 12, subs: int = 10) -> int:
    """Ticks until all episodes are over: an orchestrator's call, its sub-agents' calls, an orchestrator's call."""
    places: dict[Policy, int] = {"live": 8, "frozen": 8} if balance is None else balance.places
    left: list[tuple[Policy, int]] = [("live", 1), ("frozen", subs), ("live", 1)]
    runs = [list(left) for _ in range(episodes)]
    ticks = 0
    while runs:
        queued = {policy: sum(run[0][1] for run in runs if run[0][0] == policy) for policy in POLICIES}
        if balance is not None:
            now = {one: min(places[one], queued[one]) for one in POLICIES}
            balance.take({one: Demand(now[one], queued[one] - now[one]) for one in POLICIES})
            places = balance.places
        free: dict[Policy, int] = dict(places)
        for run in runs:
            policy, calls = run[0]
            done = min(calls, free[policy])
            free[policy] -= done
            run[0] = (policy, calls - done)
        runs = [run for run in ([stage for stage in run if stage[1]] for run in runs) if run]
        ticks += 1
    return ticks


def test_a_balance_beats_every_fixed_halving() -> None:
    assert simulated(Balance({"live": 8, "frozen": 8})) < 0.75 * simulated(None)


def test_limiters_are_set_while_the_block_lasts() -> None:
    async def go() -> tuple[int, int]:
        limiters: dict[Policy, Limiter] = {"live": Limiter(), "frozen": Limiter()}
        async with balancing(Balance({"live": 4, "frozen": 4}), limiters, every=0.0):
            assert limiters["live"].most == limiters["frozen"].most == 4
            calls = [asyncio.create_task(limiters["frozen"].enter()) for _ in range(12)]
            while limiters["frozen"].most < 7:
                await asyncio.sleep(0)
            limiters["frozen"].leave()
            await asyncio.sleep(0)
            found = limiters["frozen"].in_flight, limiters["live"].most
            for call in calls:
                call.cancel()
        return found

    assert asyncio.run(go()) == (7, 1)


def test_an_error_in_a_look_ends_the_block_and_comes_out_of_it() -> None:
    class Broken(Limiter):
        @property
        def queued(self) -> int:
            raise OSError("gone")

    async def go() -> None:
        limiters: dict[Policy, Limiter] = {"live": Limiter(), "frozen": Broken()}
        async with balancing(Balance.even(8), limiters):
            await asyncio.Event().wait()

    async def afterwards() -> str:
        with pytest.raises(OSError, match="gone"):
            await go()
        await asyncio.sleep(0)  # a cancellation that was left over would come here
        return "went on"

    assert asyncio.run(afterwards()) == "went on"


def test_a_cancelled_block_and_its_own_errors_go_through() -> None:
    async def go() -> None:
        async with balancing(Balance.even(4), {"live": Limiter(), "frozen": Limiter()}, every=0.0):
            await asyncio.sleep(0)
            raise KeyError("mine")

    async def cancelled() -> None:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def waits() -> None:
        async with balancing(Balance.even(4), {"live": Limiter(), "frozen": Limiter()}):
            await asyncio.Event().wait()

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(go())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_episodes_are_over_sooner_with_places_that_move(monkeypatch) -> None:
    """The same calls through the same limiters, in virtual time: orchestrators answer, then ten sub-agents each."""

    async def calls(limiter: Limiter, times: int) -> None:
        async def one() -> None:
            await limiter.enter()
            await asyncio.sleep(1.0)
            limiter.leave()

        await asyncio.gather(*(one() for _ in range(times)))

    async def episodes(balance: Balance, *, moving: bool) -> float:
        limiters: dict[Policy, Limiter] = {name: Limiter(most) for name, most in balance.places.items()}

        async def episode() -> None:
            await calls(limiters["live"], 1)
            await calls(limiters["frozen"], 10)
            await calls(limiters["live"], 1)

        async with AsyncExitStack() as stack:
            if moving:
                await stack.enter_async_context(balancing(balance, limiters))
            await asyncio.gather(*(episode() for _ in range(12)))
        return asyncio.get_running_loop().time()

    fixed = run_virtually(episodes(Balance.even(16), moving=False), monkeypatch)
    balance = Balance.even(16)
    assert run_virtually(episodes(balance, moving=True), monkeypatch) < 0.75 * fixed
    assert balance.moved > 0 and balance.figures()["moved"] == balance.moved and balance.total == 16


def test_a_balance_needs_two_sides_and_their_limiters() -> None:
    wrong: list[dict[Policy, int]] = [{"live": 4}, {"live": 4, "frozen": 0}]
    for places in wrong:
        with pytest.raises(ConfigError):
            Balance(places)
    with pytest.raises(ConfigError):
        Balance.even(1)

    async def go() -> None:
        async with balancing(Balance({"live": 4, "frozen": 4}), {"live": Limiter()}):
            pass

    with pytest.raises(ConfigError, match="frozen"):
        asyncio.run(go())
