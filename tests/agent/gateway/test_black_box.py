"""Black boxes as attempts of the rollout manager."""

import asyncio
from typing import Any

import openai

from manyeyes.agent.answer_rewards import same_number
from manyeyes.agent.gateway.black_box import BlackBox, Place
from manyeyes.agent.gateway.gateway import Gateway
from manyeyes.agent.judge import Rewards
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.core.data_rules import Rules
from manyeyes.core.sampler import SampleRequest
from manyeyes.core.trajectory_checks import check_trajectory

from .gateways import TINY, listening, over, run, sampler, settled, turn

RULES = Rules(vocab_size=TINY.n_vocab)
TASK = Task("sum", "What is 3 + 4?", truth=7)


def counts_up(request: SampleRequest) -> list[int]:
    """Says 6, and 7 once it was asked to look again."""
    return turn("Answer: " + "67"[request.ids.tolist().count(TINY.im_end) > 2])


async def asks_twice(place: Place) -> str:
    """An agent that checks its answer."""
    assert place.task.truth is None
    async with openai.AsyncOpenAI(base_url=place.openai_url, api_key=place.key, max_retries=0) as client:
        messages: list[Any] = [{"role": "user", "content": place.task.prompt}]
        said = ""
        for more in ("Look again.", ""):
            answer = await client.chat.completions.create(model="m", messages=messages)
            said = answer.choices[0].message.content or ""
            messages += [{"role": "assistant", "content": said}, {"role": "user", "content": more}]
    return said


async def attempts(gateway: Gateway, program: Any, *, size: int = 3, **config: Any) -> tuple[Group, RolloutManager]:
    box = BlackBox(gateway, program, judge=Rewards(correct=same_number), name="sums")
    async with RolloutManager({}, config=RolloutConfig(**config)) as manager:
        manager.submit(GroupRequest("0", TASK, box, size=size))
        return await anext(manager.results()), manager


def test_a_black_box_leaves_the_trajectory_of_a_white_box() -> None:
    async def work() -> None:
        fake = sampler(counts_up)
        async with listening(over(fake)) as place:
            group, manager = await attempts(place.gateway, asks_twice)
            assert group.complete and [one.reward for one in group.trajectories] == [1.0] * 3
            assert len(place.gateway.sessions) == 0
        sent = {tuple(request.ids.tolist()) for request in fake.requests}
        for whole in group.trajectories:
            assert [node.parent for node in whole.nodes] == [-1, 0] and not check_trajectory(whole, RULES)
            assert {tuple(whole.path(at).ids.tolist()[: -len(whole.nodes[at].sampled)]) for at in (0, 1)} == sent
            (sample,) = whole.to_samples(1.0)
            assert sample.weights.sum() == sum(len(node.sampled) for node in whole.nodes)
        assert manager.stats.turns == 6
        assert len({request.params.seed for request in fake.requests}) == 6

    run(work)


def test_agents_of_a_black_box_are_agents_of_its_attempt() -> None:
    async def program(place: Place) -> str:
        headers = {"X-Manyeyes-Agent": "helper", "X-Manyeyes-Role": "checks"}
        async with openai.AsyncOpenAI(base_url=place.openai_url, api_key=place.key, max_retries=0) as client:
            body: Any = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
            await client.chat.completions.create(**body)
            await client.chat.completions.create(**body, extra_headers=headers)
        return "Answer: 7"

    async def work() -> None:
        async with listening(over(sampler(counts_up))) as place:
            group, _ = await attempts(place.gateway, program, size=1)
        (whole,) = group.trajectories
        assert [(span.name, span.parent, span.role) for span in whole.agents] == [
            ("main", -1, ""),
            ("main/0", 0, "checks"),
        ]
        assert [node.agent for node in whole.nodes] == [0, 1]

    run(work)


def test_a_program_that_fails_or_hangs_ends_its_attempt_and_its_session() -> None:
    async def fails(place: Place) -> str:
        await asks_twice(place)
        raise RuntimeError("the agent has a bug")

    async def hangs(place: Place) -> str:
        await asks_twice(place)
        await asyncio.Event().wait()
        return ""

    async def work() -> None:
        for program in (fails, hangs):
            async with listening(over(sampler(counts_up))) as place:
                group, _ = await attempts(place.gateway, program, size=2, attempt_seconds=3.0, infra_retries=0)
                assert not group.complete and sum(group.failures.values()) == 2
                assert all(one.reward is None and one.stop != "done" for one in group.trajectories)
                await settled(lambda: len(place.gateway.sessions) == 0)

    run(work)
