"""`Call`: somebody in an event loop who waits for completions of the engine's thread, and how news reaches the loop.

One step brings news for many calls; all of one loop hear theirs in one callback. What a listener raises ends its own
call, nobody else's.

Report: App. D.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from manyeyes.core.sampler import Completion, OnToken, SampleRequest
from manyeyes.inference.engine import Told

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Call:
    """Somebody who waits for some completions of one request."""

    request: SampleRequest
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Completion]]
    on_token: OnToken | None
    numbers: list[int] = field(default_factory=list)
    ended: dict[int, Completion] = field(default_factory=dict)


@dataclass(slots=True)
class News:
    """What a step brought for one call."""

    call: Call
    tokens: list[Told] = field(default_factory=list)
    done: bool = False


def to_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *given: object) -> bool:
    """From the thread: whether the loop still lives to hear it."""
    try:
        loop.call_soon_threadsafe(function, *given)
    except RuntimeError:
        return False
    return True


def hear(items: list[News]) -> None:
    """In the loop: tokens to their listeners, completions to those who wait."""
    for item in items:
        call = item.call
        if call.future.done():
            continue
        try:
            for told in item.tokens:
                if call.on_token is not None:
                    call.on_token(told.token, told.logprob)
        except Exception as error:  # the listener's fault ends its own request, nobody else's
            call.future.set_exception(error)
            continue
        if item.done:
            call.future.set_result([call.ended[number] for number in call.numbers])


def resolve(future: asyncio.Future[T], value: T) -> None:
    """In the loop: a result, if anybody still waits for it."""
    if not future.done():
        future.set_result(value)


def fail(future: asyncio.Future[Any], error: Exception) -> None:
    """In the loop: an error, if anybody still waits."""
    if not future.done():
        future.set_exception(error)
