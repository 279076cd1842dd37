"""`Sequence`: one completion on its way through the engine, from the queue to its last token.

    held ──▶ waiting ──▶ running ──▶ done          held: reads its prompt through the leader of its group
                 ▲          │
                 └──────────┘  preempted: its blocks were needed, it is read again from its ids

Only ids are precious: what the cache holds of them (`blocks`, `computed`) can always be computed again.

Report: App. D.
"""

from collections.abc import Iterator
from collections.abc import Sequence as Listed
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.sampler import Completion, Constraint, SampleRequest, SamplerError, SampleUsage, StopReason
from manyeyes.core.seeds import stream
from manyeyes.inference.prefix_cache import MediaSpan
from manyeyes.inference.stop_texts import StopTexts

STREAM = "inference/sample"
_DRAWN_AT_ONCE = 64


class Unusable(SamplerError):
    """The constraint of a sequence raised: what belongs to it can go on no more, and nothing else is touched."""


class Status(Enum):
    """Where a sequence is."""

    HELD = "held"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(slots=True, eq=False)
class Sequence:
    """One completion.

    Attributes:
        number: of its engine, in order of arrival.
        request: what is continued.
        seed, draw: its random stream is `stream(seed, "inference/sample", draw)`.
        longest: most tokens it may have, prompt included.
        arrived: clock time.
        spans: where its media stand.
        stop_texts: looks for them; None where none is asked for.
        constraint: the language that its tokens must belong to.
        ids: prompt and sampled tokens.
        blocks: of the cache, in order.
        computed: tokens whose latents stand in `blocks`.
        keys: of its full blocks.
        rank: lower goes first; given when it is admitted.
        found: tokens of its prompt that others had left in the cache when it was first admitted; None before that.
        followers: sequences of the same prompt that wait for its reading.
        routing: of its first `routed` tokens, in parts (`RoutingRecord`); nothing where it was not asked for.
    """

    number: int
    request: SampleRequest
    seed: int
    draw: int
    longest: int
    arrived: float
    spans: tuple[MediaSpan, ...] = ()
    stop_texts: StopTexts | None = None
    constraint: Constraint | None = None
    ids: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    computed: int = 0
    keys: list[bytes] = field(default_factory=list)
    rank: tuple[int, int] = (0, 0)
    status: Status = Status.WAITING
    entered: int = -1
    found: int | None = None
    followers: list["Sequence"] = field(default_factory=list)
    completion: Completion = field(default_factory=Completion)
    routing: list[NDArray[np.uint16]] = field(default_factory=list)
    routed: int = 0
    _uniforms: Listed[float] = ()
    _generator: np.random.Generator | None = None
    _drawn_from: int = -1

    def __post_init__(self) -> None:
        self.ids = self.request.ids.tolist()

    @property
    def prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.request.ids)

    @property
    def remaining(self) -> int:
        """Tokens that must be computed before the next one can be sampled: 1 while decoding."""
        return len(self.ids) - self.computed

    @property
    def decoding(self) -> bool:
        """Whether only the newest token is left to compute."""
        return len(self.ids) - self.computed == 1

    @property
    def shows_media(self) -> bool:
        """Whether tokens that must still be computed show a picture."""
        return bool(self.spans) and self.computed < self.spans[-1].stop

    def uniform(self) -> float:
        """The number in [0, 1) that chooses its next token."""
        at = self.request.drawn + len(self.completion.ids)
        offset = at % _DRAWN_AT_ONCE
        if self._generator is None:
            self._generator = stream(self.seed, STREAM, self.draw)
            self._generator.random(at - offset)
        if self._drawn_from != at - offset:  # a step that failed asks again
            self._uniforms = self._generator.random(_DRAWN_AT_ONCE).tolist()
            self._drawn_from = at - offset
        return self._uniforms[offset]

    def say(self, token: int, logprob: float, version: int, now: float) -> StopReason | None:
        """Append a sampled token; returns why it is the last one, or None. Raises Unusable when its constraint does."""
        said = self.completion
        if not said.ids:
            said.first_seconds = now - self.arrived
        self.ids.append(token)
        said.ids.append(token)
        said.logprobs.append(logprob)
        said.versions.append(version)
        if self.constraint is not None:
            with _its_own_fault():
                self.constraint.accept(token)
        return self._ending(token)

    def allow(self, bits: NDArray[np.int32]) -> None:
        """Sets the bits of the ids that its constraint allows. Raises Unusable when that raises."""
        assert self.constraint is not None
        with _its_own_fault():
            self.constraint.mask(bits)

    def _ending(self, token: int) -> StopReason | None:
        params = self.request.params
        if token in params.stop_ids:
            return "stop"
        if self.stop_texts is not None and self.stop_texts.add(token):
            return "stop_text"
        if self.constraint is not None and self.constraint.finished and not params.stop_ids:
            return "stop"
        if len(self.completion.ids) >= params.max_new_tokens or len(self.ids) >= self.longest:
            return "length"
        return None

    def end(self, why: StopReason, now: float) -> Completion:
        """The completion as it stands, ended."""
        self.status = Status.DONE
        said = self.completion
        said.stop = why
        said.seconds = now - self.arrived
        said.usage = SampleUsage(self.prompt, self.found or 0, len(said.ids))
        return said


@contextmanager
def _its_own_fault() -> Iterator[None]:
    """The boundary to a library: one in Rust raises what is no `Exception` when it panics."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise Unusable(f"the constraint of this request failed: {error or type(error).__name__}") from error
