"""`SglangSampler`: tokens from SGLang's own endpoint.

    POST /generate    {rid, input_ids, sampling_params, return_logprob, logprob_start_len, top_logprobs_num, image_data,
                       stream}
                      → {meta_info: {output_token_logprobs: [[logprob, id, text], ...], output_top_logprobs,
                         completion_tokens, prompt_tokens, cached_tokens, weight_version,
                         weight_versions: [{version, start, end}, ...], finish_reason: {type, ...}}}, again and again
    control           POST /pause_generation {mode: abort | in_place}, /continue_generation, /abort_request {rid}

Events hold everything so far, or with `--incremental-streaming-output` what is new; which of both is seen by
`completion_tokens`. Pictures stand as one `<|media_pad|>` each, the server makes the run; a run of another length than
ours is refused. The server's own end-of-text ids end a completion besides those that are asked for.

Log-probabilities are of the softmax at the request's temperature, before top-k, top-p and min-p cut it: "sampled"
where nothing is cut, "raw" at temperature 1 (and for greedy), and neither in between: then they are NaN, so that nobody
learns from them unawares. Seeds count only under `--enable-deterministic-inference`.

Report: App. D. Followed: docs.sglang.io, "Sampling Parameters" and "SGLang for RL Systems"; io_struct.GenerateReqInput,
weight_versions.py and kimi_token_ids.py of November 2026. Versions before `weight_versions` tell one for a whole
answer, which is right all the same: no request of ours spans two.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from math import nan
from typing import Any

import msgspec

from manyeyes.agent.remote_errors import Unreachable
from manyeyes.agent.remote_media import Run, collapsed, png_url, runs_of
from manyeyes.agent.remote_policy import Carry, RemotePolicy
from manyeyes.agent.remote_sampler import Piece, seed_of, stop_of
from manyeyes.agent.remote_wire import Server, refused
from manyeyes.core.sampler import LogprobKind, RequestError, SampleRequest, SamplingParams

NEVER = -100.0
"""The logit bias that OpenAI's API documents as a ban."""
Told = tuple[float | None, int, str | None]
"""Log-probability, id, text."""


class _Finish(msgspec.Struct):
    type: str = ""
    matched: int | str | list[int] | None = None
    message: str = ""
    status_code: int | None = None


class _Span(msgspec.Struct):
    version: str
    start: int
    end: int


class _Meta(msgspec.Struct):
    finish_reason: _Finish | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None
    weight_version: str | None = None
    weight_versions: list[_Span] | None = None
    output_token_logprobs: list[Told] | None = None
    output_top_logprobs: list[list[Told] | None] | None = None


class _Event(msgspec.Struct):
    meta_info: _Meta | None = None
    error: Any = None


_DECODE = msgspec.json.Decoder(_Event).decode


class SglangSampler(RemotePolicy):
    """See the module.

    Args:
        server: where.
        media_pad: id of `<|media_pad|>`; needed to send pictures.
        carry, version: see `RemotePolicy`. A version that the server calls something else than a number is `version`.
    """

    def __init__(
        self, server: Server, *, media_pad: int | None = None, carry: Carry | None = None, version: int = 0
    ) -> None:
        super().__init__(server, carry=carry, version=version)
        self._media_pad = media_pad

    def _kind(self, params: SamplingParams) -> LogprobKind:
        return "raw" if params.greedy or _cuts(params) else "sampled"

    async def _pieces(self, request: SampleRequest, number: str, *, heard: bool) -> AsyncGenerator[Piece, None]:
        runs = self._runs(request)
        seen, unknown = 0, _untellable(request.params)
        async with aclosing(self.wire.events("/generate", _body(request, number, runs))) as events:
            async for line in events:
                meta = self._meta(line, request)
                told = meta.output_token_logprobs or []
                first = seen - (meta.completion_tokens - len(told))  # 0 where only what is new was sent
                if first < 0 or first > len(told):
                    raise Unreachable(f"SGLang told {len(told)} of {meta.completion_tokens} tokens, {seen} were known")
                versions = _versions(meta, seen, self._version)
                seen = max(seen, meta.completion_tokens)
                yield _piece(meta, first, versions, request.params, unknown)

    def _runs(self, request: SampleRequest) -> list[Run]:
        if not request.media:
            return []
        if self._media_pad is None:
            raise RequestError("media_pad, the id of <|media_pad|>, is needed to send pictures to SGLang")
        return runs_of(request.ids, request.media, self._media_pad)

    def _meta(self, line: bytes, request: SampleRequest) -> _Meta:
        try:
            event = _DECODE(line)
        except msgspec.DecodeError as error:
            raise Unreachable(f"SGLang sent what is no event of its stream ({error})") from None
        if event.error is not None or event.meta_info is None:
            raise refused(_status(event.error), f"/generate: {self.wire.server.hide(str(event.error))[:500]}")
        meta = event.meta_info
        if meta.finish_reason is not None and meta.finish_reason.status_code and not meta.completion_tokens:
            said = self.wire.server.hide(meta.finish_reason.message)[:500]
            raise refused(meta.finish_reason.status_code, f"/generate: {said}")
        if request.media and meta.prompt_tokens not in (0, len(request.ids)):
            raise RequestError(
                f"SGLang made {meta.prompt_tokens:,} tokens of a prompt that has {len(request.ids):,} here; "
                "are its media rules those of the model, and are all pictures below the patch limit?"
            )
        return meta

    async def _tell_abort(self, numbers: Sequence[str]) -> None:
        for number in numbers:
            await self.wire.ask("/abort_request", {"rid": number})

    async def _tell_pause(self, *, abort: bool) -> None:
        await self.wire.ask("/pause_generation", {"mode": "abort" if abort else "in_place"})

    async def _tell_resume(self) -> None:
        await self.wire.ask("/continue_generation", {})


def _body(request: SampleRequest, number: str, runs: Sequence[Run]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "rid": number,
        "input_ids": (collapsed(request.ids, runs) if runs else request.ids).tolist(),
        "sampling_params": _sampling(request),
        "return_logprob": True,
        "logprob_start_len": -1,
        "top_logprobs_num": request.params.top_logprobs,
        "stream": True,
    }
    if request.priority:
        body["priority"] = request.priority
    if runs:
        body["image_data"] = [png_url(item) for item in request.media]
    return body


def _sampling(request: SampleRequest) -> dict[str, Any]:
    params = request.params
    sampling: dict[str, Any] = {
        "max_new_tokens": params.max_new_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k or -1,
        "min_p": params.min_p,
        "sampling_seed": seed_of(request),
        "stop_token_ids": sorted(params.stop_ids),
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "no_stop_trim": True,
    }
    if params.stop_texts:
        sampling["stop"] = list(params.stop_texts)
    if params.never:
        sampling["logit_bias"] = {str(token): NEVER for token in sorted(params.never)}
    return sampling


def _cuts(params: SamplingParams) -> bool:
    return params.top_p < 1.0 or params.top_k > 0 or params.min_p > 0.0


def _untellable(params: SamplingParams) -> bool:
    """Whether what SGLang tells is of neither distribution."""
    return not params.greedy and _cuts(params) and params.temperature != 1.0


def _versions(meta: _Meta, seen: int, known: int) -> list[int]:
    """Of the tokens that were not seen yet."""
    if meta.weight_versions is None:
        return [_number(meta.weight_version, known)] * max(0, meta.completion_tokens - seen)
    versions = [_number(span.version, known) for span in meta.weight_versions for _ in range(span.start, span.end)]
    return versions[seen : meta.completion_tokens]


def _number(version: str | None, known: int) -> int:
    return int(version) if version is not None and version.isdecimal() else known


def _piece(meta: _Meta, first: int, versions: list[int], params: SamplingParams, unknown: bool) -> Piece:
    told = (meta.output_token_logprobs or [])[first:]
    ids = [token for _, token, _ in told]
    logprobs = [nan if unknown or logprob is None else logprob for logprob, _, _ in told]
    some = (meta.output_top_logprobs or [])[first:] if params.top_logprobs else []
    top = [[(token, nan if value is None else value) for value, token, _ in one or []] for one in some]
    stop = None
    if meta.finish_reason is not None:
        stop = stop_of(params, meta.finish_reason.type, ids[-1] if ids else None)
        if stop == "stop_text" and not isinstance(meta.finish_reason.matched, str):
            stop = "stop"
    return Piece(ids, logprobs, versions, top, stop, meta.cached_tokens or 0)


def _status(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500
