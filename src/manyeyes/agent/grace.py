"""How long a run waits for what it has cancelled: not longer than a person would, whatever tools make of it.

    a call          cancelled, then left to itself after `CALL_GRACE`; a call that runs sub-agents ends with them
    opening         `OPENING` to get ready
    closing         `CLOSING` when all is well, `CLOSE_GRACE` when the agent was cancelled

So a run of depth 1 has ended 2 s after its cancellation: CALL_GRACE + CLOSE_GRACE of a sub-agent, CLOSE_GRACE of its
orchestrator.

Report: App. D (toolsets have a life).
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

CALL_GRACE, CLOSE_GRACE, CLOSING, OPENING = 0.4, 0.6, 10.0, 300.0
"""Seconds."""

T = TypeVar("T")


async def ends_when_cancelled(work: Awaitable[T], *, patient: Callable[[], bool] = lambda: False) -> T:
    """What `work` gives; a cancellation is passed on to it, and not waited for longer than `CALL_GRACE`.

    Args:
        patient: whether the end of the work is waited for however long it takes, because it is bounded itself.

    Raises:
        RuntimeError: the work was cancelled from within, or wanted to end the program.
    """
    task = asyncio.ensure_future(_contained(work))
    task.add_done_callback(_heard)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait((task,), timeout=None if patient() else CALL_GRACE)
        raise
    if task.cancelled():
        raise RuntimeError("it was cancelled from within")
    return task.result()


@asynccontextmanager
async def held(manager: AbstractAsyncContextManager[T], left: Callable[[str], None]) -> AsyncIterator[T]:
    """`async with manager`, whose end neither holds up the run nor spoils what came out of it.

    Args:
        left: told why, when it could not be closed.

    Raises:
        TimeoutError: it did not open within `OPENING`.
    """
    try:
        session = await asyncio.wait_for(ends_when_cancelled(manager.__aenter__()), OPENING)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"its tools were not ready within {OPENING:g} s") from error
    seconds = CLOSING
    try:
        yield session
    except asyncio.CancelledError:
        seconds = CLOSE_GRACE
        raise
    finally:
        if why := await _closed(manager, sys.exc_info(), seconds):
            left(why)


async def _closed(manager: AbstractAsyncContextManager[Any], error: Any, seconds: float) -> str:
    """Why it could not be closed; "" where it was."""
    task = asyncio.ensure_future(_contained(manager.__aexit__(*error)))
    task.add_done_callback(_heard)
    try:
        await asyncio.wait((task,), timeout=seconds)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=CLOSE_GRACE)
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        return f"its tools did not close within {seconds:g} s"
    if task.cancelled():
        return "the closing of its tools was cancelled from within"
    failure = task.exception()
    return "" if failure is None else f"its tools could not be closed: {type(failure).__name__}: {failure}"


async def _contained(work: Awaitable[T]) -> T:
    """`work`, which may want to end the program, but not this one."""
    try:
        return await work
    except SystemExit as error:
        raise RuntimeError("it wanted to end the program") from error


def _heard(task: "asyncio.Task[Any]") -> None:
    """Look at how a task ended, so that nobody complains that nobody did."""
    if not task.cancelled():
        task.exception()
