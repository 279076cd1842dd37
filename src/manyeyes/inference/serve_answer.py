"""An answer of the OpenAI API: of one or several completions, whole or as server-sent events.

    data: {"id", "object", "created", "model", "system_fingerprint", "choices": [piece], "usage": null}
    data: {..., "choices": [], "usage": {...}}          stream_options.include_usage
    data: {"error": {...}}                              where it ends early
    data: [DONE]

Report: none; the form is that of the OpenAI API reference.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from manyeyes.core.sampler import Completion, SampleRequest
from manyeyes.inference.serve_choice import Choice, Json
from manyeyes.inference.serve_desk import Desk, Visit, together
from manyeyes.inference.serve_errors import api_error, encoded, json_response
from manyeyes.inference.serve_stream import Batch, Ended, Pieces, Token, batches

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be answered.

    Attributes:
        prompts: what goes on.
        count: completions of each.
        choice: makes choice number i.
        kind: OpenAI's object, of a whole answer.
        piece_kind: of a piece.
        model: its name.
        usage: whether a stream ends with the tokens it took.
        id: of the request.
    """

    prompts: tuple[SampleRequest, ...]
    count: int
    choice: Callable[[int], Choice]
    kind: str
    piece_kind: str
    model: str
    usage: bool
    id: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def requests(self) -> list[SampleRequest]:
        """One for each choice; choice i of a prompt has seed + i."""
        return [
            replace(prompt, params=replace(prompt.params, seed=prompt.params.seed + draw))
            for prompt in self.prompts for draw in range(self.count)
        ]  # fmt: skip

    def envelope(self, kind: str, version: int) -> Json:
        """What stands around choices."""
        fingerprint = f"weights-{version}"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model,
                "system_fingerprint": fingerprint}  # fmt: skip


async def answered(http: web.Request, desk: Desk, visit: Visit, asked: Asked, *, stream: bool) -> web.StreamResponse:
    """The answer."""
    return await _streamed(http, desk, visit, asked) if stream else await _whole(desk, visit, asked)


async def _whole(desk: Desk, visit: Visit, asked: Asked) -> web.Response:
    many = await together([desk.sample_many(prompt, visit, asked.count) for prompt in asked.prompts])
    dones = [done for of_prompt in many for done in of_prompt]
    choices = [asked.choice(index) for index in range(len(dones))]
    said = [choice.whole(done) for choice, done in zip(choices, dones, strict=True)]
    body = asked.envelope(asked.kind, desk.sampler.version) | {"choices": said, "usage": _usage(asked, choices, dones)}
    return json_response(body, headers={"X-Request-Id": asked.id})


async def _streamed(http: web.Request, desk: Desk, visit: Visit, asked: Asked) -> web.StreamResponse:
    pieces = Pieces(http, "text/event-stream", ping=b": still waiting\n\n", id=asked.id)
    writer = _Events(asked, desk.sampler.version)
    try:
        async with aclosing(batches(desk, visit, asked.requests)) as events:
            async for batch in events:
                if not pieces.begun:
                    _raise_first(batch)
                    await pieces.write(writer.begin())
                await (pieces.write(content) if (content := writer.lines(batch)) else pieces.ping())
        await pieces.write(DONE if writer.failed else writer.end())
        return await pieces.end()
    except ConnectionError:
        desk.metrics.left.inc()
        return pieces.response
    except Exception as error:
        if not pieces.begun:
            raise
        await pieces.write(_line(api_error(error).body) + DONE)
        return await pieces.end()


def _raise_first(batch: Batch) -> None:
    """An error that comes before everything is an answer of its own."""
    for event in batch:
        if isinstance(event, Ended) and isinstance(event.done, Exception):
            raise event.done


class _Events:
    """Batches as lines of a stream."""

    def __init__(self, asked: Asked, version: int) -> None:
        self._asked, self._choices = asked, [asked.choice(index) for index in range(len(asked.requests))]
        self._dones: list[Completion] = []
        self._envelope: dict[str, Any] = asked.envelope(asked.piece_kind, version)
        self._nothing: Json = {"usage": None} if asked.usage else {}
        self.failed = False

    def begin(self) -> bytes:
        return b"".join(self._piece(choice.begin()) for choice in self._choices)

    def lines(self, batch: Batch) -> bytes:
        return b"".join(self._of(event) for event in batch)

    def end(self) -> bytes:
        usage = {"choices": [], "usage": _usage(self._asked, self._choices, self._dones)}
        return (_line(self._envelope | usage) if self._asked.usage else b"") + DONE

    def _of(self, event: Token | Ended) -> bytes:
        choice = self._choices[event.choice]
        if isinstance(event, Token):
            return b"".join(map(self._piece, choice.take(event.token, event.logprob)))
        if isinstance(event.done, Exception):
            self.failed = True
            return _line(api_error(event.done).body)
        self._dones.append(event.done)
        return b"".join(map(self._piece, choice.finish(event.done)))

    def _piece(self, piece: Json) -> bytes:
        return _line(self._envelope | {"choices": [piece]} | self._nothing)


def _line(body: Json) -> bytes:
    return b"data: " + encoded(body) + b"\n\n"


def _usage(asked: Asked, choices: Sequence[Choice], dones: Sequence[Completion]) -> Json:
    prompt = sum(len(one.ids) for one in asked.prompts)
    sampled = sum(len(done.ids) for done in dones)
    cached = max((done.usage.cached for done in dones), default=0) if len(asked.prompts) == 1 else 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": sampled,
        "total_tokens": prompt + sampled,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": sum(choice.reasoning_tokens for choice in choices)},
    }
