"""`FakeSampler`: a sampler without a model, for tests, demos and benchmarks of everything above `core.sampler`.

    FakeSampler(script=[ids, ids, ...], vocab_size=n)       says these, one after the other
    FakeSampler(script=lambda request: ids, vocab_size=n)   says what a function makes of the request
    FakeSampler(vocab_size=n)                               random scores, the same after the same ids

It draws as an engine does (temperature, top-k, top-p, min-p, seeds, constraint, stop ids and texts), queues, pauses,
changes versions, hands back, and fails where it is told to.

Report: none; kept beside the protocol it stands in for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.sampler import (
    Completion,
    Constraint,
    OnToken,
    Overloaded,
    RequestError,
    SampleRequest,
    SampleUsage,
    SamplingParams,
    StopReason,
    check_ids,
)
from manyeyes.core.seeds import stream
from manyeyes.core.tokenizer import Tokenizer

Script = Callable[[SampleRequest], Sequence[int]]
Fault = Literal["", "overloaded", "refused", "crash", "crash_later"]
Scores = NDArray[np.float64]

SURE = 40.0
"""How much likelier a scripted id is than any other: sampling at temperature 1 follows the script."""
LATER = 3
"""Tokens before a late crash."""


class FakeSampler:
    """See the module.

    Args:
        script: what is said; None for random scores.
        vocab_size: ids.
        tokenizer: what stop texts are looked for with.
        context_tokens: prompt and completion together.
        places: requests that are sampled at once.
        queue: requests that may wait for a place.
        pace: awaited before every token; a test holds or delays it.
        fault: of each request, by its number.

    Attributes:
        requests: all that were asked, in order.
        running, waiting: requests now.
        published: what `publish` was given, last.
    """

    def __init__(
        self,
        script: Script | Sequence[Sequence[int]] | None = None,
        *,
        vocab_size: int,
        tokenizer: Tokenizer | None = None,
        context_tokens: int = 4096,
        places: int = 64,
        queue: int = 1024,
        pace: Callable[[], Awaitable[Any]] | None = None,
        fault: Callable[[int], Fault] = lambda number: "",
    ) -> None:
        self._script = script if script is None or callable(script) else _in_order(iter(script))
        self.vocab_size, self.tokenizer, self.context_tokens = vocab_size, tokenizer, context_tokens
        self._places, self._queue, self._pace, self._fault = asyncio.Semaphore(places), queue, pace, fault
        self.requests: list[SampleRequest] = []
        self.running = self.waiting = 0
        self.published: Mapping[str, Any] = {}
        self._version, self._handed_back = 0, 0
        self._paused, self._changed = False, asyncio.Event()

    @property
    def version(self) -> int:
        """See `Sampler.version`."""
        return self._version

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """See `Sampler.sample`."""
        number = len(self.requests)
        self.requests.append(request)
        fault = self._fault(number)
        self._check(request, fault)
        planned = None if self._script is None else list(self._script(request))
        await self._enter()
        try:
            return await self._sampled(request, planned, on_token, fault)
        finally:
            self.running -= 1
            self._places.release()

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """See `Sampler.sample_many`."""
        seeds = [replace(request.params, seed=request.params.seed + draw) for draw in range(count)]
        tasks = [asyncio.create_task(self.sample(replace(request, params=params))) for params in seeds]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def pause(self, *, hand_back: bool = False) -> None:
        """See `PolicySampler.pause`."""
        self._paused = True
        self._handed_back += hand_back
        self._wake()

    async def resume(self) -> None:
        """See `PolicySampler.resume`."""
        self._paused = False
        self._wake()

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        """See `PolicySampler.publish`."""
        self._version, self.published = version, tensors
        self._handed_back += hand_back
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _check(self, request: SampleRequest, fault: Fault) -> None:
        if fault == "overloaded" or self.waiting >= self._queue:
            raise Overloaded("the queue is full", retry_after=2.0)
        if fault == "refused":
            raise RequestError("refused by plan")
        check_ids(request.ids, vocab_size=self.vocab_size, most=self.context_tokens - 1)

    async def _enter(self) -> None:
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.running += 1

    async def _sampled(
        self, request: SampleRequest, planned: list[int] | None, on_token: OnToken | None, fault: Fault
    ) -> Completion:
        params, done, since = request.params, Completion(), self._handed_back
        constraint = params.constraint() if params.constraint is not None else None
        while (stop := self._ended(request, done, planned)) is None:
            await self._next_step(since)
            if self._handed_back > since:
                stop = "handed_back"
                break
            if fault == "crash" or (fault == "crash_later" and len(done.ids) == LATER):
                raise RuntimeError("crashed by plan")
            scores = self._scores(request, done.ids, planned)
            drawn = draw(scores, params, request.drawn + len(done.ids), constraint)
            self._add(done, drawn, params, constraint, on_token)
        done.stop = stop
        done.usage = SampleUsage(len(request.ids), 0, len(done.ids))
        return done

    async def _next_step(self, since: int) -> None:
        await asyncio.sleep(0)
        if self._pace is not None:
            await self._pace()
        while self._paused and self._handed_back == since:
            await self._changed.wait()

    def _add(
        self, done: Completion, drawn: "Drawn", params: SamplingParams, constraint: Constraint | None,
        on_token: OnToken | None,
    ) -> None:  # fmt: skip
        done.ids.append(drawn.token)
        done.logprobs.append(drawn.logprob)
        done.versions.append(self._version)
        if params.top_logprobs:
            done.top.append(drawn.top)
        if constraint is not None:
            constraint.accept(drawn.token)
        if on_token is not None:
            on_token(drawn.token, drawn.logprob)

    def _ended(self, request: SampleRequest, done: Completion, planned: list[int] | None) -> StopReason | None:
        params = request.params
        if done.ids and done.ids[-1] in params.stop_ids:
            return "stop"
        if params.stop_texts and self.tokenizer is not None:
            text = self.tokenizer.decode(done.ids)
            if any(stop in text for stop in params.stop_texts):
                return "stop_text"
        room = min(params.max_new_tokens, self.context_tokens - len(request.ids))
        if len(done.ids) >= room or (planned is not None and len(done.ids) >= len(planned)):
            return "length"
        return None

    def _scores(self, request: SampleRequest, ids: Sequence[int], planned: Sequence[int] | None) -> Scores:
        before = [*request.ids[-4:].tolist(), *ids[-4:]][-4:]
        scores = stream(len(request.ids) + len(ids), "fake/scores", *before).normal(size=self.vocab_size)
        if planned is not None:
            scores[planned[len(ids)]] += SURE
        return scores


class Drawn(NamedTuple):
    """An id, its log-probability, and the likeliest ids."""

    token: int
    logprob: float
    top: list[tuple[int, float]]


def draw(scores_V: Scores, params: SamplingParams, position: int, constraint: Constraint | None = None) -> Drawn:
    """One id by scores, and what probability it had in the end.

    Args:
        position: which draw of the request's random stream.
    """
    scores_V = _possible(scores_V, params, constraint)
    p_V = _softmax(scores_V if params.greedy else scores_V / params.temperature)
    if not params.greedy:
        p_V = _cut(p_V, params)
    uniform = stream(params.seed, "inference/sample", 0, position).random()
    token = int(p_V.argmax()) if params.greedy else int(np.searchsorted(p_V.cumsum(), uniform, side="right"))
    token = min(token, int(np.flatnonzero(p_V)[-1]))
    with np.errstate(divide="ignore"):
        logp_V = np.log(p_V)
    best = np.argsort(-logp_V, kind="stable")[: params.top_logprobs]
    return Drawn(token, float(logp_V[token]), [(int(i), float(logp_V[i])) for i in best if np.isfinite(logp_V[i])])


def _possible(scores_V: Scores, params: SamplingParams, constraint: Constraint | None) -> Scores:
    """-inf where an id may not come."""
    possible = scores_V.copy()
    if params.never:
        possible[list(params.never)] = -np.inf
    if constraint is not None:
        words = np.zeros(-(-len(scores_V) // 32), np.int32)
        constraint.mask(words)
        allowed = np.unpackbits(words.view(np.uint8), bitorder="little")[: len(scores_V)].astype(bool)
        possible[~allowed] = -np.inf
    if not np.isfinite(possible).any():
        raise RequestError("no id may come next: what is never sampled and the constraint leave none")
    return possible


def _softmax(scores_V: Scores) -> Scores:
    p_V = np.exp(scores_V - scores_V.max())
    return p_V / p_V.sum()


def _cut(p_V: Scores, params: SamplingParams) -> Scores:
    """Top-k, then min-p, then the nucleus; renormalised."""
    order = np.argsort(-p_V, kind="stable")
    kept = np.zeros(len(p_V), bool)
    kept[order[: params.top_k or len(p_V)]] = True
    kept &= p_V >= params.min_p * p_V.max()
    p_V = np.where(kept, p_V, 0.0) / p_V[kept].sum()
    before = p_V[order].cumsum() - p_V[order]
    p_V[order[before >= params.top_p]] = 0.0
    return p_V / p_V.sum()


def _in_order(turns: Iterator[Sequence[int]]) -> Script:
    def next_one(request: SampleRequest) -> Sequence[int]:
        turn = next(turns, None)
        if turn is None:
            raise RequestError("the script is over: more was asked than it holds")
        return turn

    return next_one
