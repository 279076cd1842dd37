"""`Persistence`: one completion to its end, whatever comes in between: full queues, new weights, cut connections.

    Overloaded                nothing was sampled: the limiter slows everybody down, this request goes again
    handed back               goes on from where it was, as often as it takes
    aborted, cut              the same, and a failure when nothing came of it
    another SamplerError      nobody's fault: again, at most `retries` times, with growing pauses
    RequestError              a `ModelError` that says who can help

What was sampled is never sampled again.

Report: App. D (weights that change under running rollouts).
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace

from manyeyes.agent.chat_model import ErrorKind, ModelError
from manyeyes.agent.gate import Gate
from manyeyes.agent.limiter import SHORTEST_WAIT, Limiter
from manyeyes.agent.remote_errors import NotAllowed
from manyeyes.core.sampler import (
    Completion,
    OnToken,
    Overloaded,
    RequestError,
    Sampler,
    SampleRequest,
    SamplerError,
    TooLong,
    continuation,
    joined,
)

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds before the second try and before any other; doubled in between."""


@dataclass(slots=True)
class Course:
    """How a call fares.

    Attributes:
        waited: seconds for a turn and between tries.
        paused: seconds of these for which the run was paused.
        attempts: requests.
        failures: in a row, without a token.
        cut: whether the last one was aborted.
        impatience: seconds that a full queue asked it to wait.
        why: what went wrong last.
    """

    waited: float = 0.0
    paused: float = 0.0
    attempts: int = 0
    failures: int = 0
    cut: bool = False
    impatience: float = 0.0
    why: str = ""


class Persistence:
    """See the module.

    Args:
        limiter: shared by all that talk to this sampler.
        counts: "continued" requests, "refused" and "failed" tries.
        retries: further tries after failures in a row.
        patience: seconds of "the queue is full".
    """

    def __init__(
        self, sampler: Sampler, limiter: Limiter, counts: Counter[str], *, retries: int, patience: float
    ) -> None:
        self.sampler, self.limiter, self.counts = sampler, limiter, counts
        self.retries, self.patience = retries, patience

    async def sample(
        self, request: SampleRequest, on_token: OnToken, course: Course, *, gate: Gate | None = None
    ) -> Completion:
        """A completion; unfinished when it was given up.

        Raises:
            ModelError: the request is at fault, or nobody may ask.
        """
        ticket, most = self.limiter.ticket(), request.params.max_new_tokens
        whole = Completion(stop="aborted")
        while True:
            await self._enter(request.priority, ticket, gate, course)
            try:
                part = await self._try(request, on_token, course)
            finally:
                self.limiter.leave()
            if part is not None:
                whole = joined(whole, part) if whole.ids else part
                if not part.unfinished:
                    return whole
                if len(whole.ids) >= most:
                    return replace(whole, stop="length")
                self.counts["continued"] += 1
                request = continuation(request, part)
            if course.failures > self.retries or course.impatience > self.patience:
                return whole
            await self._pause(course)

    async def _enter(self, priority: int, ticket: int, gate: Gate | None, course: Course) -> None:
        """Wait for a turn at the limiter; who is called up while the run is paused stands back."""
        course.waited += await self.limiter.enter(priority, ticket)
        while gate is not None and not gate.is_open:
            self.limiter.leave()
            paused = await gate.passed()
            course.paused, course.waited = course.paused + paused, course.waited + paused
            course.waited += await self.limiter.enter(priority, ticket)

    async def _try(self, request: SampleRequest, on_token: OnToken, course: Course) -> Completion | None:
        """One request; None when nothing was sampled."""
        course.attempts, course.cut = course.attempts + 1, False
        try:
            part = await self.sampler.sample(request, on_token=on_token)
        except Overloaded as full:
            self.counts["refused"] += 1
            self.limiter.refuse(full.retry_after)
            course.why, course.impatience = str(full), course.impatience + max(full.retry_after, SHORTEST_WAIT)
            return None
        except RequestError as wrong:
            raise ModelError(str(wrong), kind=_kind(wrong)) from None
        except SamplerError as error:
            self.counts["failed"] += 1
            course.why, course.failures = str(error), course.failures + 1
            return None
        self.limiter.succeeded()
        fruitless = part.stop == "aborted" and not part.ids
        course.why, course.failures = "the request was aborted", course.failures + 1 if fruitless else 0
        course.cut = part.stop == "aborted"
        return part

    async def _pause(self, course: Course) -> None:
        """Before another try after failures and cuts; a full queue is waited for at the limiter."""
        if course.failures or course.cut:
            pause = min(FIRST_PAUSE * 2 ** max(0, course.failures - 1), LONGEST_PAUSE)
            await asyncio.sleep(pause)
            course.waited += pause


def _kind(wrong: RequestError) -> ErrorKind:
    if isinstance(wrong, TooLong):
        return "overflow"
    return "quota" if isinstance(wrong, NotAllowed) else "request"
