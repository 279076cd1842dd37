"""Groups on two machines come out whole and once, also when one of the machines is lost while they run."""

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.ray_workers import GroupParcel, RayRollouts, RolloutWorker
from manyeyes.agent.task import Task

from ..virtual_time import run_virtually
from .worlds import Quick, Turns, hang, request

pytestmark = pytest.mark.slow


def make(version: int = 0) -> RolloutManager:
    return RolloutManager({"live": Quick(version=version)}, config=RolloutConfig(most_running=64))


async def slow(folder: str, ctx: Any, turn: int) -> None:
    """Says that it began, and waits until it may go on."""
    (Path(folder) / ctx.attempt.name.replace("/", "_")).touch()
    while not (Path(folder) / "go").exists():
        await asyncio.sleep(0.05)


@pytest.fixture
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="needs the extra `ray`")
    from ray.cluster_utils import Cluster

    two = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 80 * 2**20})
    two.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    roots = [str(Path(__file__).resolve().parents[3]), *sys.path]  # this module is pickled by its name
    env = {"env_vars": {"PYTHONPATH": ":".join(one for one in roots if one)}}
    ray.init(address=two.address, log_to_driver=False, runtime_env=env)
    try:
        yield two
    finally:
        ray.shutdown()
        two.shutdown()


def test_groups_come_out_whole_and_once(cluster: Any) -> None:
    async def work() -> tuple[list[Group], int]:
        async with RayRollouts(make, workers=2, cpus=1.0) as rollouts:
            for number in range(20):
                rollouts.submit(request(number, Turns(2), 3))
            groups = [group async for group in rollouts.results()]
            await rollouts.suspend()
            await rollouts.set_version(3)
            await rollouts.go_on()
            told = await rollouts.snapshots()
            assert [one.version for one in told] == [3, 3] and all(one.finished for one in told)
            return groups, sum(one.finished for one in told)

    groups, finished = asyncio.run(work())
    assert sorted(int(group.request.id) for group in groups) == list(range(20)) and finished == 60
    for group in groups:
        assert group.complete and [one.stop for one in group.trajectories] == ["done"] * 3
        assert group.trajectories[0].path(1).ids.tolist() == [1, 2, 3, 7, 8, 1, 7, 8]


def test_what_was_under_way_on_a_lost_machine_runs_again(cluster: Any, tmp_path: Path) -> None:
    node = cluster.worker_nodes.copy().pop()

    async def work() -> tuple[list[Group], int]:
        async with RayRollouts(make, workers=2, cpus=1.0) as rollouts:
            for number in range(8):
                rollouts.submit(request(number, Turns(1, partial(slow, str(tmp_path))), 2))
            while len(list(tmp_path.iterdir())) < 16:
                await asyncio.sleep(0.1)
            await rollouts.set_version(3)
            cluster.remove_node(node)
            (tmp_path / "go").touch()
            groups = [group async for group in rollouts.results()]
            assert [one.version for one in await rollouts.snapshots()] == [3, 3]  # the new one was told
            return groups, rollouts.lost

    groups, lost = asyncio.run(work())
    assert sorted(int(group.request.id) for group in groups) == list(range(8)) and lost == 1
    assert all(group.complete for group in groups)


def test_what_fails_over_there_says_why(cluster: Any) -> None:
    async def work() -> list[Group]:
        async with RayRollouts(make, workers=1) as rollouts:
            rollouts.submit(GroupRequest("0", Task("task", ""), "no episode", 2))
            rollouts.submit(request(1, Turns(1), 1))
            return [group async for group in rollouts.results()]

    bad, good = sorted(asyncio.run(work()), key=lambda group: group.request.id)
    assert good.complete and not bad.complete and len(bad.trajectories) == 2
    assert "expected an Environment" in bad.trajectories[0].masked


class Unreadable(Turns):
    """Cannot be unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_what_an_actor_cannot_read_is_a_failure_and_no_lost_worker(cluster: Any) -> None:
    async def work() -> tuple[list[Group], int]:
        async with RayRollouts(make, workers=1) as rollouts:
            rollouts.submit(request(0, Unreadable(1), 2))
            rollouts.submit(request(1, Turns(1), 1))
            return [group async for group in rollouts.results()], rollouts.lost

    groups, lost = asyncio.run(work())
    bad, good = sorted(groups, key=lambda group: group.request.id)
    assert good.complete and lost == 0 and bad.failures == {"environment_bug": 2} and len(bad.trajectories) == 2


def test_a_worker_keeps_what_was_cancelled_before_there_was_room_for_it() -> None:
    async def work() -> list[GroupParcel]:
        worker = RolloutWorker(partial(RolloutManager, {"live": Quick()}, config=RolloutConfig(most_open=1)))
        first = asyncio.create_task(worker.run(request(0, Turns(1, hang), 1)))
        second = asyncio.create_task(worker.run(request(1, Turns(1, hang), 1)))
        await asyncio.sleep(1.0)
        await worker.cancel("1", "nobody wants it")
        await worker.cancel("0", "nobody wants it")
        told = [msgspec.msgpack.decode(await one, type=GroupParcel) for one in (first, second)]
        await worker.close()
        return told

    parcels, seconds = run_virtually(work())
    assert [parcel.failures for parcel in parcels] == [{"cancelled": 1}, {"cancelled": 1}] and seconds < 10.0
