"""Opens a page in a browser, says "ready" and waits to be killed: browser_child.py KIND URL."""

import asyncio
import sys

from browser_site import Agent, browser  # pyright: ignore
from yarl import URL

from manyeyes.agent.tools.browser_pool import BrowserPool
from manyeyes.agent.tools.net_guard import Guard


async def main(kind: str, url: str) -> None:
    pool = BrowserPool(browser(kind), Guard(allow=frozenset((URL(url).authority,))))
    shown = await Agent(pool)("open", url=url)
    print(f"ready {shown.failure}", flush=True)
    await asyncio.sleep(600)


asyncio.run(main(sys.argv[1], sys.argv[2]))
