"""What is wrong, as OpenAI's API says it: `{"error": {"message", "type", "param", "code"}}` and a status.

    ManyeyesError
    └── ApiError    an answer that is no answer; a handler raises it, the outermost middleware writes it

Every expected error of the layers below becomes one; anything else is a bug: the client learns an id and no more, and
the log gets where it happened without the words, as those may be the client's.

Report: none; the form is that of the OpenAI API reference.
"""

import logging
import secrets
import traceback
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.typedefs import Handler, Middleware

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.sampler import Overloaded, RequestError, SamplerError, TooLong

LOG = logging.getLogger("manyeyes.serve")
KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CODES = {401: "invalid_api_key", 404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}


class ApiError(ManyeyesError):
    """See the module.

    Args:
        status: of HTTP.
        message: for the client.
        param: the field at fault.
        code: a word for programs.
        retry_after: seconds, where coming again helps.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after: float = 0.0
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_after = status, message, param, code, retry_after

    @property
    def kind(self) -> str:
        """OpenAI's type."""
        return KINDS.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object."""
        code = self.code or CODES.get(self.status)
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": code}}

    def response(self) -> web.Response:
        """The answer."""
        headers: dict[str, str] = {}
        if self.retry_after:
            headers["Retry-After"] = str(max(1, round(self.retry_after)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return json_response(self.body, status=self.status, headers=headers)


def bad(message: str, param: str | None = None, *, code: str | None = None) -> ApiError:
    """The request is wrong."""
    return ApiError(400, message, param=param, code=code)


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON; text that is no UTF-8 (half a surrogate pair) is written as U+FFFD."""
    return web.Response(body=encoded(body), status=status, content_type="application/json", headers=headers)


def encoded(body: Any) -> bytes:
    """JSON bytes."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole_characters(body))


def api_error(error: Exception) -> ApiError:
    """What to tell the client about an error."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Overloaded):
        return ApiError(429, str(error), code="rate_limit_exceeded", retry_after=error.retry_after)
    if isinstance(error, ManyeyesError) and (isinstance(error, RequestError) or not isinstance(error, SamplerError)):
        return bad(str(error), code="context_length_exceeded" if isinstance(error, TooLong) else None)
    if isinstance(error, web.HTTPException):
        return ApiError(error.status, _said(error))
    number = secrets.token_hex(4)
    where = "".join(traceback.format_tb(error.__traceback__))
    LOG.error("error %s: %s at\n%s", number, type(error).__name__, where)
    return ApiError(500, f"an error inside the server; its log has it as {number}", code="internal_error")


class ServerLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's own log, without words of clients: what it cannot even read needs no token to come here."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        """Where it happened, unless the client's bytes are at fault."""
        if isinstance(exc_info, BadHttpMessage | web.RequestPayloadError):
            self.logger.debug("%s: %s", msg % args if isinstance(msg, str) else msg, type(exc_info).__name__)
        elif isinstance(exc_info, Exception):
            api_error(exc_info)


def error_middleware() -> Middleware:
    """For the application, outermost."""

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Exception as error:  # the boundary: nothing but an answer goes to a client
            return api_error(error).response()

    return answered


def _said(error: web.HTTPException) -> str:
    if error.status == 413:
        return "the request is larger than this server takes"
    if error.status == 404:
        return "no such route; see docs/serving.md for those there are"
    return f"{error.reason}"


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(inner) for key, inner in value.items()}
    return [_whole_characters(inner) for inner in value] if isinstance(value, list | tuple) else value
