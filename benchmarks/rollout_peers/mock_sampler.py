"""`MockSampler`: completions of a fixed length after a fixed time, as cheap as they can be; pauses and hands back."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from manyeyes.core.sampler import Completion, OnToken, SampleRequest, SampleUsage

LOGPROB = -0.6931471824645996


class MockSampler:
    """A `PolicySampler`. What is asked within one step of the clock is answered together, as an engine's batch is.

    Args:
        tokens: of each completion, at most.
        seconds: that each takes.
        script: the ids of a completion; the same ones for each when left out.
    """

    def __init__(
        self, tokens: int, *, seconds: float = 0.05, script: Callable[[SampleRequest], list[int]] | None = None
    ) -> None:
        self.tokens, self.seconds, self.version = tokens, seconds, 0
        self._ids, self._logprobs = list(range(1000, 1000 + tokens)), [LOGPROB] * tokens
        self._versions, self._script = [0] * tokens, script
        self._batch: list[asyncio.Future[bool]] = []
        self._batches: list[list[asyncio.Future[bool]]] = []
        self._going = asyncio.Event()
        self._going.set()

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """See `Sampler.sample`."""
        if not self._going.is_set():
            await self._going.wait()
        versions = self._versions
        whole = await self._turn()
        ids = self._ids if self._script is None else self._script(request)
        count = min(len(ids), request.params.max_new_tokens)
        count = count if whole else count // 2
        done = Completion(ids[:count], self._logprobs[:count], versions[:count])
        done.stop = "handed_back" if not whole else "stop" if self._script is not None else "length"
        done.usage = SampleUsage(len(request.ids), 0, count)
        return done

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """See `Sampler.sample_many`."""
        return [await self.sample(request) for _ in range(count)]

    async def pause(self, *, hand_back: bool = False) -> None:
        """See `PolicySampler.pause`."""
        self._going.clear()
        if hand_back:
            batches, self._batches, self._batch = self._batches, [], []
            for batch in batches:
                self._end(batch, whole=False)

    async def resume(self) -> None:
        """See `PolicySampler.resume`."""
        self._going.set()

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        """See `PolicySampler.publish`."""
        self.version, self._versions = version, [version] * self.tokens

    def _turn(self) -> "asyncio.Future[bool]":
        """Whether the completion came to its end."""
        loop = asyncio.get_running_loop()
        if not self._batch:
            self._batches.append(self._batch)
            loop.call_later(self.seconds, self._over, self._batch)
            loop.call_later(min(0.005, self.seconds), self._next_batch, self._batch)
        turn = loop.create_future()
        self._batch.append(turn)
        return turn

    def _next_batch(self, batch: "list[asyncio.Future[bool]]") -> None:
        if self._batch is batch:
            self._batch = []

    def _over(self, batch: "list[asyncio.Future[bool]]") -> None:
        self._next_batch(batch)
        if batch in self._batches:
            self._batches.remove(batch)
            self._end(batch, whole=True)

    def _end(self, batch: "list[asyncio.Future[bool]]", *, whole: bool) -> None:
        for turn in batch:
            if not turn.done():
                turn.set_result(whole)
