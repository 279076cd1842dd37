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
from collections import Counter
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
        self._calls: dict[bytes, list[Call]] = {}
        self._kept = 0
        self._refused: Counter[bytes] = Counter()

    def find(self, key: bytes, *, retried: bool) -> Call | None:
        """The earlier call that a request repeats; of siblings the first that nobody hears or has heard.

        Args:
            retried: the client says that it is a retry.
        """
        if retried and self._refused[key]:
            self._refused[key] -= 1
            return None
        earlier = [call for call in self._calls.get(key, ()) if not self._late(call)]
        unheard = next((call for call in earlier if not (call.received or call.readers)), None)
        return unheard or (earlier[-1] if earlier and retried else None)

    def add(self, call: Call) -> None:
        """A call begins."""
        self._calls.setdefault(call.key, []).append(call)

    def end(self, call: Call) -> None:
        """A call is over. Older answers are forgotten as needed."""
        call.ended = self._clock()
        if call.failed:
            self.refused(call.key)
            self._drop(call)
        else:
            self._kept += call.tape.size
            self.forget()

    def forget(self) -> None:
        """Answers that were received are kept while they are among the newest, others while there is room."""
        ended = [call for same in self._calls.values() for call in same if call.tape.ended]
        ended.sort(key=lambda call: call.ended)
        for newer, call in zip(reversed(range(len(ended))), ended, strict=True):
            spare = call.received and newer >= KEPT_ANSWERS
            if spare or self._late(call) or self._kept > self._most:
                self._kept -= call.tape.size
                self._drop(call)

    def _late(self, call: Call) -> bool:
        return call.tape.ended and self._clock() - call.ended > self._seconds

    def _drop(self, call: Call) -> None:
        same = self._calls[call.key]
        same.remove(call)
        if not same:
            del self._calls[call.key]

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
