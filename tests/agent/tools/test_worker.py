"""Work in threads: it ends soon after nobody waits for it, and its time counts from when it began."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from manyeyes.agent.tools.worker import Watch, WorkStopped, in_thread


def test_queued_work_that_nobody_waits_for_never_begins() -> None:
    began, go_on = [], threading.Event()

    def work(watch: Watch) -> None:
        began.append(watch)
        go_on.wait(10)
        watch.check()

    async def go() -> None:
        with ThreadPoolExecutor(1) as threads:
            first = asyncio.ensure_future(in_thread(work, seconds=60, threads=threads))
            second = asyncio.ensure_future(in_thread(work, seconds=60, threads=threads))
            while not began:
                await asyncio.sleep(0.001)
            second.cancel()
            await asyncio.sleep(0)
            go_on.set()
            await first

    asyncio.run(go())
    assert len(began) == 1
    with pytest.raises(WorkStopped):
        began[0].check()


def test_work_that_takes_too_long_is_told_how_long_it_had() -> None:
    def work(watch: Watch) -> None:
        while True:
            watch.check()

    with pytest.raises(WorkStopped, match="longer than 0.01 s"):
        asyncio.run(in_thread(work, seconds=0.01))


def test_the_wait_for_a_thread_does_not_count() -> None:
    go_on = threading.Event()

    def work(watch: Watch) -> str:
        watch.check()
        return "done"

    async def go() -> str:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(go_on.wait, 10)
            waiting = asyncio.ensure_future(in_thread(work, seconds=0.5, threads=threads))
            await asyncio.sleep(0.6)
            go_on.set()
            return await waiting

    assert asyncio.run(go()) == "done"
