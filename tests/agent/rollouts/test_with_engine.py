"""Rollouts over the embedded engine: suspended again and again, and on with newer weights, token by token as it was."""

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig

from ...inference.small_model import full_log_probs, small_config, small_model
from .worlds import request

PAD = small_config().media_placeholder_token_id
ROOMY = EngineConfig(cache_tokens=4096, max_rows=32, step_tokens=2048)


@dataclass
class Echoes:
    """Three turns; each is given what was sampled last, backwards."""

    name: str = "echoes"
    params: SamplingParams = SamplingParams(max_new_tokens=24, temperature=0.9, never=frozenset({PAD}))

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        ctx.state = 0
        return TokenObservation(np.array([5, 6, 7 + ctx.attempt.number], np.int32))

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        ctx.state += 1
        again = TokenObservation(np.array(completion.ids[:3][::-1], np.int32))
        return TokenStep(again if ctx.state < 3 else None, {"turns": 1.0})

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> None:
        return None


async def rolled_out(engine: AsyncEngine, *, every: int = 0, publish: bool = False) -> Group:
    """A group; suspended each time that the engine has made so many steps."""
    async with RolloutManager({"live": engine}) as manager:
        manager.submit(request(0, Echoes(), 4, seed=3))
        waiting, steps, version = asyncio.ensure_future(manager.next_group()), 0, 0
        while not waiting.done():
            await asyncio.sleep(0.0005)
            if every and engine.figures.steps - steps >= every:
                await manager.suspend()
                if publish:
                    version += 1
                    await engine.publish(version, small_model(seed=version).state_dict())
                    manager.set_version(version)
                await manager.go_on()
                steps = engine.figures.steps
        group = waiting.result()
        assert group is not None and group.complete
        return group


@pytest.mark.slow
def test_a_rollout_that_is_suspended_again_and_again_is_the_one_that_is_not() -> None:
    async def work() -> None:
        async with AsyncEngine(small_model(), config=ROOMY) as engine:
            whole = await rolled_out(engine)
            parts = await rolled_out(engine, every=3)
            suspended = [one for trajectory in parts.trajectories for one in trajectory.events]
            assert sum(event.kind == "suspended" for event in suspended) > 2
            for one, other in zip(whole.trajectories, parts.trajectories, strict=True):
                for a, b in zip(one.nodes, other.nodes, strict=True):
                    assert a.ids.tolist() == b.ids.tolist() and set(b.versions.tolist()) == {0}
                    np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)

    asyncio.run(asyncio.wait_for(work(), 120))


@pytest.mark.slow
def test_every_token_has_the_log_probability_of_the_version_that_it_names() -> None:
    async def work() -> Group:
        async with AsyncEngine(small_model(), config=ROOMY) as engine:
            return await rolled_out(engine, every=8, publish=True)

    group = asyncio.run(asyncio.wait_for(work(), 120))
    span = group.version_span
    assert span is not None and span[1] > span[0]
    for trajectory in group.trajectories:
        path = trajectory.path(trajectory.leaves[0])
        assert len(set(path.versions[path.sampled].tolist())) >= 2
        for version in sorted(set(path.versions[path.sampled].tolist())):
            model = small_model(seed=version) if version else small_model()
            behind = SampleRequest(path.ids[:1], params=Echoes().params)
            told = np.array(full_log_probs(model, behind, path.ids[1:].tolist()), np.float32)
            here = np.flatnonzero(path.sampled & (path.versions == version))
            np.testing.assert_allclose(path.logprobs[here], told[here - 1], atol=1e-3)
