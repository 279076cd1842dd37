"""`arriving`: the next group of rollouts, unless somebody wants the run to stop.

Report: none.
"""

import asyncio
from collections.abc import Callable

from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.errors import ManyeyesError

Stop = Callable[[], bool]
"""Asked again and again; once True it stays True."""
POLL = 0.2
"""Seconds between two looks at it."""


async def arriving(manager: RolloutManager, stop: Stop) -> Group | None:
    """The next group; None when nothing is left to wait for, or somebody wants the run to stop.

    Raises:
        ManyeyesError: nothing starts any more, because too many attempts in a row failed.
    """
    asked = asyncio.ensure_future(manager.next_group())
    try:
        while not asked.done() and not stop():
            await asyncio.wait({asked}, timeout=POLL)
        group = asked.result() if asked.done() else None
    finally:
        asked.cancel()
    if manager.given_up:
        raise ManyeyesError(
            "too many attempts in a row failed for reasons of infrastructure, so nothing starts any more; the last "
            "checkpoint is intact: see failures in groups.jsonl, repair the cause and go on"
        )
    return group
