"""`Instance`: a resource that the pool owns and what became of it, and how the pool asks something of it.

Report: App. D (a managed pool of environment instances).
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from manyeyes.agent.grace import ends_when_cancelled

State = Literal["new", "opening", "idle", "checking", "leased", "resetting", "closing"]


@dataclass(slots=True, eq=False)
class Instance:
    """A resource, and what became of it so far.

    Attributes:
        born: when it was made.
        seen: when it was last known to be well.
        uses: loans.
        work: the task that is busy with it.
    """

    born: float
    resource: Any = None
    state: State = "new"
    seen: float = -inf
    uses: int = 0
    work: "asyncio.Task[None] | None" = None


async def problem_of(work: Awaitable[bool | None], seconds: float) -> str:
    """Why a resource did not do something in its time, or said that it is not well; "" where all is well."""
    try:
        async with asyncio.timeout(None if seconds == inf else seconds) as deadline:
            said = await ends_when_cancelled(work)
    except TimeoutError as error:
        return f"it took longer than {seconds:g} s" if deadline.expired() else f"TimeoutError: {error}"
    except Exception as error:  # a boundary: whatever a resource does, the pool goes on
        return f"{type(error).__name__}: {error}"
    return "it said that it is not well" if said is False else ""
