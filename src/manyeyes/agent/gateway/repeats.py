"""`Repeats`: whether a request is an earlier one that comes again because its answer never arrived.

    asked again by the client library (it counts its retries), or under the same Idempotency-Key       the same call
    the same body, while nobody listens to the earlier answer, or after nobody has received it         the same call
    the same body, while somebody listens to the earlier answer, or after somebody has received it     another call

A call under way is joined, a finished one is told again; either is sampled once. Another call is a sibling: who asks
twice and hears twice wants two samples. An earlier call that failed has nothing to tell, so it is made anew; and a
library's retry of a request that was refused is a first try.

Report: App. D.
"""

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from manyeyes.agent.gateway.tape import Tape
from manyeyes.core.trajectory import NOBODY

RETRIED = "X-Stainless-Retry-Count"
"""What the official clients count their retries in."""
IDEMPOTENT = "Idempotency-Key"
KEPT_REFUSALS = 256
KEPT_ANSWERS = 4
"""Of a session, for a client that lost what was sent to it whole."""


@dataclass(slots=True, eq=False)
class Call:
    """A request that is answered, or was.

    Attributes:
        id: its name.
        key: equal for equal requests.
        agent: number of the agent that asks.
        at: when, in seconds since the trajectory began.
        kind: its dialect.
        stream: whether it is told piece by piece.
        tape: what it is told.
        readers: connections that listen.
        received: whether a client has the whole answer.
        node: what it left in the trajectory.
        task: that answers it.
    """

    id: str
    key: bytes
    agent: int
    at: float
    kind: str
    stream: bool
    tape: Tape = field(default_factory=Tape)
    readers: int = 0
    received: bool = False
    node: int = NOBODY
    ended: float = 0.0
    task: "asyncio.Task[None] | None" = None
    leaving: asyncio.TimerHandle | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended without an answer."""
        return self.tape.ended and self.tape.error is not None


class Repeats:
    """Calls of one session that may be asked for again.

    Args:
        most_bytes: of finished answers that are kept.
        seconds: for which they are.
    """

    def __init__(self, most_bytes: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most, self._seconds, self._clock = most_bytes, seconds, clock
        self._calls: OrderedDict[bytes, Call] = OrderedDict()
        self._kept = 0
        self._refused: Counter[bytes] = Counter()

    def find(self, key: bytes, *, retried: bool) -> Call | None:
        """The earlier call that a request repeats.

        Args:
            retried: the client says that it is a retry.
        """
        call = self._calls.get(key)
        if retried and self._refused[key]:
            self._refused[key] -= 1
            return None
        if call is None or call.failed or (call.ended and self._clock() - call.ended > self._seconds):
            return None
        return call if retried or not (call.received or call.readers) else None

    def add(self, call: Call) -> None:
        """A call begins."""
        earlier = self._calls.pop(call.key, None)
        if earlier is not None and earlier.ended:
            self._kept -= earlier.tape.size
        self._calls[call.key] = call

    def end(self, call: Call) -> None:
        """A call is over. Older answers are forgotten as needed."""
        call.ended = self._clock()
        if call.failed:
            self.refused(call.key)
        if self._calls.get(call.key) is not call:
            return
        self._kept += call.tape.size
        self._forget()

    def _forget(self) -> None:
        """Answers that were received are kept while they are among the newest, others while there is room."""
        ended = sum(bool(call.ended) for call in self._calls.values())
        old: list[bytes] = []
        for key, call in self._calls.items():
            if not call.ended:
                continue
            late = self._clock() - call.ended > self._seconds
            if not late and self._kept <= self._most and (ended <= KEPT_ANSWERS or not call.received):
                continue
            old.append(key)
            self._kept, ended = self._kept - call.tape.size, ended - 1
        for key in old:
            del self._calls[key]

    def refused(self, key: bytes) -> None:
        """A request got no answer: when the library tries again, that is a first try."""
        self._refused[key] += 1
        if len(self._refused) > KEPT_REFUSALS:
            del self._refused[next(iter(self._refused))]


def key_of(kind: str, agent: str, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """What a request is known by, and whether the client says that it is a retry."""
    named = headers.get(IDEMPOTENT, "")
    digest = hashlib.blake2b(f"{kind}\x1f{agent}\x1f{named}\x1f".encode(errors="replace"), digest_size=16)
    if not named:
        digest.update(body)
    return digest.digest(), bool(named) or headers.get(RETRIED, "0") not in ("0", "")
