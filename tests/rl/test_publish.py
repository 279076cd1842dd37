"""Published weights are the trainer's, under the version that was named; a sampler is never set back."""

import asyncio

import pytest

from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.rl.publish import catch_up, publish

from ..train.small_system import system
from .loop_worlds import ModelSampler
from .rollout_samples import one_thread as one_thread


def test_the_sampler_has_the_trainers_weights_afterwards_and_a_copy_of_them() -> None:
    sampler, model = ModelSampler(system(0).main), system(1).main
    assert asyncio.run(publish(sampler, model, version=3)) >= 0 and sampler.version == 3
    assert sampler.model.head_weight.equal(model.head_weight)
    model.head_weight.data.zero_()
    assert not sampler.model.head_weight.equal(model.head_weight)


def test_a_sampler_that_keeps_its_version_is_an_error() -> None:
    class Deaf(ModelSampler):
        async def publish(self, version: int, tensors: object, *, hand_back: bool = False) -> None:
            pass

    with pytest.raises(ManyeyesError, match="version 1 was published, but the sampler says it has 0"):
        asyncio.run(publish(Deaf(system().main), system().main, version=1))


def test_only_a_sampler_that_is_behind_is_brought_up() -> None:
    sampler = ModelSampler(system().main)
    for version, published in ((0, []), (2, [2]), (2, [2])):
        asyncio.run(catch_up(sampler, sampler.model, version=version))
        assert sampler.published == published
    with pytest.raises(ConfigError, match="sampler has version 2"):
        asyncio.run(catch_up(sampler, sampler.model, version=1))
