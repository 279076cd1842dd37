"""What orchestrators are asked: the same tasks alone and as a swarm, all of which the registry can make."""

import dataclasses

import pytest

from manyeyes.agent.registry import Found, Registry
from manyeyes.core.errors import ConfigError
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce.post_swarm import BENCH, PARL, TASKS, asked, orchestrated
from manyeyes.recipes.rl_run import RlRun
from manyeyes.swarm import parl_environment, swarm_bench

REGISTRY = Registry(
    {
        "environments": {PARL: parl_environment.environment, BENCH: parl_environment.environment},
        "task_sources": {PARL: parl_environment.task_source, BENCH: swarm_bench.task_source},
    },
    installed=Found(()),
)


@pytest.fixture
def run() -> RlRun:
    made = recipe("tiny.parl")
    assert isinstance(made, RlRun)
    return made


def test_every_benchmark_can_be_made_alone_and_as_a_swarm_with_the_same_tasks(run: RlRun) -> None:
    for name in TASKS:
        made = []
        for mode in ("alone", "swarm"):
            [one] = asked(run, (name,), mode=mode, count=5)
            environment = REGISTRY.environment(one.place.environment, **one.place.world)
            task = REGISTRY.task_source(one.place.environment, seed=3, split="test", **one.place.tasks).next()
            assert isinstance(environment, parl_environment.Parl) and environment.mode == mode and task is not None
            made.append((task.id, task.prompt))
        assert made[0] == made[1]


def test_a_swarm_keeps_the_recipes_world(run: RlRun) -> None:
    own = dataclasses.replace(orchestrated(run), world={"budget": 11})
    changed = dataclasses.replace(run, places=(own,))
    assert [one.place.world for one in asked(changed, ("deep",), mode="swarm", count=5)] == [{"budget": 11}]
    assert orchestrated(changed) == own


def test_a_run_without_orchestrators_is_refused(run: RlRun) -> None:
    place = dataclasses.replace(orchestrated(run), environment="thoughts")
    with pytest.raises(ConfigError, match="expected a place of environment 'parl', got thoughts"):
        orchestrated(dataclasses.replace(run, places=(place,)))
