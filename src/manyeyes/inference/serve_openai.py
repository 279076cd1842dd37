"""The routes of the OpenAI API.

    POST /v1/chat/completions       POST /v1/completions       GET /v1/models, /v1/models/NAME

Report: none.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from manyeyes.core.sampler import SampleRequest, check_ids
from manyeyes.inference.serve_answer import Asked, answered
from manyeyes.inference.serve_choice import ChatChoice, TextChoice
from manyeyes.inference.serve_desk import Desk
from manyeyes.inference.serve_errors import ApiError, bad, json_response
from manyeyes.inference.serve_prompt import Served, chat_prompt, sampling_params, text_ids
from manyeyes.inference.serve_wire import ChatRequest, CompletionRequest, check_common, read

Made = TypeVar("Made")
READ_SECONDS = 60.0
"""A body that comes more slowly than this is refused."""
PREPARED_AT_ONCE = 2
"""Requests whose pictures are decoded at once; each may take as much memory as its largest picture has pixels."""
MOST_COMPLETIONS = 128
"""Of one request: prompts times n."""


class OpenAIRoutes:
    """See the module."""

    def __init__(self, served: Served, desk: Desk) -> None:
        self.served, self.desk, self.created = served, desk, int(time.time())
        # Threads of our own: one that works for a client that has left still counts.
        self._preparing = ThreadPoolExecutor(PREPARED_AT_ONCE, thread_name_prefix="manyeyes-prepare")

    @property
    def table(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.post("/v1/chat/completions", self.chat),
            web.post("/v1/completions", self.complete),
            web.get("/v1/models", self.models),
            web.get("/v1/models/{name:.+}", self.model),
        ]

    async def chat(self, http: web.Request) -> web.StreamResponse:
        """A conversation goes on."""
        asked = read(await body(http), ChatRequest)
        check_common(asked, model=self.served.name)
        async with self.desk.visit(f"chatcmpl-{secrets.token_hex(12)}") as visit:
            prompt = await self.prepared(partial(chat_prompt, asked, self.served))
            choice = partial(
                ChatChoice, tokenizer=self.served.tokenizer, thinking=prompt.thinking,
                stops=prompt.request.params.stop_texts, logprobs=bool(asked.logprobs), top=bool(asked.top_logprobs),
            )  # fmt: skip
            answer = Asked(
                (prompt.request,), asked.n or 1, choice, "chat.completion", "chat.completion.chunk", self.served.name,
                _wants_usage(asked), visit.id,
            )  # fmt: skip
            return await answered(http, self.desk, visit, answer, stream=bool(asked.stream))

    async def complete(self, http: web.Request) -> web.StreamResponse:
        """A text goes on."""
        asked = read(await body(http), CompletionRequest)
        check_common(asked, model=self.served.name)
        async with self.desk.visit(f"cmpl-{secrets.token_hex(12)}") as visit:
            prompts = await self.prepared(partial(completion_prompts, asked, self.served))
            count, tokenizer = asked.n or 1, self.served.tokenizer

            def choice(index: int) -> TextChoice:
                prompt = prompts[index // count]
                before = tokenizer.decode(prompt.ids.tolist(), skip_special=True) if asked.echo else ""
                return TextChoice(index, tokenizer, stops=prompt.params.stop_texts, before=before, top=asked.logprobs)

            answer = Asked(
                prompts, count, choice, "text_completion", "text_completion", self.served.name, _wants_usage(asked),
                visit.id,
            )  # fmt: skip
            return await answered(http, self.desk, visit, answer, stream=bool(asked.stream))

    async def models(self, http: web.Request) -> web.Response:
        """What is served."""
        return json_response({"object": "list", "data": [self._model()]})

    async def model(self, http: web.Request) -> web.Response:
        """One of them."""
        name = http.match_info["name"]
        if name != self.served.name:
            raise ApiError(404, f"no model {name[:80]!r} here; it serves {self.served.name!r}", param="model",
                           code="model_not_found")  # fmt: skip
        return json_response(self._model())

    async def prepared(self, work: Callable[[], Made]) -> Made:
        """What a thread makes of a request."""
        return await asyncio.get_running_loop().run_in_executor(self._preparing, work)

    def close(self) -> None:
        """Threads end when their work does."""
        self._preparing.shutdown(wait=False, cancel_futures=True)

    def _model(self) -> dict[str, Any]:
        return {
            "id": self.served.name, "object": "model", "created": self.created, "owned_by": "manyeyes",
            "max_model_len": self.served.context_tokens,
        }  # fmt: skip


def completion_prompts(asked: CompletionRequest, served: Served) -> tuple[SampleRequest, ...]:
    """The prompts of a text request. Raises ApiError, or RequestError for wrong ids."""
    if asked.suffix:
        raise bad("suffix is not supported: the model writes from left to right", "suffix")
    if asked.best_of not in (None, asked.n or 1):
        raise bad("best_of is not supported; ask for n and choose", "best_of")
    if asked.echo and asked.logprobs is not None:
        raise bad("echo does not go with logprobs: those of a prompt are not computed", "echo")
    prompts = _prompts(asked.prompt)
    if len(prompts) * (asked.n or 1) > MOST_COMPLETIONS:
        raise bad(f"prompts times n: at most {MOST_COMPLETIONS} completions of one request", "prompt")
    served.refuse_long((prompt for prompt in prompts if isinstance(prompt, str)), "prompt")
    tokenizer = served.tokenizer
    said = frozenset(tokenizer.stops)
    requests = []
    for prompt in prompts:
        ids = text_ids(prompt, tokenizer, begin=asked.add_special_tokens is not False) if isinstance(prompt, str) else (
            check_ids(prompt, vocab_size=tokenizer.n_vocab, most=served.context_tokens - 1)
        )  # fmt: skip
        if not len(ids):
            raise bad("a prompt needs at least one token", "prompt")
        if tokenizer.media_pad in ids:
            raise bad("a prompt of /v1/completions holds no pictures; /generate takes them", "prompt")
        room = served.room(len(ids), asked.max_tokens, "max_tokens", usual=16)
        params = sampling_params(asked, tokenizer, room=room, said=said, top_logprobs=asked.logprobs or 0)
        requests.append(SampleRequest(ids, params=params))
    return tuple(requests)


def _prompts(given: Any) -> list[str] | list[list[int]]:
    """Prompts as a list: one text, texts, ids, or lists of ids."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(one, str) for one in given):
            return given
        if all(_is_id(one) for one in given):
            return [given]
        if all(isinstance(one, list) and one and all(map(_is_id, one)) for one in given):
            return given
    raise bad("prompt is a text, a list of texts, a list of token ids, or a list of such lists; none of them empty",
              "prompt")  # fmt: skip


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _wants_usage(asked: ChatRequest | CompletionRequest) -> bool:
    return asked.stream_options is not None and bool(asked.stream_options.include_usage)


async def body(http: web.Request) -> bytes:
    """The bytes that a client sends. Raises ApiError when they do not come."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await http.read()
    except TimeoutError:
        raise ApiError(408, f"the body did not come within {READ_SECONDS:g} seconds") from None
    except web.RequestPayloadError:
        raise bad("the body cannot be read: its length, chunks or encoding are not as the headers say") from None
