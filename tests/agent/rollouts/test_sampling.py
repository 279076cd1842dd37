"""A completion comes to its end whatever comes in between, and what was nobody's fault is asked again."""

from typing import Any

import pytest

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.sampler import RequestError, SampleRequest, SamplerError

from ..virtual_time import run_virtually
from .worlds import Quick, Turns, request


async def one_attempt(sampler: Quick) -> Any:
    config = RolloutConfig(model_tries=2, infra_retries=0)
    async with RolloutManager({"live": sampler}, config=config) as manager:
        manager.submit(request(0, Turns(1), 1))
        return await manager.next_group()


@pytest.mark.parametrize(("failures", "complete", "asked"), [(1, True, 2), (2, True, 3), (3, False, 3)])
def test_a_request_that_fails_is_asked_again_as_often_as_it_may(failures: int, complete: bool, asked: int) -> None:
    left = [SamplerError("cut")] * failures

    async def before(request: SampleRequest) -> None:
        if left:
            raise left.pop()

    sampler = Quick(before=before)
    group, _ = run_virtually(one_attempt(sampler))
    assert group.complete == complete and len(sampler.requests) == asked


def test_a_request_that_is_at_fault_is_not_asked_again() -> None:
    async def before(request: SampleRequest) -> None:
        raise RequestError("no such token")

    sampler = Quick(before=before)
    group, _ = run_virtually(one_attempt(sampler))
    assert group.failures == {"environment_bug": 1} and len(sampler.requests) == 1
