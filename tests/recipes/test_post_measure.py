"""A measurement of a finished model: figures, every attempt kept, nothing asked twice, stopped and gone on with."""

import asyncio
import dataclasses
from pathlib import Path

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes.reproduce import post_measure
from manyeyes.recipes.reproduce.pool import Job
from manyeyes.recipes.reproduce.post_attempts import attempts
from manyeyes.recipes.reproduce.post_measure import Measuring, measure
from manyeyes.recipes.rl_measure import MEASURED
from manyeyes.recipes.rl_run import Measured
from manyeyes.recipes.run import HeldOut

from . import post_toys

CPU = torch.device("cpu")
TALK = HeldOut("talk", "small_talk", "loss", records=4, length=64)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return post_toys.start_at(tmp_path_factory.mktemp("start"))


def measuring(start: Path, *, seed: int = 0, count: int = 6) -> Measuring:
    sums = Measured(post_toys.PLACE, count=count, quick=1, attempts=2)
    return Measuring("toy", (sums,), (TALK,), start_model=str(start), context=64, cache_tokens=4096, seed=seed)


def measured(work: Measuring, path: Path, **given) -> RunFolder:
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(path, work.to_json())
    with folder:
        measure(work, folder, device=CPU, registry=post_toys.REGISTRY, **given)
    return folder


def test_it_tells_rewards_and_losses_and_keeps_every_attempt(start: Path, tmp_path: Path) -> None:
    folder = measured(measuring(start), tmp_path / "run")
    [row] = folder.metrics("evaluation")
    assert row.values["sums/questions"] == 12 and 0 <= row.values["sums/reward"] <= 1
    assert row.values["talk/loss"] == pytest.approx(7.6, abs=0.3)  # untrained: nearly log 2,048
    assert len(folder.metrics("finished")) == 1
    ends = {name: share for name, share in row.values.items() if name.startswith("sums/stop_")}
    assert "sums/stop_done" in ends and sum(ends.values()) == pytest.approx(1.0)
    found = attempts(folder)
    assert len(found) == 12 and all(0 < one.tokens <= post_toys.PLACE.answer_tokens for one in found.values())
    assert sum(one.reward or 0 for one in found.values()) / 12 == pytest.approx(row.values["sums/reward"])


def test_two_models_of_one_seed_are_asked_the_same(start: Path, tmp_path: Path) -> None:
    one, two, other = (
        attempts(measured(measuring(start, seed=seed, count=4), tmp_path / name)).keys()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == two != other


def test_what_was_asked_before_a_stop_is_not_asked_again(start: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(post_measure, "LOOK_EVERY", 0.01)
    path = tmp_path / "run"

    def some_are_kept() -> bool:
        return sum(file.stat().st_size for file in path.glob(f"{MEASURED}/segments/*")) > 1000

    work = dataclasses.replace(measuring(start, count=40), running=4)
    folder = measured(work, path, stop=some_are_kept)
    assert not folder.metrics("evaluation") and not folder.metrics("finished")
    with TrajectoryStore(path / MEASURED, mode="read") as store:
        before = {one.name: one.stored for one in store.find()}
    folder = measured(work, path)
    with TrajectoryStore(path / MEASURED, mode="read") as store:
        after = {one.name: one.stored for one in store.find()}
    assert 0 < len(before) < len(after) == 80 and before.items() <= after.items()
    assert len(folder.metrics("evaluation")) == 1


def test_what_attempts_took_is_told_and_not_twice(start: Path, tmp_path: Path) -> None:
    folder = measured(measuring(start), tmp_path / "run")
    [rate] = folder.metrics(post_measure.RATE)
    [finished] = folder.metrics("finished")
    assert rate.values["environment"] == "sums" and rate.values["attempts"] == 12
    assert 0 < rate.values["seconds"] == finished.values["seconds"]
    folder.rewind(0)
    [again] = measured(measuring(start), folder.path).metrics("finished")
    assert not folder.metrics(post_measure.RATE) and again.values["seconds"] == 0


def test_how_far_it_is_is_told_while_it_lasts(start: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(post_measure, "TELL_EVERY", 0.01)
    work = dataclasses.replace(measuring(start, count=40), running=4)
    job = Job("toy", RunFolder.create(tmp_path / "run", work.to_json()), work.steps)
    seen: list[float] = []

    def looked() -> bool:
        job.refresh()
        seen.append(job.share)
        return False

    monkeypatch.setattr(post_measure, "LOOK_EVERY", 0.01)
    told = [row.step for row in measured(work, tmp_path / "run", stop=looked).metrics(post_measure.ASKED)]
    assert told == sorted(set(told)) and 0 < told[0] < told[-1] <= 80
    assert any(0 < share < 1 for share in seen) and seen == sorted(seen)
    job.refresh()
    assert job.share == 1.0


def test_an_error_behind_a_stop_is_raised_and_an_end_behind_it_counts() -> None:
    async def stubborn(end: float | None) -> dict[str, dict[str, float]]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if end is None:
                raise ConfigError("the store cannot be written") from None
        return {"sums": {"reward": end or 0.0}}

    until = post_measure._Measurement._unless_stopped
    with pytest.raises(ConfigError, match="cannot be written"):
        asyncio.run(until(stubborn(None), lambda: True))
    assert asyncio.run(until(stubborn(0.5), lambda: True)) == {"sums": {"reward": 0.5}}


def test_tasks_are_those_that_are_asked(start: Path, tmp_path: Path) -> None:
    work = measuring(start, count=5)
    asked = {one.task_id for one in attempts(measured(work, tmp_path / "run")).values()}
    assert asked == {task.id for task in work.tasks(post_toys.REGISTRY)["sums"]}


def test_a_configuration_is_read_back_and_nothing_to_measure_is_refused(start: Path) -> None:
    work = measuring(start)
    assert Measuring.from_json(work.to_json()) == work and work.steps == 12
    with pytest.raises(ConfigError, match="needs something to measure"):
        Measuring("empty")
    with pytest.raises(ConfigError, match="of this version"):
        Measuring.from_json({"kind": "measuring", "name": 3})
