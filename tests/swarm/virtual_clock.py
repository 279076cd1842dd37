"""An event loop whose time passes only while everything sleeps: latencies of minutes in no time, and exactly alike."""

import asyncio
import selectors
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import pytest

from manyeyes.core.journal import Journal
from manyeyes.swarm import session

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Never waits: what the loop would have slept is added to its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        elif not ready and timeout is None:
            return super().select(0.01)  # only another thread can end this
        return ready


class VirtualClock(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtually(work: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch) -> T:
    """`asyncio.run` in virtual time, which journals of sessions tell, too."""
    loop = VirtualClock()
    monkeypatch.setattr(session, "Journal", partial(Journal, now=loop.time))
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
