"""`Sampler`: token in, token out. What generates tokens, wherever it runs; ids and log-probabilities stay as sampled.

    SampleRequest(ids, media, params)  →  Completion(ids, logprobs, versions, stop, usage)

A policy is weights with a number, its *version*. Weights may change while requests are under way: each token says which
version sampled it. A request that is aborted, or handed back because the weights change, ends with what it has; its
`continuation` goes on from there, on any sampler.

    ManyeyesError
    └── SamplerError        a request that cannot be served; nothing was sampled
        ├── RequestError    wrong ids, an impossible parameter: asking again will not help
        │   └── TooLong     the prompt leaves no room for an answer
        └── Overloaded      the queue is full; `retry_after` says when to come again

Report: App. D (token in, token out; log-probabilities of every sampled token; weights that change under rollouts).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.media import Media

StopReason = Literal["stop", "length", "stop_text", "aborted", "handed_back"]
LogprobKind = Literal["sampled", "raw"]
"""sampled: of the distribution really sampled from, temperature and all; raw: of the plain softmax."""
UNROUTED = 65535
"""The expert of a token whose routing nobody knows."""


class SamplerError(ManyeyesError):
    """A request that cannot be served."""


class RequestError(SamplerError):
    """Asking again will not help."""


class TooLong(RequestError):
    """The prompt leaves no room for an answer."""


class Overloaded(SamplerError):
    """The queue is full.

    Attributes:
        retry_after: seconds.
    """

    def __init__(self, why: str, *, retry_after: float = 1.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Constraint(Protocol):
    """A language that the sampled tokens must belong to; one object for each completion."""

    def mask(self, out: NDArray[np.int32]) -> None:
        """Set the bits of the ids that may come next: bit i % 32 of out[i // 32]."""
        ...

    def accept(self, token: int) -> None:
        """A token was sampled."""
        ...

    @property
    def finished(self) -> bool:
        """Whether nothing may follow but the end."""
        ...


class Draw(NamedTuple):
    """What ids were drawn from, as far as whoever learns from them must know.

    Attributes:
        temperature: 0 is greedy.
        cut: what else kept ids away, for people; "" where nothing did.
        never: stands for the ids that were not allowed (`never_mark`).

    Example:
        >>> SamplingParams(temperature=0.7, top_p=0.9).draw
        Draw(temperature=0.7, cut='top_p 0.9', never=0)
    """

    temperature: float
    cut: str = ""
    never: int = 0


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen.

    Attributes:
        max_new_tokens: at most so many.
        temperature: 0 is greedy.
        top_p: nucleus mass, above 0 to 1.
        top_k: the likeliest so many; 0 for all.
        min_p: tokens less likely than this share of the likeliest are left out.
        seed: of the request's random stream.
        stop_ids: ids that end a completion, and belong to it.
        stop_texts: texts that end a completion; what follows one in the same token is cut from texts, never from ids.
        never: ids that are not sampled.
        top_logprobs: alternatives that are told for each token.
        record_routing: tell the experts that each token was sent to, where the sampler can.
        constraint: makes a fresh constraint; None for none.

    Example:
        >>> SamplingParams(temperature=0.0).greedy
        True
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    stop_ids: frozenset[int] = frozenset()
    stop_texts: tuple[str, ...] = ()
    never: frozenset[int] = frozenset()
    top_logprobs: int = 0
    constraint: Callable[[], Constraint] | None = None
    record_routing: bool = False

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature must be 0 (greedy) or more and finite, got {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p must lie above 0 and at most at 1, got {self.top_p}")
        if self.top_k < 0:
            raise ConfigError(f"top_k must be 0 (all) or more, got {self.top_k}")
        if not 0.0 <= self.min_p <= 1.0:
            raise ConfigError(f"min_p must lie between 0 and 1, got {self.min_p}")
        if not 0 <= self.top_logprobs <= 20:
            raise ConfigError(f"top_logprobs must lie between 0 and 20, got {self.top_logprobs}")
        if not all(self.stop_texts):
            raise ConfigError("a stop text must not be empty")

    @property
    def greedy(self) -> bool:
        """Always the likeliest token."""
        return self.temperature == 0.0

    @property
    def draw(self) -> Draw:
        """What is to be recorded of them, beside ids and log-probabilities."""
        cuts = [f"top_p {self.top_p:g}"] if self.top_p < 1.0 else []
        cuts += [f"top_k {self.top_k}"] if self.top_k else []
        cuts += [f"min_p {self.min_p:g}"] if self.min_p else []
        cuts += ["a constraint"] if self.constraint is not None else []
        return Draw(self.temperature, ", ".join(cuts), never_mark(self.never))


GREEDY = SamplingParams()
"""At most 64 tokens, always the likeliest."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleRequest:
    """What is to be continued.

    Attributes:
        ids: int32 [T], at least one.
        media: one item for each run of `<|media_pad|>`, in order.
        params: how tokens are chosen.
        drawn: tokens that an earlier part of this request has sampled: draws go on behind them.
        priority: lower goes first where requests queue.
    """

    ids: NDArray[np.int32]
    media: tuple[Media, ...] = ()
    params: SamplingParams = GREEDY
    drawn: int = 0
    priority: int = 0


class SampleUsage(NamedTuple):
    """Tokens of a request: in the prompt, of those found in the prefix cache, and sampled."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


@dataclass(slots=True, eq=False)
class Completion:
    """What was sampled.

    Attributes:
        ids: the stop id included.
        logprobs: one for each id.
        versions: of the policy that sampled each id.
        stop: why it ended: a stop id, the limit, a stop text, an abort, or new weights.
        logprob_kind: which distribution `logprobs` are of.
        top: for each id its likeliest alternatives, (id, log-probability), where asked for.
        usage: tokens.
        first_seconds, seconds: from the request to its first and to its last token.
        routing: uint16 [prompt + sampled, mixture layers, experts a token], where each token was sent when the one
            behind it was sampled; `UNROUTED` where nobody knows (always at the last token, which was never read). None
            where it was not asked for, or the sampler cannot tell.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    stop: StopReason = "length"
    logprob_kind: LogprobKind = "sampled"
    top: list[list[tuple[int, float]]] = field(default_factory=list)
    usage: SampleUsage = SampleUsage()
    first_seconds: float = 0.0
    seconds: float = 0.0
    routing: NDArray[np.uint16] | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a continuation makes sense."""
        return self.stop in ("aborted", "handed_back")


def continuation(request: SampleRequest, partial: Completion) -> SampleRequest:
    """The rest of a request that ended early; a constraint cannot be continued."""
    if request.params.constraint is not None:
        raise RequestError("a constrained request cannot be continued; ask for it anew")
    left = request.params.max_new_tokens - len(partial.ids)
    ids = np.concatenate([request.ids, np.asarray(partial.ids, np.int32)])
    params = replace(request.params, max_new_tokens=max(1, left))
    return replace(request, ids=ids, params=params, drawn=request.drawn + len(partial.ids))


def joined(first: Completion, rest: Completion) -> Completion:
    """A request's parts as one completion."""
    usage = SampleUsage(first.usage.prompt, first.usage.cached, first.usage.completion + rest.usage.completion)
    return Completion(
        first.ids + rest.ids, first.logprobs + rest.logprobs, first.versions + rest.versions, rest.stop,
        rest.logprob_kind, first.top + rest.top, usage, first.first_seconds, first.seconds + rest.seconds,
        _joined_routing(first, rest),
    )  # fmt: skip


def _joined_routing(first: Completion, rest: Completion) -> NDArray[np.uint16] | None:
    """As it was when the first part was sampled, where that knows; the rest has read everything again."""
    if rest.routing is None or (first.routing is None and first.ids):
        return None
    if first.routing is None:
        return rest.routing
    routing = rest.routing.copy()
    before = routing[: len(first.routing)]
    np.copyto(before, first.routing, where=first.routing != UNROUTED)
    return routing


def never_mark(never: frozenset[int]) -> int:
    """A number that stands for a set of ids that are not sampled; 0 for none."""
    ids = np.sort(np.fromiter(never, np.int64, len(never)))
    return int.from_bytes(hashlib.blake2b(ids.tobytes(), digest_size=6).digest(), "little") if len(ids) else 0


OnToken = Callable[[int, float], None]
"""Called with each id and its log-probability as they come, in the event loop."""


class Sampler(Protocol):
    """What generates tokens."""

    @property
    def version(self) -> int:
        """Of the weights that sample now."""
        ...

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """Continue a request to its end. Cancelling the call frees its place at once.

        Raises:
            SamplerError: it cannot be served.
        """
        ...

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """Several completions of one prompt, which is read once; draw i has seed + i."""
        ...


class PolicySampler(Sampler, Protocol):
    """A sampler whose weights and pace somebody controls, such as a trainer."""

    async def pause(self, *, hand_back: bool = False) -> None:
        """Sample nothing until `resume`; with `hand_back`, end requests that are under way with what they have."""
        ...

    async def resume(self) -> None:
        """Go on."""
        ...

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        """Swap the weights between two steps; requests under way go on with the new ones, or are handed back."""
        ...


def check_ids(ids: Sequence[int] | NDArray[np.int32], *, vocab_size: int, most: int) -> NDArray[np.int32]:
    """Ids as an array.

    Raises:
        TooLong: too many.
        RequestError: none, or one outside the vocabulary.
    """
    array = np.asarray(ids)
    if array.ndim != 1 or not len(array):
        raise RequestError("a prompt needs at least one token")
    if array.dtype.kind not in "iu":
        raise RequestError(f"token ids are whole numbers, got {array.dtype}")
    if len(array) > most:
        raise TooLong(f"the prompt has {len(array):,} tokens, at most {most:,} fit beside one sampled token")
    if int(array.min()) < 0 or int(array.max()) >= vocab_size:
        wrong = array[(array < 0) | (array >= vocab_size)][0]
        raise RequestError(f"token id {wrong} lies outside 0..{vocab_size - 1}; is the tokenizer the model's?")
    return array.astype(np.int32, copy=False)
