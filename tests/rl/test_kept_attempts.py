"""Attempts under way that cannot be written down or read back begin anew, and the run goes on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.rollouts import checkpoint
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl import rl_checkpoint
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.loop import RlLoop

from .loop_worlds import make_run, one_place, rows
from .rollout_samples import one_thread as one_thread

STEPS = 4


async def slowly() -> None:
    await asyncio.sleep(0.05)


def life(path: Path, *, until: int = STEPS, **more: Any) -> tuple[RlLoop, list[str]]:
    """A life of the run, ended after so many steps."""

    async def go() -> tuple[RlLoop, list[str]]:
        lines: list[str] = []
        with TrajectoryStore(path / "trajectories") as store:
            run = make_run(
                path, domains=one_place(), steps=STEPS, store=store, keep_attempts=True, checkpoint_every=1,
                before=slowly, announce=lines.append, **more,
            )  # fmt: skip
            run.resume()
            await asyncio.wait_for(async_loop(run, stop=lambda: run.step >= until), 120)
        return run, lines

    return asyncio.run(go())


def ended_once(run: RlLoop) -> None:
    groups = [group.partition(".")[0] for row in rows(run) for group in row["groups"]]
    assert run.step == STEPS and len(groups) == len(set(groups)) >= STEPS


def test_attempts_that_cannot_be_read_back_begin_anew(tmp_path: Path, one_thread: None) -> None:
    stopped, _ = life(tmp_path, until=2)
    folder = rl_checkpoint.attempts(stopped.folder, stopped.step)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / checkpoint.SUSPENDED).write_bytes(b"cut short")
    run, lines = life(tmp_path)
    assert any("begin anew" in line and "no checkpoint of rollouts" in line for line in lines)
    ended_once(run)


def test_attempts_that_are_not_handed_back_are_left_out_of_the_checkpoint(
    tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "QUIET_SECONDS", 0.0)
    run, lines = life(tmp_path)  # its sampler answers to the end, whatever it is told
    assert any("are not in the checkpoint of step" in line and "handed back" in line for line in lines)
    ended_once(run)


def test_only_attempts_that_are_asked_for_and_did_not_end_are_restored(
    tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore, wanted = RolloutManager.restore, list[set[str]]()

    def noted(self: RolloutManager, folder: Path, **options: Any) -> int:
        wanted.append(options["only"])
        return restore(self, folder, **options)

    monkeypatch.setattr(RolloutManager, "restore", noted)
    stopped, _ = life(tmp_path, until=2)
    asked = {name.partition("/attempts")[0] for name in stopped.pending._wanted}
    with TrajectoryStore(tmp_path / "trajectories", mode="read") as store:
        ended = set(store.names())
    run, _ = life(tmp_path)
    assert len(wanted) == 1 and wanted[0] and not wanted[0] & ended
    assert {name.split("/")[-2].partition(".")[0] for name in wanted[0]} <= asked
    ended_once(run)


def test_what_is_not_asked_for_is_not_carried_on(tmp_path: Path) -> None:
    folder = tmp_path / "attempts"
    checkpoint.write(folder, 3, [], {f"t/{n}/0": _held() for n in range(3)})

    async def go() -> int:
        async with RolloutManager({}) as manager:
            assert manager.restore(folder, only={"t/1/0", "t/9/0"}) == 1
            await manager.suspend()
            return await manager.checkpoint(tmp_path / "later")

    assert asyncio.run(go()) == 1
    assert set(checkpoint.read(tmp_path / "later").attempts) == {"t/1/0"}


def _held() -> checkpoint.Suspended:
    return checkpoint.Suspended(b"", 0.0, {}, {}, {})
