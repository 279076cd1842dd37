"""`all_of`: several coroutines at once; when one fails, none of the others is left running.

Report: none.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def all_of(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """All results; the first error, after the others were cancelled."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
