"""`VllmSampler`: tokens from vLLM, by its token-in token-out endpoint or by completions with ids.

    api="generate"      POST /inference/v1/generate    vllm serve MODEL --enable-scale-out (or --tokens-only)
                        {request_id, model, token_ids, sampling_params, features, priority, stream, stream_options}
                        → choices[0].{token_ids, logprobs.content[].{token: "token_id:N", logprob}, finish_reason}
    api="completions"   POST /v1/completions           any server since 0.10.2; text alone
                        {prompt: [ids], return_token_ids, return_tokens_as_token_ids, logprobs, ...}
                        → choices[0].{token_ids, logprobs.{token_logprobs, top_logprobs}, finish_reason, stop_reason}
    control             POST /pause?mode=abort|keep, /resume, /abort_requests {request_ids}    VLLM_SERVER_DEV_MODE=1

Pictures go through POST /v1/chat/completions/render, whose `features` (mm_hashes, mm_placeholders, kwargs_data) are put
where our ids have their media tokens. Log-probabilities are of the plain softmax unless the server was started with
`--logprobs-mode processed_logprobs`, which training wants: say so with `logprob_kind="sampled"`.

Report: App. D. Followed: docs.vllm.ai, "Tokens In <> Tokens Out API", "Renderer APIs", "Async Reinforcement Learning"
(v0.30 to v0.32), and vllm/entrypoints/serve/disagg/protocol.py of that time.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from manyeyes.agent.remote_errors import Unreachable
from manyeyes.agent.remote_media import png_url, runs_of
from manyeyes.agent.remote_policy import Carry, RemotePolicy
from manyeyes.agent.remote_sampler import Piece, seed_of
from manyeyes.agent.remote_vllm_wire import event_of, piece_of, status_of
from manyeyes.agent.remote_wire import Server, refused
from manyeyes.core.media import Media
from manyeyes.core.sampler import LogprobKind, RequestError, SampleRequest, SamplingParams

Api = Literal["generate", "completions"]
NEVER = -100.0
"""The logit bias that OpenAI's API documents as a ban."""
MOST_TOP = 20
"""vLLM's own limit on alternatives (`--max-logprobs`)."""
KEPT_FEATURES = 256
"""Pictures whose rendered features are kept."""


class VllmSampler(RemotePolicy):
    """See the module.

    Args:
        server: where; `Server.model` is the served name.
        api: which endpoint.
        logprob_kind: what the server's `--logprobs-mode` makes of them.
        media_pad: id of `<|media_pad|>`; needed to send pictures.
        carry, version: see `RemotePolicy`.
    """

    def __init__(
        self,
        server: Server,
        *,
        api: Api = "generate",
        logprob_kind: LogprobKind = "raw",
        media_pad: int | None = None,
        carry: Carry | None = None,
        version: int = 0,
    ) -> None:
        super().__init__(server, carry=carry, version=version)
        self.api: Api = api
        self._logprob_kind: LogprobKind = logprob_kind
        self._media_pad = media_pad
        self._features: OrderedDict[int, tuple[Media, dict[str, Any]]] = OrderedDict()

    def _kind(self, params: SamplingParams) -> LogprobKind:
        return self._logprob_kind

    async def _pieces(self, request: SampleRequest, number: str, *, heard: bool) -> AsyncGenerator[Piece, None]:
        path, body = await self._body(request, number)
        async with aclosing(self.wire.events(path, body)) as events:
            async for line in events:
                event = event_of(line)
                if event.error is not None:
                    raise refused(status_of(event.error), f"{path}: {self.wire.server.hide(str(event.error))[:500]}")
                yield piece_of(event, request.params)

    async def _body(self, request: SampleRequest, number: str) -> tuple[str, dict[str, Any]]:
        shared = {
            "request_id": number,
            "stream": True,
            "stream_options": {"include_usage": True},
            "priority": request.priority,
        }
        if self.wire.server.model:
            shared["model"] = self.wire.server.model
        sampling = _sampling(request)
        if self.api == "generate":
            shared |= {"token_ids": request.ids.tolist(), "sampling_params": sampling}
            if request.media:
                shared["features"] = await self._features_of(request)
            return "/inference/v1/generate", shared
        if request.media:
            raise RequestError("vLLM's completions take no pictures with ids; use api='generate'")
        ids = {"prompt": request.ids.tolist(), "return_token_ids": True, "return_tokens_as_token_ids": True}
        return "/v1/completions", shared | ids | sampling

    async def _features_of(self, request: SampleRequest) -> dict[str, Any]:
        """What the server made of the pictures, at the places where our ids have them."""
        if self._media_pad is None:
            raise RequestError("media_pad, the id of <|media_pad|>, is needed to send pictures to vLLM")
        hashes: list[str] = []
        kwargs: list[str | None] = []
        modality = ""
        runs = runs_of(request.ids, request.media, self._media_pad)
        for item, run in zip(request.media, runs, strict=True):
            known = await self._rendered(item)
            modality = known["modality"]
            if known["length"] != run.length:
                raise RequestError(
                    f"vLLM makes {known['length']} tokens of a picture that has {run.length} here; "
                    "are its media rules those of the model, and is the picture below the patch limit?"
                )
            hashes.append(known["hash"])
            kwargs.append(known["kwargs"])
        places = [{"offset": run.start, "length": run.length} for run in runs]
        return {
            "mm_hashes": {modality: hashes},
            "mm_placeholders": {modality: places},
            "kwargs_data": {modality: kwargs},
        }

    async def _rendered(self, item: Media) -> dict[str, Any]:
        kept = self._features.get(id(item))
        if kept is not None and kept[0] is item:
            self._features.move_to_end(id(item))
            return kept[1]
        part = {"type": "image_url", "image_url": {"url": png_url(item)}}
        body: dict[str, Any] = {"messages": [{"role": "user", "content": [part]}]}
        if self.wire.server.model:
            body["model"] = self.wire.server.model
        feature = _one_feature(await self.wire.ask("/v1/chat/completions/render", body))
        self._features[id(item)] = (item, feature)
        if len(self._features) > KEPT_FEATURES:
            self._features.popitem(last=False)
        return feature

    async def _tell_abort(self, numbers: Sequence[str]) -> None:
        if numbers:  # an empty list would abort everybody's
            await self.wire.ask("/abort_requests", {"request_ids": list(numbers)})

    async def _tell_pause(self, *, abort: bool) -> None:
        await self.wire.ask("/pause", query={"mode": "abort" if abort else "keep"})

    async def _tell_resume(self) -> None:
        await self.wire.ask("/resume")


def _sampling(request: SampleRequest) -> dict[str, Any]:
    """vLLM's SamplingParams. `ignore_eos`: what ends a completion is said by the request alone."""
    params = request.params
    sampling: dict[str, Any] = {
        "max_tokens": params.max_new_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k or -1,
        "min_p": params.min_p,
        "seed": seed_of(request),
        "stop_token_ids": sorted(params.stop_ids),
        "ignore_eos": True,
        "skip_special_tokens": False,
        "logprobs": min(params.top_logprobs + 1, MOST_TOP) if params.top_logprobs else 0,
    }
    if params.stop_texts:
        sampling |= {"stop": list(params.stop_texts), "include_stop_str_in_output": True}
    if params.never:
        sampling["logit_bias"] = {str(token): NEVER for token in sorted(params.never)}
    return sampling


def _one_feature(rendered: Any) -> dict[str, Any]:
    """Of the one picture in a rendered message."""
    rendered = rendered[0] if isinstance(rendered, list) and rendered else rendered
    features = (rendered.get("features") if isinstance(rendered, dict) else None) or {}
    try:
        ((modality, hashes),) = features["mm_hashes"].items()
        (place,) = features["mm_placeholders"][modality]
        (kwargs,) = (features.get("kwargs_data") or {modality: [None]})[modality]
        return {"modality": modality, "hash": hashes[0], "length": int(place["length"]), "kwargs": kwargs}
    except (KeyError, ValueError, TypeError) as error:
        raise Unreachable(f"vLLM's render gave no features of one picture ({type(error).__name__}: {error})") from None
