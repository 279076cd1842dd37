"""Several coroutines at once, and none left running when one fails."""

import asyncio

import pytest

from manyeyes.core.all_of import all_of


async def after(turns: int, value: int) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


def test_results_come_in_the_order_of_the_coroutines() -> None:
    async def run() -> list[int]:
        return await all_of(after(3, 1), after(0, 2), after(1, 3))

    assert asyncio.run(run()) == [1, 2, 3]


def test_the_first_error_comes_after_the_others_have_ended() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("endless")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        asyncio.run(all_of(endless(), failing()))
    assert ended == ["endless"]
