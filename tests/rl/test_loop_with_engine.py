"""Both loops over the embedded engine: log-probabilities agree with the trainer's, whatever weights come in between."""

import asyncio
from pathlib import Path

import pytest

from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.sync_loop import sync_loop

from ..train.small_system import system
from .loop_worlds import make_run, one_place, rows
from .rollout_samples import one_thread as one_thread

ROOMY = EngineConfig(cache_tokens=1024, max_rows=32, step_tokens=512)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_engines_policy_follows_the_trainer(kind: str, tmp_path: Path) -> None:
    async def work() -> list[dict]:
        async with AsyncEngine(system().main, config=ROOMY) as engine:
            run = make_run(tmp_path, domains=one_place(tokens=6), steps=4)
            run.sampler = engine
            run.models = {"live": engine}
            assert await (sync_loop if kind == "sync" else async_loop)(run)
            assert engine.version == 4
            return rows(run)

    found = asyncio.run(asyncio.wait_for(work(), 120))
    fresh = [row["mismatch/mean_absolute"] for row in found if row["staleness/most"] == 0]
    assert found[-1]["updates"] == 4 and fresh and max(fresh) < 1e-4
