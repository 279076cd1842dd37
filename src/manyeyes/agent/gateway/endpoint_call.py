"""`EndpointCall`: one request to an endpoint: what is sent, what is heard beside the answer, what of it is told.

Report: App. D.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec
from msgspec import Raw

from manyeyes.agent.gateway.dialect import Answer, Ask, Fields, Heard, Json, Telling
from manyeyes.agent.gateway.endpoint_pictures import Eyes
from manyeyes.agent.gateway.endpoint_server import EndpointServer, error_of
from manyeyes.agent.gateway.endpoint_wire import NONSENSE, Ear, answer_of, asked_for, chunk_of, events, stripped, wanted
from manyeyes.agent.gateway.session import Session
from manyeyes.agent.gateway.texts import Texts
from manyeyes.inference.serve_errors import ApiError

_ENCODE = msgspec.json.Encoder().encode
_MESSAGES = msgspec.json.Decoder(list[Raw]).decode
NO_CHAT = "the endpoint's answer is no chat completion"
CHANGED = "the weights changed while this was sampled, and the endpoint does not say whose each token is"
UNSEEN = "pictures were shown, and the gateway was given no vocabulary that says how they become tokens"


@dataclass(frozen=True, slots=True)
class Line:
    """What all calls to an endpoint share.

    Attributes:
        version: of the weights that it has now.
        eyes: see `EndpointUpstream`.
    """

    at: EndpointServer
    version: Callable[[], int]
    eyes: Eyes | None


class EndpointCall:
    """See the module.

    Args:
        fields: the body of the request, as the client means it.
    """

    def __init__(self, line: Line, ask: Ask, fields: Fields, session: Session, telling: Telling) -> None:
        self._line, self._ask, self._fields, self._session = line, ask, fields, session
        self._telling, self._ear, self._version = telling, Ear(), line.version()
        self._ids, self._logprobs = asked_for(fields, "return_token_ids"), asked_for(fields, "logprobs")
        self._raw = ask.fields is not None

    @property
    def body(self) -> bytes:
        """What is sent."""
        at, usage = self._line.at, self._ask.stream and not self._raw
        return _ENCODE(wanted(self._fields, ids=at.ids, model=at.model, usage=usage))

    async def whole(self, response: aiohttp.ClientResponse) -> Answer:
        """An answer in one piece."""
        body = await response.read()
        self._ear.hear(body)
        await self._heard(lambda: _message_in(body))
        if self._raw:
            return Answer(body=stripped(body, ids=self._ids, logprobs=self._logprobs))
        try:
            choice, usage = answer_of(body)
            return Answer(choice if self._logprobs else choice | {"logprobs": None}, usage)
        except NONSENSE:
            raise ApiError(502, NO_CHAT, code="upstream_nonsense") from None

    async def streamed(self, response: aiohttp.ClientResponse) -> Answer:
        """An answer in pieces."""
        said, usage, done = _Assembled(), {}, False
        try:
            async for data in events(response.content):
                if done := data == b"[DONE]":
                    break
                self._ear.hear(data)
                usage = self._piece(data, said) or usage
        finally:
            await self._heard(said.message)
        if not (done or said.finished):
            raise ApiError(502, "the endpoint broke off in the middle of its answer", code="upstream_cut")
        return Answer({}, usage)

    def _piece(self, data: bytes, said: "_Assembled") -> Json:
        """Tell a piece of a stream; returns what it says of usage."""
        chunk: Json = {"choices": []}
        try:
            chunk = chunk_of(data)
        except NONSENSE:
            if not self._raw:  # else the client may know what it is
                raise ApiError(502, NO_CHAT, code="upstream_nonsense") from None
            said.odd = True
        if chunk.get("error"):
            raise error_of(502, chunk)
        for piece in chunk["choices"]:
            said.add(piece)
        if self._raw:
            self._telling.raw(b"data: " + stripped(data, ids=self._ids, logprobs=self._logprobs) + b"\n\n")
        elif chunk["choices"]:
            self._telling.pieces([p if self._logprobs else {**p, "logprobs": None} for p in chunk["choices"]])
        return chunk.get("usage") or {}

    async def _heard(self, message: Callable[[], bytes]) -> None:
        """What is known of the call; nothing that goes wrong here is the client's concern."""
        heard = self._ear.heard(version=self._version, kind=self._line.at.logprob_kind)
        try:
            heard = await self._with_context(heard, message)
        except Exception as error:  # the boundary: a failed capture masks the sample, and the call goes on
            heard = heard._replace(masked=heard.masked or f"capture failed: {type(error).__name__}")
        if self._line.version() != self._version:
            heard = heard._replace(masked=heard.masked or CHANGED)
        self._telling.heard = heard

    async def _with_context(self, heard: Heard, message: Callable[[], bytes]) -> Heard:
        messages = _MESSAGES(self._fields["messages"])
        raws = [bytes(one) for one in messages]
        heard = heard._replace(told=sum(_is_assistant(one) for one in raws))
        if self._line.at.texts == "always" or heard.prompt is None:
            heard = heard._replace(text=_texts(self._session).note(raws, message()))
        if any(b"image_url" in one for one in raws):
            heard = await self._with_pictures(heard)
        return heard

    async def _with_pictures(self, heard: Heard) -> Heard:
        eyes = self._line.eyes
        if eyes is None:
            return heard._replace(masked=heard.masked or UNSEEN)
        if heard.prompt is None:
            return heard
        media, wrong = await asyncio.to_thread(eyes.see, self._ask.chat, heard.prompt)
        return heard._replace(media=media, masked=heard.masked or wrong)


class _Assembled:
    """A message that comes in pieces.

    Attributes:
        finished: somebody said why it ended.
        odd: some of it has a form that is not known, and is left out.
    """

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, Json] = {}
        self.odd = self.finished = False

    def add(self, piece: Json) -> None:
        """A choice of a stream."""
        self.finished = self.finished or bool(piece.get("finish_reason"))
        try:
            self._add(piece["delta"])
        except NONSENSE:
            self.odd = True

    def _add(self, delta: Json) -> None:
        for name in ("reasoning_content", "content"):
            if delta.get(name):
                self._texts.setdefault(name, []).append(delta[name])
        for piece in delta.get("tool_calls") or ():
            blank = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            call, function = self._calls.setdefault(piece.get("index") or 0, blank), piece.get("function") or {}
            call["id"] = piece.get("id") or call["id"]
            call["function"]["name"] += function.get("name") or ""
            call["function"]["arguments"] += function.get("arguments") or ""

    def message(self) -> bytes:
        said: Json = {"role": "assistant"} | {name: "".join(pieces) for name, pieces in self._texts.items()}
        calls = {"tool_calls": list(self._calls.values())} if self._calls else {}
        return _ENCODE(said | calls | ({"incomplete": True} if self.odd else {}))


class _Choice(msgspec.Struct):
    message: Raw = Raw(b"{}")


class _Whole(msgspec.Struct):
    choices: list[_Choice] = []


_WHOLE = msgspec.json.Decoder(_Whole).decode


def _message_in(body: bytes) -> bytes:
    choices: Sequence[_Choice] = _WHOLE(body).choices
    return bytes(choices[0].message) if choices else b"{}"


def _texts(session: Session) -> Texts:
    if session.said is None:
        session.said = Texts()
    return session.said


class _Role(msgspec.Struct):
    role: str = ""


_ROLE = msgspec.json.Decoder(_Role).decode


def _is_assistant(message: bytes) -> bool:
    return b'"assistant"' in message and _ROLE(message).role == "assistant"
