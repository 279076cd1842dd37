"""`Lasting`: a sampler that goes on by itself with constrained requests that were handed back.

A constraint is an object of this process and cannot be continued by whoever knows only ids; here it is made anew and
fed what it has accepted. One that broke leaves an answer without an end, which must not pass for one that fits.

Report: App. D (weights that change under running rollouts).
"""

from collections.abc import Sequence
from dataclasses import replace

from manyeyes.core.sampler import Completion, OnToken, RequestError, Sampler, SampleRequest, continuation, joined
from manyeyes.inference.serve_desk import behind


class Lasting:
    """See the module.

    Args:
        sampler: what samples.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    @property
    def version(self) -> int:
        """See `Sampler.version`."""
        return self._sampler.version

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """See `Sampler.sample`."""
        done = await self._sampler.sample(request, on_token=on_token)
        while done.stop == "handed_back" and (rest := _rest(request, done)) is not None:
            done = joined(done, await self._sampler.sample(rest, on_token=on_token))
        if request.params.constraint is not None and done.stop == "stop" and not _ends(request, done):
            raise RequestError("the schema leaves nothing to go on with after what was sampled; make it plainer")
        return done

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """See `Sampler.sample_many`."""
        return await self._sampler.sample_many(request, count)


def _ends(request: SampleRequest, done: Completion) -> bool:
    return bool(done.ids) and done.ids[-1] in request.params.stop_ids


def _rest(request: SampleRequest, done: Completion) -> SampleRequest | None:
    make = request.params.constraint
    if make is None or len(done.ids) >= request.params.max_new_tokens:
        return None
    free = continuation(replace(request, params=replace(request.params, constraint=None)), done)
    accepted: Sequence[int] = done.ids
    return replace(free, params=replace(free.params, constraint=behind(make, accepted)))
