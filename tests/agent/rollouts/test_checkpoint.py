"""A checkpoint holds everything that a run had, also what another checkpoint had and nobody has taken up yet."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.token_environment import TokenObservation
from manyeyes.agent.task import Task
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams

from ..virtual_time import run_virtually
from .worlds import GIVEN, Quick, Turns, request

PARAMS = SamplingParams(max_new_tokens=8, temperature=1.0)


class LateTurns(Turns):
    """Takes a while to begin."""

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        await asyncio.sleep(5.0)
        return await super().reset(task, ctx)


def sampler(version: int = 0) -> FakeSampler:
    async def pace() -> None:
        await asyncio.sleep(1.0)

    made = FakeSampler(vocab_size=50, pace=pace)
    made._version = version
    return made


async def first(folder: Path, episode: Any, seconds: float) -> int:
    async with RolloutManager({"live": sampler()}) as manager:
        manager.submit(request(0, episode, 3))
        await asyncio.sleep(seconds)
        await manager.suspend()
        await asyncio.sleep(5.0)
        return await manager.checkpoint(folder)


async def second(folder: Path, episode: Any, config: RolloutConfig, seconds: float) -> int:
    async with RolloutManager({"live": sampler(1)}, config=config) as manager:
        assert manager.restore(folder) == 3
        manager.submit(request(0, episode, 3))
        await asyncio.sleep(seconds)
        await manager.suspend()
        await asyncio.sleep(5.0)
        return await manager.checkpoint(folder)


async def last(folder: Path, episode: Any) -> Group:
    async with RolloutManager({"live": sampler(2)}) as manager:
        assert manager.restore(folder, version=2) == 3
        manager.submit(request(0, episode, 3))
        group = await manager.next_group()
        assert group is not None
        return group


def versions(group: Group) -> list[list[int]]:
    return [one.nodes[0].versions.tolist() for one in group.trajectories]


def test_attempts_of_a_checkpoint_that_have_not_gone_on_are_in_the_next(tmp_path: Path) -> None:
    episode = Turns(1, params=PARAMS)

    async def work() -> Group:
        assert await first(tmp_path, episode, 3.5) == 3
        assert await second(tmp_path, episode, RolloutConfig(most_running=1), 1.5) == 3
        return await last(tmp_path, episode)

    group, _ = run_virtually(work())
    begun, *waited = versions(group)
    assert begun[:3] == [0, 0, 0] and 1 in begun and begun[-1] == 2
    assert all(one[:3] == [0, 0, 0] and set(one[4:]) == {2} for one in waited)


def test_what_a_replay_has_not_come_to_yet_is_in_the_next_checkpoint(tmp_path: Path) -> None:
    episode = LateTurns(1, params=PARAMS)

    async def work() -> Group:
        await first(tmp_path, episode, 8.5)
        await second(tmp_path, episode, RolloutConfig(), 2.0)  # nobody has begun to sample
        return await last(tmp_path, episode)

    group, _ = run_virtually(work())
    assert all(one[:3] == [0, 0, 0] and set(one[4:]) == {2} for one in versions(group))


def test_events_of_an_environment_stand_in_a_resumed_attempt_once(tmp_path: Path) -> None:
    async def deed(ctx: RolloutCtx, turn: int) -> None:
        ctx.event("note", turn=turn)

    episode = Turns(3, deed, params=SamplingParams(max_new_tokens=3, temperature=1.0))

    async def work() -> Group:
        await first(tmp_path, episode, 4.5)
        await second(tmp_path, episode, RolloutConfig(), 3.0)
        return await last(tmp_path, episode)

    group, _ = run_virtually(work())
    for one in group.trajectories:
        assert [event.data["turn"] for event in one.events if event.kind == "note"] == [1, 2, 3]


def test_the_experts_of_a_part_come_through(tmp_path: Path) -> None:
    class Routed(Quick):
        async def sample(self, request: SampleRequest, *, on_token: Any = None) -> Completion:
            assert request.params.record_routing
            whole = await super().sample(request)
            if self.version == 0:
                whole.stop = "handed_back"
            read = np.concatenate((request.ids, np.array(whole.ids, np.int32))).astype(np.uint16)
            whole.routing = (read * 10 + self.version).reshape(-1, 1, 1)
            return whole

    episode = Turns(1, params=SamplingParams(max_new_tokens=8, record_routing=True))

    async def begin() -> None:
        async def before(request: SampleRequest) -> None:
            await manager.suspend()

        async with RolloutManager({"live": Routed(before=before)}) as manager:
            manager.submit(request(0, episode, 1))
            await asyncio.sleep(1.0)
            await manager.checkpoint(tmp_path)

    async def work() -> Group | None:
        await begin()
        async with RolloutManager({"live": Routed(version=1)}) as manager:
            manager.restore(tmp_path)
            manager.submit(request(0, episode, 1))
            return await manager.next_group()

    group, _ = run_virtually(work())
    assert group is not None
    (node,) = group.trajectories[0].nodes
    assert node.ids.tolist() == [*GIVEN.tolist(), 7, 8, 7, 8] and node.routing is not None
    assert node.routing.ravel().tolist() == [10, 20, 30, 70, 80, 71, 81]
