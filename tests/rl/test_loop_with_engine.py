"""Both loops over the embedded engine: log-probabilities agree with the trainer's, whatever weights come in between."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.runlog import RunFolder
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.rl import loop_arrival
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.sync_loop import sync_loop

from ..train.small_system import system
from .loop_worlds import make_run, one_place, rows
from .rollout_samples import one_thread as one_thread

ROOMY = EngineConfig(cache_tokens=1024, max_rows=32, step_tokens=512)


@pytest.mark.slow
def test_attempts_under_way_go_on_where_they_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle of long answers; what was sampled by then is not sampled again."""
    restored: list[int] = []
    restore = RolloutManager.restore

    def noted(self: RolloutManager, folder: Path, **options: Any) -> int:
        restored.append(restore(self, folder, **options))
        return restored[-1]

    monkeypatch.setattr(RolloutManager, "restore", noted)
    monkeypatch.setattr(loop_arrival, "POLL", 0.001)

    async def work(steps: int) -> int:
        async with AsyncEngine(system().main, config=ROOMY) as engine:
            with TrajectoryStore(tmp_path / "trajectories") as store:
                run = make_run(tmp_path, domains=one_place(tokens=64), steps=steps, keep_attempts=True, store=store)
                run.sampler = engine
                run.models = {"live": engine}
                resumed = run.resume()
                stop = (lambda: False) if resumed else (lambda: engine.figures.steps >= 90)
                assert await async_loop(run, stop=stop) == resumed
            return run.step

    async def twice() -> list[int]:
        return [await work(3), await work(3)]

    stopped, ended = asyncio.run(asyncio.wait_for(twice(), 240))
    assert stopped < 3 and ended == 3 and len(restored) == 1 and restored[0] > 0
    groups = [group for row in metrics(tmp_path) for group in row["groups"]]
    assert len(groups) == len(set(groups)) == 9
    assert not set((tmp_path / "attempts").iterdir()) - {
        tmp_path / "attempts" / path.name for path in (tmp_path / "checkpoints").iterdir()
    }


def metrics(path: Path) -> list[dict]:
    return [row.values for row in RunFolder.open(path).metrics("rl")]


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
