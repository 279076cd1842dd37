"""Groups on two machines come out whole and once, also when one of the machines is lost while they run."""

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.ray_workers import RayRollouts
from manyeyes.agent.task import Task

from .worlds import Quick, Turns, request

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
            cluster.remove_node(node)
            (tmp_path / "go").touch()
            return [group async for group in rollouts.results()], rollouts.lost

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
