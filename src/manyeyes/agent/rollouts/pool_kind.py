"""`PoolKind`: one kind of resource that attempts borrow: how it is made, how many there may be, when one is worn out.

A resource is what is dear to make and must not be shared: a folder with a sandbox and a Python kernel, a browser
context, a virtual machine, a connection to somebody's service.

Report: App. D (a managed pool of environment instances).

    ManyeyesError
    └── PoolError         nothing could be borrowed: a failure of infrastructure
        ├── PoolFull      too many wait already
        ├── PoolTimeout   none was free in time
        ├── PoolClosed    the pool was closed
        ├── OpenFailed    new ones cannot be opened
        └── LeaseOver     the loan has ended: given back, expired, or taken back
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from manyeyes.core.errors import ConfigError, ManyeyesError


class PoolError(ManyeyesError):
    """Nothing could be borrowed."""


class PoolFull(PoolError):
    """Too many wait already."""


class PoolTimeout(PoolError):
    """None was free in time."""


class PoolClosed(PoolError):
    """The pool was closed."""


class OpenFailed(PoolError):
    """New ones cannot be opened."""


class LeaseOver(PoolError):
    """The loan has ended."""


class Resource(Protocol):
    """What is lent. The pool calls one of these at a time; a call that takes too long is cancelled."""

    async def open(self) -> None:
        """Get ready for the first owner."""
        ...

    async def reset(self) -> None:
        """Get ready for the next owner: nothing that the last one did may be left."""
        ...

    async def healthy(self) -> bool:
        """Whether it can be lent."""
        ...

    async def close(self) -> None:
        """Let go of everything; also after a failed `open`, and while an owner whose time is over still uses it."""
        ...


@dataclass(frozen=True, slots=True)
class PoolKind:
    """One kind of resource.

    Attributes:
        make: a new one, not yet open.
        most: at once, those that are being opened or closed included.
        warm: kept open and free beyond what is asked for.
        waiting: who asks when so many wait is refused.
        uses: loans after which one is replaced.
        seconds_alive: age after which one is lent no more.
        creations_per_second: with bursts of one second's worth, and of one at least.
        tries: failed openings that one who waits bears.
        open_seconds, reset_seconds, probe_seconds, close_seconds: for each of these calls; a look follows each reset
            within its time.
        probe_every: seconds between two looks at one that nobody borrows; each is looked at before a loan anyway.

    Example:
        >>> PoolKind(dict, most=4, warm=1).uses
        inf
    """

    make: Callable[[], Any]
    most: int = 64
    warm: int = 0
    waiting: int = 1_000_000
    uses: float = inf
    seconds_alive: float = inf
    creations_per_second: float = inf
    tries: int = 3
    open_seconds: float = 60.0
    reset_seconds: float = 30.0
    probe_seconds: float = 5.0
    close_seconds: float = 10.0
    probe_every: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.warm <= self.most or self.most < 1:
            raise ConfigError(f"a pool needs 0 <= warm <= most and most >= 1, got warm={self.warm}, most={self.most}")
        for name in ("uses", "tries"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of a pool must be at least 1, got {getattr(self, name)}")
        seconds = ("open_seconds", "reset_seconds", "probe_seconds", "close_seconds", "probe_every", "seconds_alive")
        for name in (*seconds, "creations_per_second"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} of a pool must be above 0, got {getattr(self, name)}")
