"""`BrowserSeat`: the right to one context of the run's browser, lent to one attempt at a time.

    pool = EnvironmentPool({"browser": browser_seats(browser, most=browser.config.contexts)})
    Environment(lambda ctx: LeasedToolset(ctx.lease("browser"), lambda seat: seat.tools(search, reader, ctx)))

With no more seats than contexts nobody's page is taken away for another's. The next owner gets a context without
cookies and without history.

Report: App. D (a managed pool of environment instances), App. E.8 (browser).
"""

from math import inf

from manyeyes.agent.environment import Ctx
from manyeyes.agent.rollouts.pool_kind import PoolKind
from manyeyes.agent.tools.browser_context import BrowserError
from manyeyes.agent.tools.browser_pool import BrowserPool
from manyeyes.agent.tools.browser_tools import browser_tools
from manyeyes.agent.tools.pages import PageSource
from manyeyes.agent.tools.search import SearchBackend
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError


class BrowserSeat:
    """See the module.

    Args:
        browser: of the run; whoever made it closes it after the pool.
    """

    def __init__(self, browser: BrowserPool) -> None:
        self.browser = browser
        self._given: Together | None = None

    async def open(self) -> None:
        """See `Resource.open`. Raises ConfigError: the browser does not start."""
        await self.browser.open()

    async def reset(self) -> None:
        """See `Resource.reset`."""
        await self.close()

    async def healthy(self) -> bool:
        """See `Resource.healthy`; a browser that died is started again."""
        try:
            await self.browser.open()
        except (BrowserError, ConfigError):
            return False
        return True

    async def close(self) -> None:
        """See `Resource.close`."""
        given, self._given = self._given, None
        if given is not None:
            await given.close()

    def tools(self, backend: SearchBackend, reader: PageSource, ctx: Ctx) -> Together:
        """`browser_tools` for whom it was lent to."""
        self._given = browser_tools(backend, self.browser, reader, ctx)
        return self._given


def browser_seats(
    browser: BrowserPool, *, most: int, warm: int = 0, uses: float = inf, seconds_alive: float = inf
) -> PoolKind:
    """Seats as a kind of the pool.

    Args:
        browser: of the run.
        most, warm, uses, seconds_alive: see `PoolKind`; more seats than contexts share contexts.
    """
    return PoolKind(lambda: BrowserSeat(browser), most=most, warm=warm, uses=uses, seconds_alive=seconds_alive)
