"""`manyeyes swarm show RUN`: the page of a run that is over, or that another process is at."""

import asyncio
import signal
from pathlib import Path

from manyeyes.view.swarm_page import SwarmPage


def show(folder: Path, *, port: int) -> int:
    """Serve the page until Ctrl-C."""
    asyncio.run(_serve(folder, port))
    return 0


async def _serve(folder: Path, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with SwarmPage(folder, port=port) as page:
        print(f"{page.url}\nCtrl-C ends", flush=True)
        await stopped.wait()
