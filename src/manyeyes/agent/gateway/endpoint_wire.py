"""What an OpenAI-compatible endpoint says beside its answer: token ids and log-probabilities, where it tells them.

    {"prompt_token_ids": [...], "choices": [{"token_ids": [...], "logprobs": {"content": [{"token", "logprob"}]}}]}

That is vLLM's form (`return_token_ids`). Servers that spell tokens as "token_id:N" tell ids in `logprobs` alone. What
the client did not ask for is taken out again before it sees the answer.

Report: App. D.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import aiohttp
import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct

from manyeyes.agent.gateway.dialect import Fields, Heard
from manyeyes.agent.remote_errors import Unreachable
from manyeyes.core.sampler import LogprobKind

SPELT = "token_id:"
MOST_ID = 2**31 - 1
TokenId = Annotated[int, Meta(ge=0, le=MOST_ID)]
LONGEST_LINE = 2**26
OURS = ("prompt_token_ids", "token_ids")
TRUE = Raw(b"true")


class SaidToken(Struct):
    """A token and its log-probability."""

    logprob: float | None = None
    token: str = ""


class SaidLogprobs(Struct):
    """Of a choice."""

    content: list[SaidToken] | None = None


class SaidChoice(Struct):
    """Of an answer, or a piece of one."""

    index: int = 0
    finish_reason: str | None = None
    token_ids: list[TokenId] | None = None
    prompt_token_ids: list[TokenId] | None = None
    logprobs: SaidLogprobs | None = None


class SaidUsage(Struct):
    """What it took."""

    completion_tokens: int | None = None


class Said(Struct):
    """An answer, or a piece of one."""

    choices: list[SaidChoice] = []
    usage: SaidUsage | None = None
    prompt_token_ids: list[TokenId] | None = None


_READ = msgspec.json.Decoder(Said).decode
_FIELDS = msgspec.json.Decoder(Fields).decode
_CHOICES = msgspec.json.Decoder(list[Fields]).decode
_ENCODE = msgspec.json.Encoder().encode
NONSENSE = (msgspec.DecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
"""What comes of reading an answer that has another form."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError)


class Ear:
    """Puts together what an endpoint says token for token.

    Attributes:
        finish: why it ended.
        deaf: why it cannot be put together; "" while it can.
    """

    def __init__(self) -> None:
        self.prompt: list[int] | None = None
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish = self.deaf = ""
        self._spelt, self._counted = False, 0

    def hear(self, body: bytes) -> None:
        """An answer, or a piece of one."""
        try:
            said = _READ(body)
            self.prompt = self.prompt if said.prompt_token_ids is None else said.prompt_token_ids
            self._counted = (said.usage and said.usage.completion_tokens) or self._counted
            for choice in said.choices:
                self._hear(choice)
        except UNREADABLE:
            self.deaf = "the endpoint's answer is in a form that is not known"

    def _hear(self, choice: SaidChoice) -> None:
        if self.prompt is None and choice.prompt_token_ids is not None:
            self.prompt = choice.prompt_token_ids
        self.finish = choice.finish_reason or self.finish
        told = (choice.logprobs and choice.logprobs.content) or []
        ids = choice.token_ids
        if ids is None and told and all(token.token.startswith(SPELT) for token in told):
            ids, self._spelt = [_spelt(token.token) for token in told], True
        if ids is None:
            return
        self.ids += ids
        if len(told) == len(ids):
            self.logprobs += [float("nan") if token.logprob is None else token.logprob for token in told]
        else:
            self.logprobs += [float("nan")] * len(ids)

    @property
    def _hole(self) -> str:
        """What it counts and does not tell. Servers that spell tokens may leave out the one that ends a turn."""
        if self._spelt or self._counted in (0, len(self.ids)):
            return ""
        return f"the endpoint counts {self._counted:,} sampled tokens and told the ids of {len(self.ids):,}"

    def heard(self, *, version: int, kind: LogprobKind) -> Heard:
        """What is known of the call."""
        prompt = None if self.prompt is None or not self.ids else np.array(self.prompt, np.int32)
        masked = self.deaf or ("" if prompt is not None else "the endpoint told no token ids") or self._hole
        return Heard(
            prompt, np.array(self.ids, np.int32), np.array(self.logprobs, np.float32),
            np.full(len(self.ids), version, np.int32), kind=kind, stop=self.finish, masked=masked,
        )  # fmt: skip


def _spelt(token: str) -> int:
    """Raises ValueError for what is no id."""
    id = int(token.removeprefix(SPELT))
    if not 0 <= id <= MOST_ID:
        raise ValueError(id)
    return id


def wanted(fields: Fields, *, ids: bool, model: str, usage: bool) -> Fields:
    """A request's body with what the gateway wants to hear.

    Args:
        ids: ask for token ids.
        model: name at the endpoint; "": the client's.
        usage: ask for the tokens at the end of a stream.
    """
    more: Fields = {"logprobs": TRUE}
    if ids:
        more["return_token_ids"] = TRUE
    if model:
        more["model"] = Raw(_ENCODE(model))
    if usage:
        more["stream_options"] = Raw(b'{"include_usage":true}')
    return fields | more


def asked_for(fields: Fields, name: str) -> bool:
    """Whether the client itself wants something."""
    return bytes(fields.get(name, b"")) == b"true"


def stripped(body: bytes, *, ids: bool, logprobs: bool) -> bytes:
    """An answer, or a piece of one, without what the client did not ask for.

    Args:
        ids, logprobs: it did.
    """
    try:
        top = _FIELDS(body)
        choices = _CHOICES(top["choices"])
    except (*UNREADABLE, KeyError):
        return body
    for choice in choices:
        if not ids:
            for name in OURS:
                choice.pop(name, None)
        if not logprobs and "logprobs" in choice:
            choice["logprobs"] = Raw(b"null")
    if not ids:
        top.pop("prompt_token_ids", None)
    return _ENCODE(top | {"choices": choices})


async def events(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The data of server-sent events, one by one.

    Raises:
        Unreachable: a line without end.
    """
    rest = b""
    async for block in content.iter_any():
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
        if len(rest) > LONGEST_LINE:
            raise Unreachable(f"the endpoint sent a line of more than {LONGEST_LINE:,} bytes")


def answer_of(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The choice and the usage of a whole answer. Raises one of NONSENSE."""
    said = msgspec.json.decode(body)
    choice = {"finish_reason": "stop", **said["choices"][0]}
    choice["message"] = _in_one_form(choice["message"])
    return choice, said.get("usage") or {}


def chunk_of(data: bytes) -> dict[str, Any]:
    """A piece of a stream, its choices each with a delta. Raises one of NONSENSE."""
    chunk = msgspec.json.decode(data)
    chunk["choices"] = [
        {**piece, "delta": _in_one_form(piece.get("delta") or {})} for piece in chunk.get("choices") or ()
    ]
    return chunk


def _in_one_form(message: dict[str, Any]) -> dict[str, Any]:
    """Thoughts under one name, which newer servers call `reasoning`; content and arguments as text."""
    thought, content, calls = (message.get(name) for name in ("reasoning", "content", "tool_calls"))
    told = dict(message)
    if isinstance(thought, str) and not message.get("reasoning_content"):
        told["reasoning_content"] = thought
    if isinstance(content, list):
        told["content"] = "".join(part["text"] for part in content if part["type"] == "text")
    if calls:
        told["tool_calls"] = [{**call, "function": _as_text(call.get("function") or {})} for call in calls]
    return told


def _as_text(function: dict[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments")
    return {**function, "arguments": _ENCODE(arguments).decode()} if isinstance(arguments, dict) else function
