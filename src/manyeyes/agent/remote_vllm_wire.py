"""What vLLM's streams say: events of `/inference/v1/generate` and of `/v1/completions`, to pieces of a completion.

Report: App. D. Followed: GenerateStreamResponse and CompletionStreamResponse of vLLM 0.30 to 0.32.
"""

from typing import Any

import msgspec

from manyeyes.agent.remote_errors import Unreachable
from manyeyes.agent.remote_sampler import Piece, stop_of
from manyeyes.core.sampler import SamplingParams


class _TokenLogprob(msgspec.Struct):
    token: str = ""
    logprob: float = -9999.0
    top_logprobs: list["_TokenLogprob"] = []


class _Logprobs(msgspec.Struct):
    content: list[_TokenLogprob] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(msgspec.Struct):
    token_ids: list[int] | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


class _Cached(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens_details: _Cached | None = None


class Event(msgspec.Struct):
    """One event."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_DECODE = msgspec.json.Decoder(Event).decode


def event_of(line: bytes) -> Event:
    """One event of either stream. Raises Unreachable."""
    try:
        return _DECODE(line)
    except msgspec.DecodeError as error:
        raise Unreachable(f"vLLM sent what is no event of its stream ({error})") from None


def piece_of(event: Event, params: SamplingParams) -> Piece:
    """What an event adds; an error inside is not looked at."""
    details = event.usage and event.usage.prompt_tokens_details
    cached = (details.cached_tokens if details is not None else 0) or 0
    if not event.choices:
        return Piece(cached=cached)
    choice = event.choices[0]
    ids = choice.token_ids or []
    stop = choice.finish_reason and stop_of(params, choice.finish_reason, ids[-1] if ids else None)
    if isinstance(choice.stop_reason, int) and stop == "stop_text":
        stop = "stop"
    logprobs, top = _logprobs(choice.logprobs, params.top_logprobs)
    return Piece(ids, logprobs, None, top, stop or None, cached)


def _logprobs(told: _Logprobs | None, wanted: int) -> tuple[list[float], list[list[tuple[int, float]]]]:
    if told is None:
        return [], []
    if told.content is not None:
        alternatives = [[(_id(other.token), other.logprob) for other in one.top_logprobs] for one in told.content]
        return [one.logprob for one in told.content], _best(alternatives, wanted)
    logprobs = [float("nan") if one is None else one for one in told.token_logprobs or []]
    alternatives = [[(_id(token), value) for token, value in (one or {}).items()] for one in told.top_logprobs or []]
    return logprobs, _best(alternatives, wanted)


def _best(alternatives: list[list[tuple[int, float]]], wanted: int) -> list[list[tuple[int, float]]]:
    """The likeliest; vLLM puts the sampled one first, whether it is among them or not."""
    return [sorted(some, key=lambda pair: -pair[1])[:wanted] for some in alternatives] if wanted else []


def _id(token: str) -> int:
    try:
        return int(token.removeprefix("token_id:"))
    except ValueError:
        raise Unreachable(f"expected token_id:N of vLLM, got {token!r}") from None


def status_of(error: Any) -> int:
    """Of an error inside a stream; that of a server's fault where it has none."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500
