"""`ManyeyesSampler`: tokens from the token API of `manyeyes serve`; see docs/serving.md for the wire.

    POST /generate    {ids, media: [{grid, patches}], params, drawn, priority, request_id, stream: true, every}
                      → lines {ids, logprobs, versions}, then {done: true, versions, top, stop, logprob_kind, usage}
    control           POST /pause {hand_back}, /resume, /abort {request_id}, /update_weights {path, version, hand_back}

The engine behind it knows which weights sampled each token and swaps them between two steps, so that requests simply go
on. Patches travel as they are: video chunks too, and nothing is resized twice. Should a stream break, the versions of
what had come are those that the server had when it began, unless the lines tell.

Report: App. D.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.remote_errors import Unreachable
from manyeyes.agent.remote_sampler import Piece, RemoteSampler
from manyeyes.agent.remote_wire import Server, refused
from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Media
from manyeyes.core.sampler import Completion, LogprobKind, SampleRequest, SampleUsage, SamplingParams, StopReason

UNHEARD_SECONDS = 0.25
"""Between two lines of an answer that nobody follows: a line a token costs more than the rest of a turn, and what has
come when a stream breaks is kept."""
Write = Callable[[int, Mapping[str, Any]], str]
"""Writes a checkpoint of this version and says where, below the server's `--weights-root`. Runs in a thread."""


class _Usage(msgspec.Struct):
    prompt: int = 0
    cached: int = 0
    completion: int = 0


class _Routing(msgspec.Struct):
    shape: tuple[int, int, int]
    data: str


class _Line(msgspec.Struct):
    ids: list[int] = []
    logprobs: list[float] = []
    versions: list[int] | None = None
    top: list[list[tuple[int, float]]] = []
    stop: StopReason | None = None
    logprob_kind: LogprobKind = "sampled"
    usage: _Usage | None = None
    done: bool = False
    error: Any = None
    routing: _Routing | None = None


_DECODE = msgspec.json.Decoder(_Line).decode


class ManyeyesSampler(RemoteSampler):
    """A `PolicySampler`; see the module.

    Args:
        server: where; `Server.key` is the token that `manyeyes serve` prints.
        write: where weights are put for the server; None where nobody publishes.
        version: of the weights that it has now.
    """

    def __init__(self, server: Server, *, write: Write | None = None, version: int = 0) -> None:
        super().__init__(server, version=version)
        self._write = write

    async def pause(self, *, hand_back: bool = False) -> None:
        """See `PolicySampler.pause`."""
        await self.wire.ask("/pause", {"hand_back": hand_back})

    async def resume(self) -> None:
        """See `PolicySampler.resume`."""
        await self.wire.ask("/resume", {})

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        """See `PolicySampler.publish`.

        Raises:
            ConfigError: nothing was given that writes weights.
            SamplerError: the server did not take them.
        """
        if self._write is None:
            raise ConfigError("this sampler was given nothing that writes weights")
        path = await asyncio.to_thread(self._write, version, tensors)
        await self.wire.ask("/update_weights", {"path": path, "version": version, "hand_back": hand_back})
        self._version = version

    async def _pieces(self, request: SampleRequest, number: str, *, heard: bool) -> AsyncGenerator[Piece, None]:
        every = 0.0 if heard else UNHEARD_SECONDS
        async with aclosing(self.wire.events("/generate", _body(request, number) | {"every": every})) as events:
            async for data in events:
                line = _decoded(data)
                if line.error is not None:
                    raise refused(_status(line.error), f"/generate: {self.wire.server.hide(str(line.error))[:500]}")
                yield Piece(whole=_whole(line)) if line.done else Piece(line.ids, line.logprobs, line.versions)

    async def _tell_abort(self, numbers: Sequence[str]) -> None:
        for number in numbers:
            await self.wire.ask("/abort", {"request_id": number})


def _body(request: SampleRequest, number: str) -> dict[str, Any]:
    return {
        "ids": request.ids.tolist(),
        "media": [_item(item) for item in request.media],
        "params": _params(request.params),
        "drawn": request.drawn,
        "priority": request.priority,
        "request_id": number,
        "stream": True,
    }


def _params(params: SamplingParams) -> dict[str, Any]:
    return {
        "max_new_tokens": params.max_new_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "min_p": params.min_p,
        "seed": params.seed,
        "stop_ids": sorted(params.stop_ids),
        "stop_texts": list(params.stop_texts),
        "never": sorted(params.never),
        "top_logprobs": params.top_logprobs,
    } | ({"record_routing": True} if params.record_routing else {})


def _item(media: Media) -> dict[str, Any]:
    patches = np.ascontiguousarray(media.patches)
    return {"grid": list(media.grid), "patches": base64.b64encode(patches.tobytes()).decode()}


def _decoded(line: bytes) -> _Line:
    try:
        return _DECODE(line)
    except msgspec.DecodeError as error:
        raise Unreachable(f"the server sent what is no line of its stream ({error})") from None


def _whole(line: _Line) -> Completion:
    usage = line.usage or _Usage()
    return Completion(
        line.ids,
        line.logprobs,
        line.versions or [],
        line.stop or "aborted",
        line.logprob_kind,
        line.top,
        SampleUsage(usage.prompt, usage.cached, usage.completion),
        routing=None if line.routing is None else _routing(line.routing),
    )


def _routing(told: _Routing) -> NDArray[np.uint16]:
    try:
        return np.frombuffer(base64.b64decode(told.data, validate=True), "<u2").reshape(told.shape)
    except ValueError as error:
        raise Unreachable(f"the server sent routing that is not of shape {list(told.shape)} ({error})") from None


def _status(error: Any) -> int:
    """Of an error inside a stream, which has the form of OpenAI's and no status: by its type."""
    kind = error.get("type") if isinstance(error, dict) else None
    return {"invalid_request_error": 400, "rate_limit_error": 429, "authentication_error": 401}.get(str(kind), 500)
