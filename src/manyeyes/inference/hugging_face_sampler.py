"""`HuggingFaceSampler`: a `PolicySampler` over a `HuggingFaceModel`: many requests at once, a token of each a step.

    admit → read prompts, beginnings that a row holds only once → one token of every row → deliver
    between two steps: publish, pause, requests that come and go

A row has always one token that is not read yet, so prompts and answers go the same way. After new weights a row's keys
and values are computed anew before its next token, as in the engine (decision 0019). Draws are the engine's: a stream
of each request's own seed (`inference.sampling`). The last bits of log-probabilities depend on who is beside a row, so
a run that goes on need not repeat itself to the bit.

Report: App. D (token in, token out; log-probabilities as sampled). Shapes: B rows, T tokens, D width, V vocabulary.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from manyeyes.core.all_of import all_of
from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import (
    Completion,
    OnToken,
    RequestError,
    SampleRequest,
    SamplerError,
    SampleUsage,
    StopReason,
    check_ids,
)
from manyeyes.core.seeds import stream
from manyeyes.inference.publication import load_tensors
from manyeyes.inference.sampling import Choice, choose_each
from manyeyes.inference.slot_cache import SlotCache
from manyeyes.model.hugging_face import HuggingFaceModel, visible

CONTEXT = 1024
"""Tokens of prompt and answer where nobody says."""


@dataclass(slots=True, eq=False)
class _Row:
    """A completion under way; `cached` of its `ids` are in its slot."""

    request: SampleRequest
    future: "asyncio.Future[Completion]"
    on_token: OnToken | None
    ids: list[int]
    began: float
    cached: int = 0
    said: Completion = field(default_factory=Completion)

    def ends_with(self, token: int, context: int) -> StopReason | None:
        params = self.request.params
        if token in params.stop_ids:
            return "stop"
        full = len(self.said.ids) >= params.max_new_tokens or len(self.ids) >= context
        return "length" if full else None


class HuggingFaceSampler:
    """See the module. Belongs to one event loop; computes in a thread beside it.

    Args:
        model: its own from now on: `publish` overwrites it.
        rows: requests that are sampled at once; others wait.
        context: tokens of prompt and answer, at most; `CONTEXT`, or what the model can hold, when left out.
        version: of the weights that the model has now.

    Raises:
        ConfigError: no row, no room for a prompt and an answer, or a longer context than the model was made for.
    """

    def __init__(
        self, model: HuggingFaceModel, *, rows: int = 32, context: int | None = None, version: int = 0
    ) -> None:
        context = min(CONTEXT, model.longest) if context is None else context
        if rows < 1 or context < 2:
            raise ConfigError(f"a sampler needs rows of at least 1 and context of at least 2, got {rows} and {context}")
        if context > model.longest:
            raise ConfigError(f"this model was made for {model.longest:,} tokens; a context of {context:,} is too long")
        self.model, self.rows, self.context, self._version = model, rows, context, version
        head_VD = model.head_weight
        self._cache = SlotCache(
            model.whole.config, slots=rows, context=context, dtype=head_VD.dtype, device=head_VD.device
        )
        self._live: list[_Row] = []
        self._waiting: list[_Row] = []
        self._turn, self._open = asyncio.Lock(), asyncio.Event()
        self._open.set()
        self._work: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        """See `Sampler.version`."""
        return self._version

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """See `Sampler.sample`."""
        ids = self._checked(request)
        row = _Row(request, asyncio.get_running_loop().create_future(), on_token, ids, time.perf_counter())
        self._waiting.append(row)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._serve())
        return await row.future

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """See `Sampler.sample_many`.

        Raises:
            RequestError: none of them can be served.
        """
        if count < 1:
            raise RequestError(f"a request may ask for 1 completion or more, this one asks for {count}")
        self._checked(request)
        params = [replace(request.params, seed=request.params.seed + draw) for draw in range(count)]
        return await all_of(*(self.sample(replace(request, params=one)) for one in params))

    async def pause(self, *, hand_back: bool = False) -> None:
        """See `PolicySampler.pause`."""
        self._open.clear()
        async with self._turn:
            if hand_back:
                self._hand_back()

    async def resume(self) -> None:
        """See `PolicySampler.resume`."""
        self._open.set()

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        """See `PolicySampler.publish`.

        Raises:
            ConfigError: the version does not follow, or the tensors are another model's; nothing has changed.
        """
        async with self._turn:
            given = {name: torch.as_tensor(value) for name, value in tensors.items()}
            await asyncio.to_thread(load_tensors, self.model, given, version=version, before=self._version)
            self._version = version
            for row in self._live:
                row.cached = 0
            if hand_back:
                self._hand_back()

    # --- in the event loop ---

    def _checked(self, request: SampleRequest) -> list[int]:
        params = request.params
        unable = {"constraint": params.constraint, "stop_texts": params.stop_texts, "top_logprobs": params.top_logprobs}
        if found := [name for name, wanted in unable.items() if wanted]:
            raise RequestError(f"this sampler cannot do {', '.join(found)}; ask without")
        if request.media:
            raise RequestError("this sampler reads text alone, and the request brings media")
        vocabulary = self.model.config.text.vocab_size
        return check_ids(request.ids, vocab_size=vocabulary, most=self.context - 1).tolist()

    async def _serve(self) -> None:
        """Steps until there is nothing left to do."""
        while self._waiting or self._live:
            await self._open.wait()
            async with self._turn:
                if not self._open.is_set():
                    continue
                self._drop_cancelled()
                self._admit()
                try:
                    chosen = await asyncio.to_thread(self._step)
                except Exception as error:  # the boundary: whoever waits must hear of it
                    self._fail(error)
                else:
                    self._deliver(chosen)

    def _admit(self) -> None:
        while self._waiting and len(self._live) < self.rows:
            first = min(self._waiting, key=lambda row: row.request.priority)
            self._waiting.remove(first)
            self._live.append(first)

    def _drop_cancelled(self) -> None:
        self._waiting = [row for row in self._waiting if not row.future.done()]
        for slot in reversed(range(len(self._live))):
            if self._live[slot].future.done():
                self._leave(slot)

    def _deliver(self, chosen: list[tuple[int, float]]) -> None:
        for slot in reversed(range(len(chosen))):
            row, (token, logprob) = self._live[slot], chosen[slot]
            if row.future.done():
                continue
            self._add(row, token, logprob)
            if (stop := row.ends_with(token, self.context)) is not None:
                self._end(row, stop)
            if row.future.done():
                self._leave(slot)

    def _add(self, row: _Row, token: int, logprob: float) -> None:
        said = row.said
        said.first_seconds = said.first_seconds or time.perf_counter() - row.began
        said.ids.append(token)
        said.logprobs.append(logprob)
        said.versions.append(self._version)
        row.ids.append(token)
        try:
            if row.on_token is not None:
                row.on_token(token, logprob)
        except Exception as error:  # the listener's fault ends its own request, nobody else's
            row.future.set_exception(error)

    def _end(self, row: _Row, stop: StopReason) -> None:
        row.said.stop = stop
        row.said.usage = SampleUsage(len(row.request.ids), 0, len(row.said.ids))
        row.said.seconds = time.perf_counter() - row.began
        if not row.future.done():
            row.future.set_result(row.said)

    def _hand_back(self) -> None:
        for row in (*self._live, *self._waiting):
            self._end(row, "handed_back")
        self._live, self._waiting = [], []

    def _fail(self, error: Exception) -> None:
        for row in (*self._live, *self._waiting):
            if not row.future.done():
                failure = SamplerError(f"a step of the sampler failed: {error or type(error).__name__}")
                failure.__cause__ = error
                row.future.set_exception(failure)
        self._live, self._waiting = [], []

    def _leave(self, slot: int) -> None:
        """Its slot is the last one's from now on."""
        last = self._live.pop()
        if slot < len(self._live):
            self._live[slot] = last
            self._cache.copy(len(self._live), slot, last.cached)

    # --- in the thread ---

    @torch.inference_mode()
    def _step(self) -> list[tuple[int, float]]:
        """A token and its log-probability for every row."""
        for slot, row in enumerate(self._live):
            if row.cached < len(row.ids) - 1:
                self._read(slot, row)
        if not self._live:
            return []
        chosen = self._choose(self._scores())
        for row in self._live:
            row.cached += 1
        return list(zip(chosen.token_B.tolist(), chosen.logprob_B.tolist(), strict=True))

    def _read(self, slot: int, row: _Row) -> None:
        """All ids but the last one into the slot: as far as another row has them by copying, the rest by reading."""
        wanted = row.ids[:-1]
        shared = [_shared(one.ids[: one.cached], wanted) for one in self._live]
        source = max(range(len(shared)), key=shared.__getitem__)
        if (start := shared[source]) > 0 and source != slot:
            self._cache.copy(source, slot, start)
        if start < len(wanted):
            positions_1S = torch.arange(len(wanted), device=self.model.head_weight.device)[None]
            ids_1T = torch.tensor([wanted[start:]], device=positions_1S.device)
            mask_11TS = visible(positions_1S, None, None, dtype=self.model.head_weight.dtype)[:, :, start:]
            self._hidden(ids_1T, positions_1S[:, start:], mask_11TS, self._cache.prefill(slot, start))
        row.cached = len(wanted)

    def _scores(self) -> Tensor:
        device = self.model.head_weight.device
        ids_B1 = torch.tensor([[row.ids[-1]] for row in self._live], device=device)
        lengths_B = torch.tensor([row.cached for row in self._live], device=device)
        slots = self._cache.decode(lengths_B)
        hidden_B1D = self._hidden(ids_B1, lengths_B[:, None], slots.mask_B11T, slots)
        scores_BV = (hidden_B1D[:, 0] @ self.model.head_weight.T).float()
        for scores_V, row in zip(scores_BV, self._live, strict=True):
            if row.request.params.never:
                scores_V[list(row.request.params.never)] = -torch.inf
        return scores_BV

    def _hidden(self, ids_BT: Tensor, positions_BT: Tensor, mask_B1TS: Tensor, cache: Any) -> Tensor:
        return self.model.language_model.model.read(self.model.embed(ids_BT), positions_BT, mask_B1TS, cache)

    def _choose(self, scores_BV: Tensor) -> Choice:
        uniform = [
            0.0 if (params := row.request.params).greedy
            else stream(params.seed, "inference/sample", row.request.drawn + len(row.said.ids)).random()
            for row in self._live
        ]  # fmt: skip
        uniform_B = torch.tensor(uniform, dtype=torch.float64, device=scores_BV.device)
        return choose_each(scores_BV, [row.request.params for row in self._live], uniform_B)


def _shared(one: list[int], other: list[int]) -> int:
    """Ids that both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
