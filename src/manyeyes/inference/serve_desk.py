"""`Desk`: where requests are let in, counted, ended early, and sampled to their end.

    queue full → 429      draining → 503      client gone → its sampling is cancelled at once
    handed back (new weights) → goes on by itself, where the client did not ask for the tokens as they are

Report: App. D (partial rollouts, weights that change under them).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

from manyeyes.core.sampler import (
    Completion,
    Constraint,
    OnToken,
    Overloaded,
    RequestError,
    Sampler,
    SampleRequest,
    SampleUsage,
    continuation,
    joined,
)
from manyeyes.inference.serve_errors import ApiError
from manyeyes.inference.serve_metrics import ServeMetrics

RETRY_AFTER = 1.0
LAST_WORDS_SECONDS = 1.0
"""For the last words of answers that the end of a drain cuts; who reads more slowly is dropped."""
Result = TypeVar("Result")


@runtime_checkable
class Aborting(Protocol):
    """A sampler that can end a request with what it has; others are cancelled, and what they told is put together."""

    async def abort(self, request: SampleRequest) -> bool:
        """Whether the request was under way; its call then returns a completion that says so."""
        ...


@dataclass(slots=True, eq=False)
class Visit:
    """A request that was let in.

    Attributes:
        id: its name.
        abort: set when somebody ends it.
        task: that answers it.
        cut: why it has no answer, where the server ended it.
    """

    id: str
    task: "asyncio.Task[object] | None"
    abort: asyncio.Event = field(default_factory=asyncio.Event)
    cut: ApiError | None = None


class Desk:
    """See the module.

    Args:
        sampler: what generates tokens.
        metrics: what is counted.
        most: requests that are let in at once, those that wait included.
    """

    def __init__(self, sampler: Sampler, metrics: ServeMetrics, *, most: int) -> None:
        self.sampler, self.metrics, self.most = sampler, metrics, most
        self.draining = False
        self._visits: dict[str, Visit] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def open(self) -> int:
        """Requests that are let in."""
        return len(self._visits)

    @asynccontextmanager
    async def visit(self, id: str) -> AsyncIterator[Visit]:
        """A place for a request; raises ApiError when there is none."""
        if self.draining:
            raise ApiError(503, "the server is going down", code="draining", retry_after=RETRY_AFTER)
        if self.open >= self.most:
            raise ApiError(
                429, f"{self.most} requests are being answered or wait already", code="rate_limit_exceeded",
                retry_after=RETRY_AFTER,
            )  # fmt: skip
        if id in self._visits:
            raise ApiError(409, f"a request with the id {id[:80]!r} is being answered", param="request_id")
        visit = self._visits[id] = Visit(id, asyncio.current_task())
        self._empty.clear()
        self.metrics.open.set(self.open)
        try:
            yield visit
        except asyncio.CancelledError:
            self.metrics.left.inc()
            raise
        finally:
            del self._visits[id]
            self.metrics.open.set(self.open)
            if not self._visits:
                self._empty.set()

    def abort(self, id: str) -> bool:
        """End a request with what it has; False when there is none of that name."""
        visit = self._visits.get(id)
        if visit is not None:
            visit.abort.set()
        return visit is not None

    async def drain(self, seconds: float) -> None:
        """Let nobody in any more and wait until all are answered; those that take longer end in a 503."""
        self.draining = True
        if await self._emptied(seconds):
            return
        for visit in list(self._visits.values()):
            visit.cut = ApiError(503, "the server is going down; this answer was cut", code="draining",
                                 retry_after=RETRY_AFTER)  # fmt: skip
            visit.abort.set()
        if not await self._emptied(LAST_WORDS_SECONDS):
            for visit in list(self._visits.values()):
                if visit.task is not None:
                    visit.task.cancel()
            await self._empty.wait()

    async def _emptied(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def sample(
        self, request: SampleRequest, visit: Visit, *, on_token: OnToken | None = None, go_on: bool = True
    ) -> Completion:
        """One completion.

        Args:
            go_on: after it was handed back, until it is whole.
        """
        done = await self._abortable(request, visit, on_token)
        return await self._whole(request, done, visit, on_token=on_token, go_on=go_on)

    async def sample_many(self, request: SampleRequest, visit: Visit, count: int) -> list[Completion]:
        """Several completions of one prompt."""
        if count == 1:
            return [await self.sample(request, visit)]
        many = await self._unless_aborted(visit, request, self.sampler.sample_many(request, count))
        dones = [Completion(stop="aborted") for _ in range(count)] if many is None else many
        seeds = [replace(request.params, seed=request.params.seed + draw) for draw in range(count)]
        draws = [replace(request, params=params) for params in seeds]
        return await together([self._whole(*draw, visit) for draw in zip(draws, dones, strict=True)])

    async def _whole(
        self, request: SampleRequest, done: Completion, visit: Visit, *, on_token: OnToken | None = None,
        go_on: bool = True,
    ) -> Completion:  # fmt: skip
        """What was handed back goes on; then it is checked and counted."""
        while go_on and done.stop == "handed_back" and (rest := _rest_of(request, done)) is not None:
            done = joined(done, await self._resumed(rest, visit, on_token))
        if visit.cut is not None and done.stop == "aborted":
            raise visit.cut
        _check_whole(request, done)
        self._count(done)
        return done

    async def _resumed(self, rest: SampleRequest, visit: Visit, on_token: OnToken | None) -> Completion:
        """It was let in before: a full queue is waited for."""
        while True:
            try:
                return await self._abortable(rest, visit, on_token)
            except Overloaded as full:
                await asyncio.sleep(full.retry_after)

    async def _abortable(self, request: SampleRequest, visit: Visit, on_token: OnToken | None) -> Completion:
        """As the sampler, with what was sampled so far when the request is aborted."""
        part, began = Completion(stop="aborted"), time.monotonic()

        def keep(token: int, logprob: float) -> None:
            if not part.ids:
                part.first_seconds = time.monotonic() - began
            part.ids.append(token)
            part.logprobs.append(logprob)
            part.versions.append(self.sampler.version)
            if on_token is not None:
                on_token(token, logprob)

        done = await self._unless_aborted(visit, request, self.sampler.sample(request, on_token=keep))
        if done is None:
            part.usage, part.seconds = SampleUsage(len(request.ids), 0, len(part.ids)), time.monotonic() - began
        return part if done is None else done

    async def _unless_aborted(
        self, visit: Visit, request: SampleRequest, work: Coroutine[Any, Any, Result]
    ) -> Result | None:
        """What the sampler says, whole or as far as it came; None when the request was aborted and it says nothing.

        Cancelled with its caller.
        """
        task, waits = asyncio.create_task(work), asyncio.create_task(visit.abort.wait())
        try:
            await asyncio.wait((task, waits), return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and isinstance(self.sampler, Aborting) and await self.sampler.abort(request):
                return await task
            return await task if task.done() else None
        finally:
            waits.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _count(self, done: Completion) -> None:
        metrics = self.metrics
        metrics.ended.labels(done.stop).inc()
        metrics.prompt.inc(done.usage.prompt)
        metrics.cached.inc(done.usage.cached)
        metrics.sampled.inc(done.usage.completion)
        metrics.version.set(self.sampler.version)
        if done.ids:
            metrics.first.observe(done.first_seconds)
        metrics.seconds.observe(done.seconds)


async def cancelled(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Cancel tasks and see them end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def together(work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Results of coroutines; the first error cancels the others."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await cancelled(tasks)


def _rest_of(request: SampleRequest, done: Completion) -> SampleRequest | None:
    """What is left to sample; a constraint goes on behind what it has accepted."""
    if len(done.ids) >= request.params.max_new_tokens:
        return None
    make = request.params.constraint
    free = replace(request, params=replace(request.params, constraint=None))
    rest = continuation(free, done)
    if make is None:
        return rest
    return replace(rest, params=replace(rest.params, constraint=behind(make, done.ids)))


def _check_whole(request: SampleRequest, done: Completion) -> None:
    """A constraint that broke leaves a text that ended without an end: it must not pass for one that fits."""
    params = request.params
    if params.constraint is not None and done.stop == "stop" and (not done.ids or done.ids[-1] not in params.stop_ids):
        raise RequestError("the schema allows too many readings of what was sampled to go on with; make it plainer")


def behind(make: Callable[[], Constraint], ids: Sequence[int]) -> Callable[[], Constraint]:
    """A constraint of what comes behind ids that it has accepted."""
    said = tuple(ids)

    def made() -> Constraint:
        constraint = make()
        for token in said:
            constraint.accept(token)
        return constraint

    return made
