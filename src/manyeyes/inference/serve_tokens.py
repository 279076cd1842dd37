"""The token API: ids in, ids out, as they were sampled, with the log-probability and the policy version of each.

    POST /generate      a `SampleRequest` → a `Completion`, whole or as lines of JSON
    POST /abort         {"request_id"}: ends it; who asked gets what there is

Fields are those of `core.sampler`; unlike the OpenAI routes, a field that is misspelt is an error.

Report: App. D (token in, token out).
"""

import base64
import secrets
import time
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np
from aiohttp import web
from msgspec import Meta, Struct
from numpy.typing import NDArray

from manyeyes.core.media import Media, Picture, image_visual
from manyeyes.core.sampler import Completion, RequestError, SampleRequest, SamplingParams, check_ids
from manyeyes.inference.constraint_turn import json_grammar
from manyeyes.inference.serve_choice import Json
from manyeyes.inference.serve_desk import Desk, Visit, behind
from manyeyes.inference.serve_errors import api_error, bad, encoded, json_response
from manyeyes.inference.serve_media import picture_of, raw_media
from manyeyes.inference.serve_openai import OpenAIRoutes, body
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.serve_stream import Batch, Ended, Pieces, Token, batches
from manyeyes.inference.serve_wire import Count, MinP, Seed, StopText, TopP, read
from manyeyes.inference.serve_wire import Token as TokenId

Size = Annotated[int, Meta(ge=1, le=2**20)]


class Patches(Struct, forbid_unknown_fields=True):
    """A picture or film chunk that was cut already."""

    grid: tuple[Size, Size, Size]
    patches: str


class Params(Struct, forbid_unknown_fields=True):
    """See `SamplingParams`; `schema`: the completion is JSON of it; `never` left out: the marks of media."""

    max_new_tokens: Count = 64
    temperature: Annotated[float, Meta(ge=0.0, le=1e6)] = 0.0
    top_p: TopP = 1.0
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    min_p: MinP = 0.0
    seed: Seed = 0
    stop_ids: list[TokenId] = []
    stop_texts: Annotated[list[StopText], Meta(max_length=16)] = []
    never: list[TokenId] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] = 0
    record_routing: bool = False
    schema: dict[str, Any] | None = None


class Generate(Struct, forbid_unknown_fields=True):
    """`POST /generate`."""

    ids: Annotated[list[TokenId], Meta(min_length=1)]
    media: Annotated[list[str | Patches], Meta(max_length=4096)] = []
    params: Params = msgspec.field(default_factory=Params)
    drawn: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    priority: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] = 0
    request_id: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[!-~]+\Z")] | None = None
    stream: bool = False
    every: Annotated[float, Meta(ge=0, le=60)] = 0.0
    """Of a stream: seconds between two lines at least, for who wants few; the last line comes at once."""


class Abort(Struct, forbid_unknown_fields=True):
    """`POST /abort`."""

    request_id: str


class TokenRoutes:
    """See the module."""

    def __init__(self, served: Served, desk: Desk, openai: OpenAIRoutes) -> None:
        self.served, self.desk, self._openai = served, desk, openai

    @property
    def table(self) -> list[web.RouteDef]:
        """For the application."""
        return [web.post("/generate", self.generate), web.post("/abort", self.abort)]

    async def generate(self, http: web.Request) -> web.StreamResponse:
        """Tokens go on."""
        asked = read(await body(http), Generate)
        async with self.desk.visit(asked.request_id or f"gen-{secrets.token_hex(12)}") as visit:
            request = await self._openai.prepared(partial(sample_request, asked, self.served))
            if asked.stream:
                return await _streamed(http, self.desk, visit, request, every=asked.every)
            done = await self.desk.sample(request, visit, go_on=False)
            return json_response(completion_json(done, visit.id), headers={"X-Request-Id": visit.id})

    async def abort(self, http: web.Request) -> web.Response:
        """A request ends with what it has."""
        asked = read(await body(http), Abort)
        return json_response({"aborted": self.desk.abort(asked.request_id)})


def sample_request(asked: Generate, served: Served) -> SampleRequest:
    """What is asked of the sampler. Raises ApiError or ManyeyesError."""
    ids = check_ids(asked.ids, vocab_size=served.tokenizer.n_vocab, most=served.context_tokens - 1)
    if asked.drawn >= len(ids):
        raise bad(f"drawn counts sampled ids at the end of ids: at most {len(ids) - 1}, got {asked.drawn}", "drawn")
    media = _media(asked.media, served)
    check_media(ids[: max(0, len(ids) - asked.drawn)], media, served.tokenizer.media_pad)
    given, constraint = asked.params, None
    if given.schema is not None:
        served.grammars.check_schema(given.schema, "params.schema")
        constraint = served.grammars.compiled(json_grammar(given.schema))
        constraint = behind(constraint, ids[len(ids) - asked.drawn :].tolist()) if asked.drawn else constraint
    params = SamplingParams(
        given.max_new_tokens, given.temperature, given.top_p, given.top_k, given.min_p, given.seed,
        frozenset(given.stop_ids) | frozenset(served.tokenizer.stops if constraint else ()),
        tuple(given.stop_texts), _never(given.never, served), given.top_logprobs, constraint,
        given.record_routing,
    )  # fmt: skip
    return SampleRequest(ids, media, params, asked.drawn, asked.priority)


def check_media(ids: NDArray[np.int32], media: Sequence[Media], pad: int) -> None:
    """Raises RequestError unless, in what was not sampled, each run of `pad` has its media item, of as many tokens."""
    is_pad = np.concatenate([[False], ids == pad, [False]])
    edges = np.flatnonzero(is_pad[1:] != is_pad[:-1])
    runs = (edges[1::2] - edges[::2]).tolist()
    tokens = [item.grid.tokens for item in media]
    if runs != tokens:
        raise RequestError(
            f"each run of <|media_pad|> needs its media item: the ids have runs of {runs[:8]} tokens, "
            f"the media fill {tokens[:8]}"
        )


def completion_json(done: Completion, id: str) -> Json:
    """A completion on the wire; `routing`, where it was asked for, as the bytes of little-endian uint16."""
    said = {
        "request_id": id, "ids": done.ids, "logprobs": done.logprobs, "versions": done.versions, "stop": done.stop,
        "logprob_kind": done.logprob_kind, "top": done.top, "usage": done.usage._asdict(),
        "first_seconds": done.first_seconds, "seconds": done.seconds,
    }  # fmt: skip
    if done.routing is not None:
        data = base64.b64encode(np.ascontiguousarray(done.routing, "<u2").tobytes()).decode()
        said["routing"] = {"shape": done.routing.shape, "data": data}
    return said


async def _streamed(
    http: web.Request, desk: Desk, visit: Visit, request: SampleRequest, *, every: float
) -> web.StreamResponse:
    pieces, waiting, told = Pieces(http, "application/x-ndjson", ping=b"\n", id=visit.id), Batch(), 0.0
    try:
        async with aclosing(batches(desk, visit, [request], go_on=False)) as events:
            async for batch in events:
                for event in batch:
                    if isinstance(event, Ended) and isinstance(event.done, Exception) and not pieces.begun:
                        raise event.done
                if not batch:
                    await pieces.ping()
                waiting += batch
                ended = any(isinstance(event, Ended) for event in batch)
                if waiting and (ended or time.monotonic() >= told + every):
                    await pieces.write(_lines(waiting, visit.id))
                    waiting, told = Batch(), time.monotonic()
        return await pieces.end()
    except ConnectionError:
        desk.metrics.left.inc()
        return pieces.response


def _lines(batch: Batch, id: str) -> bytes:
    tokens = [event for event in batch if isinstance(event, Token)]
    said = {"ids": [event.token for event in tokens], "logprobs": [event.logprob for event in tokens],
            "versions": [event.version for event in tokens]}  # fmt: skip
    lines = [encoded(said)] if tokens else []
    for event in batch:
        if isinstance(event, Ended):
            lines.append(encoded(_last(event.done, id)))
    return b"".join(line + b"\n" for line in lines)


def _last(done: Completion | Exception, id: str) -> Json:
    return api_error(done).body if isinstance(done, Exception) else completion_json(done, id) | {"done": True}


def _media(items: Sequence[str | Patches], served: Served) -> tuple[Media, ...]:
    given = [_picture(item, f"media[{at}]", served) for at, item in enumerate(items)]
    served.media.refuse_many((one for one in given if isinstance(one, Picture)), "media")
    return tuple(image_visual(one, served.rules).media() if isinstance(one, Picture) else one for one in given)


def _picture(item: str | Patches, param: str, served: Served) -> Picture | Media:
    if isinstance(item, Patches):
        return raw_media(item.grid, item.patches, param, served.rules)
    return picture_of(item, param, served.media)


def _never(ids: Sequence[int] | None, served: Served) -> frozenset[int]:
    """As asked; where nothing was said, what would claim a picture that is not there."""
    if ids is None:
        tokenizer = served.tokenizer
        return frozenset([tokenizer.media_begin, tokenizer.media_content, tokenizer.media_end, tokenizer.media_pad])
    wrong = next((token for token in ids if token >= served.tokenizer.n_vocab), None)
    if wrong is not None:
        raise RequestError(f"token id {wrong} in never lies outside 0..{served.tokenizer.n_vocab - 1}")
    return frozenset(ids)
