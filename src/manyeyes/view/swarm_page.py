"""`SwarmPage`: the live page of a swarm, served to one person's browser on this machine.

    async with SwarmPage(folder, run) as page:       # run: anything that is a `Control`; None only watches
        print(page.url)
        journal.listen(page.take)

    GET  /api/runs                      which runs there are, what was asked, whether they can be steered
    GET  /api/runs/N/events?after=SEQ   server-sent events: batches of thin events, and the run's vitals
    GET  /api/runs/N/agent?name=&after= the whole events of one agent
    GET  /api/runs/N/blobs/HASH, /files?name=, /file?name=&path=, /export
    POST /api/control                   {"action": "pause" | "go_on" | "cancel" | "say", "agent": …, "text": …}

Report: §3, Fig. 6, Fig. 8; the page is this project's own.
"""

import secrets
from pathlib import Path

from aiohttp import web

from manyeyes.agent.limiter import Limiter
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event
from manyeyes.view.swarm_page_routes import Routes
from manyeyes.view.swarm_page_runs import Control, ShownRun, ShownRuns
from manyeyes.view.swarm_server import Guard

LOOPBACK = "127.0.0.1"
SHORTEST_TOKEN = 16
LARGEST_REQUEST = 2**17
"""Bytes; what people say to agents is the longest that is sent here."""


class SwarmPage:
    """See the module.

    Args:
        folder: of a run; it need not exist yet.
        control: of that run; None where it cannot be steered.
        port: to listen on; 0 for a free one.
        token: that browsers must bring; a random one when left out.
        limiter: whose queue is shown; None shows none.
    """

    def __init__(
        self,
        folder: Path,
        control: Control | None = None,
        *,
        port: int = 0,
        token: str | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise ConfigError(f"a token needs {SHORTEST_TOKEN} characters or more; leave it out to have one made")
        self._port, self._guard = port, Guard(token or secrets.token_urlsafe(24))
        self._runs = ShownRuns(ShownRun(folder, control), limiter)
        self._routes = Routes(self._runs)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "SwarmPage":
        app = web.Application(middlewares=[self._guard.middleware()], client_max_size=LARGEST_REQUEST)
        app.add_routes(self._routes.table)
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
        self._routes.closed = True
        self._runs.wake()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """What to open; whoever has it can steer the run."""
        return f"http://{LOOPBACK}:{self._guard.port}/?token={self._guard.token}"

    @property
    def limiter(self) -> Limiter | None:
        """Whose queue is shown."""
        return self._runs.limiter

    @limiter.setter
    def limiter(self, limiter: Limiter | None) -> None:
        self._runs.limiter = limiter

    def take(self, event: Event) -> None:
        """For `Journal.listen`: the current run has one more event."""
        self._runs.take(event)

    def attach(self, control: Control | None) -> None:
        """The current run can be steered from now on, or no longer."""
        self._runs.current.control = control
        self._runs.wake()

    def show(self, folder: Path, control: Control | None = None) -> None:
        """Another run begins; browsers that watched the current one go on with it."""
        self._runs.add(ShownRun(folder, control))
