"""`EndpointUpstream`: any OpenAI-compatible endpoint behind the gateway; ids and log-probabilities where it tells them.

    chat                    the body goes on as it came, and so does the answer: what is asked for beside it is added
                            (`logprobs`, `return_token_ids`) and taken out again
    responses, messages     go on as a chat request; its answer is told in the client's dialect

Where no ids come the words are kept, and the sample is masked.

Report: App. D.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec import Raw

from manyeyes.agent.gateway.dialect import Answer, Ask, Fields, Json, Telling
from manyeyes.agent.gateway.endpoint_call import EndpointCall, Line
from manyeyes.agent.gateway.endpoint_pictures import Eyes
from manyeyes.agent.gateway.endpoint_server import EndpointServer, error_of
from manyeyes.agent.gateway.session import Session
from manyeyes.agent.remote_errors import Unreachable
from manyeyes.inference.serve_errors import ApiError

LOG = logging.getLogger("manyeyes.gateway")
_ENCODE = msgspec.json.Encoder().encode
SCHEMAS = ("parameters", "schema")
"""Fields of a request in which null means something."""
LONGEST_REFUSAL = 2**16


class EndpointUpstream:
    """See the module.

    Args:
        at: where.
        eyes: cuts pictures as the endpoint's model does; None: samples with pictures are masked.
        version: of the weights that it has now.
    """

    takes_bodies = True

    def __init__(self, at: EndpointServer, *, eyes: Eyes | None = None, version: int = 0) -> None:
        self.at, self.eyes, self.version = at, eyes, version
        self.counts: Counter[str] = Counter()
        self._line = Line(at, lambda: self.version, eyes)
        self._session: aiohttp.ClientSession | None = None
        self._url = at.url.rstrip("/") + "/chat/completions"

    @property
    def name(self) -> str:
        """Of the model."""
        return self.at.model or "endpoint"

    def published(self, version: int) -> None:
        """The endpoint has new weights."""
        self.version = version

    async def count(self, ask: Ask, session: Session) -> int:
        """Only the endpoint knows. Raises ApiError."""
        raise ApiError(404, "an endpoint's tokens cannot be counted here")

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def answer(self, ask: Ask, session: Session, telling: Telling) -> Answer:
        """What the endpoint says.

        Raises:
            ApiError: it refused, or could not be reached.
        """
        own = ask.fields
        fields = _fields(ask) if own is None else own
        fields |= {name: Raw(_ENCODE(value)) for name, value in _renamed(session.sampling, fields).items()}
        call = EndpointCall(self._line, ask, fields, session, telling)
        try:
            async with self._posted(call.body) as response:
                return await (call.streamed(response) if ask.stream else call.whole(response))
        finally:
            heard = telling.heard
            what = "no answer" if heard is None else "without ids" if heard.prompt is None else "with ids"
            if what == "without ids" and not self.counts[what]:
                LOG.warning("the endpoint tells no token ids: its words are kept, and nothing of it can be trained on")
            self.counts[what] += 1

    @asynccontextmanager
    async def _posted(self, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Content-Type": "application/json"}
        if self.at.key:
            headers["Authorization"] = f"Bearer {self.at.key}"
        try:
            async with self._connections().post(self._url, data=body, headers=headers) as response:
                if response.status != 200:
                    raise await _refused(response, self.at)
                yield response
        except (aiohttp.ClientError, TimeoutError, Unreachable) as error:
            raise ApiError(502, f"the endpoint cannot be reached or broke off ({type(error).__name__})",
                           code="upstream_unreachable", retry_after=1.0) from None  # fmt: skip

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            at = self.at
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=at.connections),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=at.connect, sock_read=at.idle),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _fields(ask: Ask) -> Fields:
    """A request of another dialect as the body of a chat request."""
    said = _without_none(msgspec.to_builtins(ask.chat))
    said["stream"] = ask.stream
    return {name: Raw(_ENCODE(value)) for name, value in said.items()}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if inner is not None}
        return {key: inner if key in SCHEMAS else _without_none(inner) for key, inner in kept.items()}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _renamed(sampling: Json, fields: Fields) -> Json:
    """What stands over a request, under the names of the endpoint's API; of a limit that is that of the client."""
    limit = [name for name in ("max_completion_tokens", "max_tokens") if name in fields] or ["max_tokens"]
    return {told: value for name, value in sampling.items() for told in (limit if name == "max_new_tokens" else [name])}


async def _refused(response: aiohttp.ClientResponse, at: EndpointServer) -> ApiError:
    body = (await response.content.read(LONGEST_REFUSAL)).strip()
    try:
        said = msgspec.json.decode(at.hide(body.decode("utf-8", "replace")))
    except msgspec.DecodeError:
        said = {}
    error = error_of(response.status, said)
    after = response.headers.get("Retry-After", "")
    error.retry_after = float(after) if after.replace(".", "", 1).isdigit() else error.retry_after
    return error
