"""An environment of words over ids of another template than K2.5's."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.adapters.one_answer import OneAnswer
from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, Rewards
from manyeyes.agent.prompting.module import PromptModule
from manyeyes.agent.prompting.system_style import SystemStyle
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Together, ToolResult, Toolset
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.messages import Message, Tool
from manyeyes.core.sampler import SamplingParams

END = 127


class Bytes:
    """A letter a token."""

    stops = frozenset({END})

    def prompt(self, messages: Sequence[Message]) -> NDArray[np.int32]:
        text = "".join(f"[{message.role}]{message.text}" for message in messages) + "[assistant]"
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def text(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i != END).decode()


def environment(*modules: PromptModule, tools: Toolset | None = None) -> tuple[Environment, list[Case]]:
    seen: list[Case] = []

    def right(case: Case) -> float:
        seen.append(case)
        return float(case.outcome.text == case.task.truth and case.outcome.finished)

    made = Environment(
        lambda ctx: tools or Together(), system="Be brief.", judge=Rewards(right=right), name="sums", modules=modules
    )
    return made, seen


def rolled_out(one: OneAnswer, sampler: FakeSampler, *, size: int = 1) -> Group:
    async def run() -> Group:
        config = RolloutConfig(infra_retries=0, judge_tries=0)
        async with RolloutManager({"live": sampler}, config=config) as manager:
            manager.submit(GroupRequest("0", Task("sums/0", "1 + 2?", "3"), one, size))
            group = await manager.next_group()
            assert group is not None
            return group

    return asyncio.run(run())


def says(text: str, *, ends: bool = True) -> FakeSampler:
    return FakeSampler(lambda request: [*text.encode(), *([END] if ends else [])], vocab_size=128)


PARAMS = SamplingParams(max_new_tokens=4, temperature=1.0)


def test_the_judge_sees_the_text_and_the_trajectory_holds_the_ids() -> None:
    made, seen = environment()
    sampler = says("3")
    group = rolled_out(OneAnswer.of(made, Bytes(), PARAMS), sampler, size=2)
    assert [one.reward for one in group.trajectories] == [1.0, 1.0] and group.complete
    assert bytes(sampler.requests[0].ids.tolist()).decode() == "[system]Be brief.[user]1 + 2?[assistant]"
    assert sampler.requests[0].params.seed != sampler.requests[1].params.seed
    (node,) = group.trajectories[0].nodes
    assert node.ids[node.given :].tolist() == [ord("3"), END]
    assert seen[0].outcome.stop == "done" and seen[0].trajectory is not None


def test_a_judge_is_told_where_an_answer_was_cut_off() -> None:
    made, seen = environment()
    group = rolled_out(OneAnswer.of(made, Bytes(), SamplingParams(max_new_tokens=1)), says("3 or so", ends=False))
    assert seen[0].outcome.stop == "cut_off" and group.trajectories[0].reward == 0.0


def test_prompt_modules_hold_here_too() -> None:
    made, seen = environment(SystemStyle())
    sampler = says("3")
    group = rolled_out(OneAnswer.of(made, Bytes(), PARAMS), sampler)
    assert group.trajectories[0].variant == seen[0].variant != {}


def test_tools_are_refused() -> None:
    class Clock:
        tools = (Tool("now", "The time.", {"type": "object", "properties": {}}),)

        async def open(self) -> None: ...
        async def close(self) -> None: ...
        async def call(self, call: Any) -> ToolResult:
            raise AssertionError("nobody calls it")

    made, _ = environment(tools=Clock())
    group = rolled_out(OneAnswer.of(made, Bytes(), PARAMS), says("3"))
    assert "has tools" in str(group.trajectories[0].agents[0].reason) and not group.complete
