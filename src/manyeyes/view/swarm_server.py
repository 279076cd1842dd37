"""The guard in front of the live page: nothing of a run leaves this machine, or goes to anybody without the token.

    binds to 127.0.0.1                          nobody else's machine can connect
    Host must be ours                           a foreign name that was made to point here (DNS rebinding) gets nothing
    token, in a cookie that scripts cannot read every route, the static ones too; `?token=` becomes the cookie and goes
    Origin, Sec-Fetch-Site must be ours         another page in the same browser, of another local server, gets nothing
    Content-Security-Policy, nosniff            only the page's own scripts run, whatever text models wrote
    files of agents: sandboxed downloads        they are never shown as a page of ours

Report: none; models write what this serves, so all of it is hostile.
"""

import hmac

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from manyeyes.core.errors import ManyeyesError

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HEAD = '<!doctype html><meta charset="utf-8"><title>manyeyes</title><link rel="icon" href="data:,">'
NEEDS_TOKEN = (
    f"{_HEAD}<p>This page needs its token: open the whole address "
    "that the command printed, with <code>?token=</code> in it."
)
WELCOME = f'{_HEAD}<meta http-equiv="refresh" content="0;url=/">'
OWN_SITE = ("same-origin", "none", "")
"""Values of Sec-Fetch-Site that are no other page's: our own, a person's (address bar, bookmark), no browser's."""


class Guard:
    """Lets a request through or answers it.

    Args:
        token: what it asks for.
        port: that the server listens on, once that is known; names the cookie, which browsers keep by host alone.
    """

    def __init__(self, token: str, *, port: int = 0) -> None:
        self.token, self.port = token, port

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names under which this server may be asked for."""
        return tuple(f"{name}:{self.port}" for name in ("127.0.0.1", "localhost"))

    @property
    def cookie(self) -> str:
        """Name of the cookie."""
        return f"manyeyes-{self.port}"

    def middleware(self) -> Middleware:
        """For the application."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                response = self.refused(request) or await handler(request)
            except web.HTTPException as error:  # aiohttp's own answers, such as 404, are answers, too
                response = web.Response(status=error.status, text=error.text)
            except ManyeyesError as error:  # such as a journal that was damaged: whoever may ask is told
                response = web.Response(status=500, text=str(error))
            if not response.prepared:
                protect(response)
            return response

        return guarded

    def refused(self, request: web.Request) -> web.Response | None:
        """The answer to who may not pass, and to who brings the token in the address; None for everybody else."""
        if request.headers.get("Host", "") not in self.hosts:
            return web.Response(status=403, text="this server goes by another name: open the address as it was printed")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.hosts]:
            return web.Response(status=403, text="asked by another site's page")
        if request.path == "/" and (given := request.query.get("token")) is not None and self.right(given):
            return self._welcome()
        if not self.right(request.cookies.get(self.cookie, "")) and not self.right(_bearer(request)):
            return self._unknown(request)
        if request.headers.get("Sec-Fetch-Site", "") not in OWN_SITE:
            return web.Response(status=403, text="asked by another site's page")
        if request.method not in ("GET", "HEAD") and origin is None:
            return web.Response(status=403, text="a request that changes something must name its origin")
        return None

    def right(self, given: str) -> bool:
        """Whether this is the token."""
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def _welcome(self) -> web.Response:
        """Keeps the token and leaves its address. Not by a redirect: a browser that came from another site's page, such
        as a terminal in a browser, would not bring the strict cookie along."""
        response = web.Response(text=WELCOME, content_type="text/html")
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="Strict", path="/")
        return response

    def _unknown(self, request: web.Request) -> web.Response:
        if request.path == "/":
            return web.Response(status=401, text=NEEDS_TOKEN, content_type="text/html")
        return web.Response(status=401, text="needs the token")


def protect(response: web.StreamResponse) -> None:
    """Give an answer the headers that it has not; one that is sent in pieces needs them before the first."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _bearer(request: web.Request) -> str:
    """The token where it is sent as API clients send keys."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""
