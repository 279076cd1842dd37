"""Agents that start agents: thousands of them, cancelled at once, and counted as the swarm counts them."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.budget import Limits
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.failures import AttemptFailed
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.hang_report import awaiting
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.spans import steps
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.journal import Journal, read
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.core.trajectory import Trajectory
from manyeyes.swarm.critical_steps import StepCounter

from ..virtual_time import run_virtually
from .worlds import FOREVER, GIVEN, Quick, request

PARAMS = SamplingParams(max_new_tokens=4)


class Tree:
    """An episode that answers, starts `fan` agents like itself at once, and answers again; leaves do `leaf`."""

    name = "tree"

    def __init__(self, depth: int, fan: int, *, leaf: float = 0.0, policy: Any = "live") -> None:
        self.depth, self.fan, self.leaf, self.policy = depth, fan, leaf, policy

    async def run(self, ctx: RolloutCtx) -> Outcome:
        await ctx.sample(GIVEN, params=PARAMS)
        if self.depth == 0:
            await ctx.waiting("tool", asyncio.sleep(self.leaf))
            return Outcome("done", ctx.agent)
        below = Tree(self.depth - 1, self.fan, leaf=self.leaf, policy=self.policy)
        spawns = (ctx.spawn(Task(str(i), ""), below, role="below", policy=self.policy) for i in range(self.fan))
        outcomes = await asyncio.gather(*spawns)
        await ctx.sample(GIVEN[:1], params=PARAMS)
        return Outcome("done", str(sum(one.finished for one in outcomes)))


async def one(episode: Any, config: RolloutConfig, models: Any) -> Trajectory:
    async with RolloutManager(models, config=config) as manager:
        manager.submit(request(0, episode, 1))
        group = await manager.next_group()
        assert group is not None
        return group.trajectories[0]


FANS = [8, pytest.param(20, marks=pytest.mark.slow)]
"""585 and 8,421 agents."""


@pytest.mark.parametrize("fan", FANS)
def test_thousands_of_agents_three_deep_are_one_trajectory(fan: int) -> None:
    trajectory, _ = run_virtually(one(Tree(3, fan), RolloutConfig(), {"live": Quick()}))
    inner, agents = 1 + fan + fan**2, 1 + fan + fan**2 + fan**3
    assert len(trajectory.agents) == agents and trajectory.stop == "done"
    assert trajectory.agents[0].text == str(fan) and all(span.stop == "done" for span in trajectory.agents)
    assert steps(trajectory) == (2 + 2 + 2 + 1, 2 * inner + fan**3)
    names = {span.name for span in trajectory.agents}
    assert len(names) == agents and all(name == "main" or name.rpartition("/")[0] in names for name in names)


@pytest.mark.parametrize("fan", FANS)
def test_cancelling_the_root_ends_all_of_them_within_a_tick(fan: int) -> None:
    async def work() -> tuple[Group, float, set[str]]:
        config = RolloutConfig(tool_seconds=FOREVER, attempt_seconds=FOREVER)
        async with RolloutManager({"live": Quick()}, config=config) as manager:
            manager.submit(request(0, Tree(3, fan, leaf=FOREVER), 1))
            await asyncio.sleep(10.0)
            assert manager.snapshot().waiting_for["tool"] == fan**3
            before = asyncio.get_running_loop().time()
            manager.cancel("0")
            group = await manager.next_group()
            assert group is not None
            after = asyncio.get_running_loop().time()
            assert not any(manager.snapshot().waiting_for.values())
            left = {task.get_name() for task in asyncio.all_tasks()} - {"main"}
            return group, after - before, left

    (group, seconds, left), _ = run_virtually(work())
    assert group.failures == {"cancelled": 1} and seconds <= 0.05 and len(left) == 1  # this test's own
    assert {span.stop for span in group.trajectories[0].agents} == {"cancelled"}


def test_children_of_a_parent_whose_time_is_over_end_with_it() -> None:
    config = RolloutConfig(attempt_seconds=20.0, infra_retries=0, tool_seconds=FOREVER)
    trajectory, seconds = run_virtually(one(Tree(2, 3, leaf=FOREVER), config, {"live": Quick()}))
    assert trajectory.stop == "failed" and seconds < 22.0
    assert all(span.stop for span in trajectory.agents)


def test_a_child_may_not_outlive_its_parent_whatever_it_is_allowed() -> None:
    limits: list[int] = []

    class Noting(Tree):
        async def run(self, ctx: RolloutCtx) -> Outcome:
            limits.append(ctx.limit)
            if not ctx.depth:
                for seconds in (1.0, FOREVER):
                    task = Task("below", "", limits=Limits(seconds=seconds))
                    await ctx.spawn(task, Noting(0, 0), role="below", policy="live")
            return Outcome("done", "")

    run_virtually(one(Noting(1, 1), RolloutConfig(attempt_seconds=1000.0), {"live": Quick()}))
    main, short, long = limits
    assert short < main and long == main


class Detached:
    """Starts agents and does not wait for them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def run(self, ctx: RolloutCtx) -> Outcome:
        leaf = Tree(0, 0, leaf=FOREVER)
        self.tasks = [asyncio.create_task(ctx.spawn(Task("x", ""), leaf, role="r", policy="live")) for _ in "abc"]
        await ctx.waiting("tool", asyncio.sleep(self.seconds))
        return Outcome("done", "")


def test_time_of_children_is_time_of_their_parent() -> None:
    class OneByOne:
        async def run(self, ctx: RolloutCtx) -> Outcome:
            for _ in range(9):
                await ctx.spawn(Task("x", ""), Tree(0, 0, leaf=10.0), role="r", policy="live")
            return Outcome("done", "")

    config = RolloutConfig(attempt_seconds=25.0, infra_retries=0, tool_seconds=FOREVER)
    trajectory, seconds = run_virtually(one(OneByOne(), config, {"live": Quick()}))
    assert trajectory.masked.startswith("timeout") and 25.0 <= seconds < 27.0


def test_agents_end_with_those_that_started_them() -> None:
    episode = Detached(1.0)
    trajectory, _ = run_virtually(one(episode, RolloutConfig(), {"live": Quick()}))
    assert [span.stop for span in trajectory.agents] == ["done", "cancelled", "cancelled", "cancelled"]
    assert all(task.cancelled() for task in episode.tasks)


def test_cancelling_reaches_agents_whose_parents_do_not_wait_for_them() -> None:
    async def work() -> tuple[Trajectory, list[bool]]:
        episode = Detached(FOREVER)
        async with RolloutManager({"live": Quick()}) as manager:
            manager.submit(request(0, episode, 1))
            await asyncio.sleep(1.0)
            manager.cancel("0")
            group = await manager.next_group()
            await asyncio.sleep(0.0)
            assert group is not None
            return group.trajectories[0], [task.cancelled() for task in episode.tasks]

    (trajectory, cancelled), _ = run_virtually(work())
    assert [span.stop for span in trajectory.agents] == ["cancelled"] * 4 and cancelled == [True] * 3


def test_depth_and_number_are_bounded_and_a_refusal_can_be_read() -> None:
    deep, _ = run_virtually(one(Tree(9, 1), RolloutConfig(most_depth=3), {"live": Quick()}))
    assert len(deep.agents) == 4 and deep.stop == "done" and deep.agents[3].text == "0"
    many, _ = run_virtually(one(Tree(1, 9), RolloutConfig(most_agents=5), {"live": Quick()}))
    assert len(many.agents) == 5 and many.agents[0].text == "4"


def test_a_child_that_fails_is_an_outcome_and_its_siblings_go_on() -> None:
    class Fails:
        async def run(self, ctx: RolloutCtx) -> Outcome:
            raise KeyError("by plan")

    class Parent:
        async def run(self, ctx: RolloutCtx) -> Outcome:
            found = [await ctx.spawn(Task("x", ""), one, role="r", policy="live") for one in (Fails(), Tree(0, 0))]
            return Outcome("done", " ".join(outcome.stop for outcome in found))

    trajectory, _ = run_virtually(one(Parent(), RolloutConfig(), {"live": Quick()}))
    assert trajectory.agents[0].text == "error done" and "KeyError" in trajectory.agents[1].reason


def test_frozen_agents_have_their_own_sampler_and_carry_no_loss() -> None:
    live, frozen = Quick((7, 8)), Quick((9,))
    trajectory, _ = run_virtually(one(Tree(1, 3, policy="frozen"), RolloutConfig(), {"live": live, "frozen": frozen}))
    assert len(frozen.requests) == 3 and len(live.requests) == 2
    samples = trajectory.to_samples(1.0)
    assert sum(sample.weights.sum() for sample in samples) == 4.0


def orchestrator(agents: int, turns: int) -> Any:
    """A policy of texts: starts more agents with each answer, some of which start agents themselves."""

    def answer(messages: Any) -> Message:
        said, level = sum(message.role == "assistant" for message in messages), int(messages[0].text)
        if level == 0 or said == turns:
            return assistant("end")
        levels = [level - 1 - i % 2 * (level > 1) for i in range(agents + said)]
        return assistant("", calls=tuple(_call(one, i) for i, one in enumerate(levels)))

    return answer


def _call(level: int, number: int) -> ToolCall:
    return ToolCall(f"c{number}", "delegate", f'{{"level": {level}}}')


def delegating(ctx: Ctx) -> Functions:
    async def delegate(level: int) -> str:
        """Have somebody do it.

        Args:
            level: how much deeper it goes.
        """
        outcome = await ctx.spawn(Task(str(level), str(level)), Environment(delegating), role="below")
        return outcome.text

    return Functions([delegate], seconds=1000.0)


@pytest.mark.parametrize(("agents", "turns", "level"), [(1, 1, 1), (3, 2, 1), (2, 2, 2), (3, 3, 2)])
def test_critical_steps_are_those_of_the_swarm(agents: int, turns: int, level: int, tmp_path: Path) -> None:
    task = Task("main", str(level))

    async def as_a_swarm() -> StepCounter:
        with Journal(tmp_path) as journal:
            await AgentRun(journal, Scripted(orchestrator(agents, turns))).start(task, Environment(delegating))
        counter = StepCounter()
        for event in read(tmp_path).events:
            counter.take(event)
        return counter

    async def as_a_rollout() -> Trajectory:
        model = Scripted(orchestrator(agents, turns))
        async with RolloutManager({"live": model, "frozen": model}) as manager:
            manager.submit(replace(request(0, Environment(delegating), 1), task=task))
            group = await manager.next_group()
            assert group is not None and group.complete
            return group.trajectories[0]

    counter, _ = run_virtually(as_a_swarm())
    trajectory, _ = run_virtually(as_a_rollout())
    found = steps(trajectory)
    assert (found.critical, found.total) == (counter.critical, counter.total) and found.total > 1


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_in_any_storm_of_trees_suspensions_and_cancellations_all_of_them_end_once(seed: int) -> None:
    draw = random.Random(seed)
    released = asyncio.Event()

    class Stormy:
        """Does anything at all, and starts agents that do."""

        async def run(self, ctx: RolloutCtx) -> Outcome:
            for _ in range(draw.randint(1, 3)):
                await ctx.sample(GIVEN, params=PARAMS)
                await ctx.waiting("tool", self.deed(ctx))
            return Outcome("done", "")

        async def deed(self, ctx: RolloutCtx) -> None:
            match draw.random():
                case x if x < 0.4 and ctx.depth < 3:
                    spawns = (
                        ctx.spawn(Task("x", "", limits=Limits(seconds=draw.choice([5.0, FOREVER]))), self, role="r")
                        for _ in range(draw.randint(1, 3))
                    )
                    await asyncio.gather(*spawns)
                case x if x < 0.45:
                    raise AttemptFailed(draw.choice(["bad_task", "tool"]), "by plan")
                case x if x < 0.5:
                    await asyncio.sleep(FOREVER)
                case x if x < 0.53:
                    raise asyncio.CancelledError
                case x if x < 0.55:
                    while not released.is_set():
                        with suppress(asyncio.CancelledError):
                            await released.wait()
                case _:
                    await asyncio.sleep(draw.expovariate(1.0))

    async def before(asked: SampleRequest) -> None:
        await asyncio.sleep(draw.expovariate(2.0))

    async def disturbs(manager: RolloutManager) -> None:
        while True:
            await asyncio.sleep(draw.expovariate(0.3))
            manager.cancel(str(draw.randrange(12)))
            await manager.suspend()
            await asyncio.sleep(draw.expovariate(1.0))
            await manager.go_on()

    async def work() -> None:
        config = RolloutConfig(
            most_running=9, tool_seconds=3.0, model_seconds=6.0, infra_retries=1, attempt_seconds=60.0
        )
        sampler = Quick(before=before)
        async with RolloutManager({"live": sampler, "frozen": sampler}, config=config) as manager:
            for number in range(12):
                manager.submit(request(number, Stormy(), draw.randint(1, 3)))
            disturbing = asyncio.create_task(disturbs(manager))
            groups = [group async for group in manager.results()]
            disturbing.cancel()
            await asyncio.wait([disturbing])
            seen = manager.snapshot()
            names = Counter(trajectory.name for group in groups for trajectory in group.trajectories)
            assert len(groups) == 12 and set(names.values()) == {1} and len(names) == seen.submitted
            assert seen.finished + seen.failed + seen.cancelled == seen.submitted
            assert not any(seen.waiting_for.values()) and seen.running == seen.queued == 0
            assert all(trajectory.stop for group in groups for trajectory in group.trajectories)
            released.set()
            await asyncio.sleep(1.0)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others, [awaiting(task) for task in others]

    async def to_the_end() -> None:
        try:
            await work()
        finally:
            released.set()  # or nobody could end what does not end by itself

    run_virtually(to_the_end())
