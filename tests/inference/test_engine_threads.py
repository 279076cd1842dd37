"""The engine's thread has torch's threads to itself, as many as it is told; everybody else keeps theirs."""

import asyncio
import threading

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig

from ..train.small_system import system


@pytest.mark.parametrize("threads", [1, 3, None])
def test_the_engines_thread_counts_its_own(threads: int | None) -> None:
    """As many as it is told, or as who makes it has."""
    before = torch.get_num_threads()
    later: list[int] = []

    async def ask() -> int:
        async with AsyncEngine(system().main, config=EngineConfig(cache_tokens=256, threads=threads)) as engine:
            found = await engine._ask(torch.get_num_threads)
            other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
            other.start()
            other.join()
            return found

    try:
        torch.set_num_threads(2)
        assert asyncio.run(ask()) == (threads or 2) and torch.get_num_threads() == 2 and later == [2]
    finally:
        torch.set_num_threads(before)


def test_no_threads_compute_nothing() -> None:
    with pytest.raises(ConfigError, match="threads"):
        EngineConfig(threads=0)
