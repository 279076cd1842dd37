"""The guard in front of a model that is served: only who has the token is heard.

    Authorization: Bearer TOKEN     every route but /health; compared in constant time
    Host                            on loopback it must be ours: a foreign name that was made to point here
                                    (DNS rebinding) gets nothing

Report: none.
"""

import hmac
import ipaddress

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from manyeyes.core.errors import ConfigError
from manyeyes.inference.serve_errors import ApiError

SHORTEST_TOKEN = 16
OPEN = "/health"
HTTP_PORT = 80
"""Clients leave it out of Host."""
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def checked_token(token: str) -> str:
    """A token that is long enough. Raises ConfigError."""
    if len(token) < SHORTEST_TOKEN or not token.isascii() or token.split() != [token]:
        raise ConfigError(
            f"a token needs {SHORTEST_TOKEN} ASCII characters or more and no spaces; leave it out to have one made"
        )
    return token


class ServeGuard:
    """Lets a request through, or raises.

    Args:
        token: what it asks for.
        host: that the server listens on.

    Raises:
        ConfigError: the token is too short to be one.
    """

    def __init__(self, token: str, *, host: str = "127.0.0.1") -> None:
        self.token, self.host, self.port = checked_token(token), host, 0

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names under which this server may be asked for; none: any."""
        if not is_loopback(self.host):
            return ()
        own = f"[{self.host}]" if ":" in self.host else self.host
        names = dict.fromkeys(("127.0.0.1", "localhost", "[::1]", own.lower()))
        plain = names if self.port == HTTP_PORT else ()
        return (*(f"{name}:{self.port}" for name in names), *plain)

    def middleware(self) -> Middleware:
        """For the application."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.check(request)
            response = await handler(request)
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        return guarded

    def check(self, request: web.Request) -> None:
        """Raises ApiError for who may not pass."""
        if self.hosts and request.headers.get("Host", "").lower() not in self.hosts:
            raise ApiError(403, "this server goes by another name: use the address that it printed")
        if request.path != OPEN and not self._right(request.headers.get("Authorization", "")):
            raise ApiError(401, "the token is missing or wrong: send it as `Authorization: Bearer TOKEN`")

    def _right(self, header: str) -> bool:
        scheme, _, given = header.partition(" ")
        right = hmac.compare_digest(given.strip().encode(errors="replace"), self.token.encode())
        return right and scheme.lower() == "bearer"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
