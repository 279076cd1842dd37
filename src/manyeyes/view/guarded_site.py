"""`GuardedSite`: a page for one person's browser on this machine, behind the guard of `swarm_server`.

    async with GuardedSite(routes) as site:
        print(site.url)

Report: none.
"""

import secrets
from collections.abc import Sequence

from aiohttp import web

from manyeyes.core.errors import ConfigError
from manyeyes.view.swarm_server import Guard

LOOPBACK = "127.0.0.1"
SHORTEST_TOKEN = 16
LARGEST_REQUEST = 2**17
"""Bytes that a browser may send at once."""


class GuardedSite:
    """See the module.

    Args:
        routes: what it answers.
        port: to listen on; 0 for a free one.
        token: that browsers must bring; a random one when left out.
    """

    def __init__(self, routes: Sequence[web.RouteDef], *, port: int = 0, token: str | None = None) -> None:
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise ConfigError(f"a token needs {SHORTEST_TOKEN} characters or more; leave it out to have one made")
        self._table, self._port = routes, port
        self._guard = Guard(token or secrets.token_urlsafe(24))
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "GuardedSite":
        app = web.Application(middlewares=[self._guard.middleware()], client_max_size=LARGEST_REQUEST)
        app.add_routes(self._table)
        self._runner = runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, self._port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(f"port {self._port} cannot be used ({error.strerror}); name another one") from error
        self._guard.port = runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """What to open; whoever has it sees all that the page shows."""
        return f"{self.address}/?token={self._guard.token}"

    @property
    def address(self) -> str:
        """Without the token."""
        return f"http://{LOOPBACK}:{self._guard.port}"

    @property
    def token(self) -> str:
        """For programs: `Authorization: Bearer TOKEN`."""
        return self._guard.token
