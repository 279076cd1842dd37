"""The text loop as an attempt: turns become nodes, everything else events, and sub-agents are part of the world."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.budget import Limits
from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.context import DiscardAll
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case, Rewards
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.toolset import Functions
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.media import MediaRules
from manyeyes.core.messages import Message, ToolCall, assistant, user
from manyeyes.core.sampler import SampleRequest
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import UNROUTED

from ..test_token_chat import picture, said
from ..virtual_time import run_virtually
from .worlds import FOREVER, request

TINY = Tokenizer.tiny()


async def one(environment: Environment, models: Any, *, size: int = 1, config: RolloutConfig | None = None) -> Group:
    async with RolloutManager(models, config=config or RolloutConfig(infra_retries=0)) as manager:
        manager.submit(request(0, environment, size))
        group = await manager.next_group()
        assert group is not None
        return group


def chat(script: Any) -> tuple[TokenChat, FakeSampler]:
    sampler = FakeSampler(script, vocab_size=TINY.n_vocab)
    return TokenChat(sampler, TINY, MediaRules(patch_size=8)), sampler


def call(name: str, number: int, arguments: str = "{}") -> Message:
    return assistant("", reasoning="", calls=(ToolCall(f"functions.{name}:{number}", name, arguments),))


async def show() -> Any:
    """Show something."""
    return picture()


def test_turns_are_nodes_that_say_what_the_sampler_saw() -> None:
    turns = [call("show", 0), call("show", 1), assistant("end", reasoning="")]

    def script(asked: SampleRequest) -> list[int]:
        return said(turns[asked.ids.tolist().count(TINY.calls_begin)])

    model, sampler = chat(script)
    group, _ = run_virtually(one(Environment(lambda ctx: Functions([show]), name="shows"), {"live": model}))
    (trajectory,) = group.trajectories
    assert len(trajectory.nodes) == 3 and [node.parent for node in trajectory.nodes] == [-1, 0, 1]
    path = trajectory.path(2)
    last = sampler.requests[-1]
    assert path.ids.tolist() == [*last.ids.tolist(), *trajectory.nodes[2].sampled.tolist()]
    assert len(path.media) == len(last.media) == 2 and trajectory.environment == "shows"
    (sample,) = trajectory.to_samples(1.0)
    assert sample.weights.sum() == sum(len(node.sampled) for node in trajectory.nodes)
    tools = [event for event in trajectory.events if event.kind == "tool"]
    assert [event.node for event in tools] == [0, 1]
    assert tools[0].data["result"]["parts"][0]["image"].startswith("data:image/png;base64,")


def test_a_turn_whose_parent_is_of_another_attempt_is_a_root_with_all_of_it() -> None:
    """Conversations that read the same share their turns in a chat; a trajectory holds all that its agent saw."""

    async def work() -> list[Group]:
        model, _ = chat(lambda asked: said(assistant("yes", reasoning="")))
        first = await model.complete([user("do it")])
        assert first.sampled is not None
        routing = np.arange(len(first.sampled.added) + len(first.sampled.ids), dtype=np.uint16).reshape(-1, 1, 1)

        class Goes:
            async def run(self, ctx: RolloutCtx) -> Outcome:
                reply = await ctx.chat().complete([user("do it"), first.message, user("again")])
                assert reply.sampled is not None and reply.sampled.parent is first.sampled
                length = len(reply.sampled.added) + len(reply.sampled.ids)
                ctx.answered(replace(reply, sampled=replace(reply.sampled, routing=routing[:1].repeat(length, 0))))
                return Outcome("done", "")

        async with RolloutManager({"live": model}) as manager:
            manager.submit(request(0, Goes(), 1))
            groups = [group async for group in manager.results()]
        (node,) = groups[0].trajectories[0].nodes
        seen = len(first.sampled.stream)
        assert node.parent == -1 and node.ids[:seen].tolist() == first.sampled.stream.tolist()
        assert node.routing is not None and len(node.routing) == len(node.ids)
        assert (node.routing[:seen] == UNROUTED).all() and (node.routing[seen:] == 0).all()
        return groups

    assert run_virtually(work())[0][0].complete


def test_a_restart_is_another_branch_and_an_event() -> None:
    turns = iter([call("show", 0), call("show", 1), assistant("end", reasoning="")])
    model, _ = chat(lambda asked: said(next(turns)))
    environment = Environment(lambda ctx: Functions([show]), context=DiscardAll(threshold=60.0))
    group, _ = run_virtually(one(environment, {"live": model}))
    (trajectory,) = group.trajectories
    kinds = [event.kind for event in trajectory.events]
    assert "reset" in kinds and "hidden" in kinds and len(trajectory.leaves) > 1


def delegating(ctx: Ctx) -> Functions:
    async def ask(question: str) -> str:
        """Ask somebody.

        Args:
            question: what.
        """
        below = Environment(lambda ctx: Functions([]), "HELP")
        return (await ctx.spawn(Task("below", question), below, role="helper")).text

    return Functions([ask], seconds=1000.0)


def test_a_frozen_sub_agent_is_recorded_and_never_trained_on() -> None:
    def script(asked: SampleRequest) -> list[int]:
        if "HELP" in TINY.decode(asked.ids.tolist()):
            return said(assistant("yes", reasoning=""))
        done = asked.ids.tolist().count(TINY.calls_begin)
        return said(call("ask", 0, '{"question":"q"}') if done == 0 else assistant("end", reasoning=""))

    live, _ = chat(script)
    frozen, frozen_sampler = chat(script)
    group, _ = run_virtually(one(Environment(delegating), {"live": live, "frozen": frozen}))
    (trajectory,) = group.trajectories
    assert [(span.name, span.policy, span.parent, span.node) for span in trajectory.agents] == [
        ("main", "live", -1, -1), ("main/0", "frozen", 0, 0)
    ]  # fmt: skip
    assert len(frozen_sampler.requests) == 1 and [node.agent for node in trajectory.nodes] == [0, 1, 0]
    assert trajectory.agents[1].call == "functions.ask:0" and trajectory.agents[1].text == "yes"
    (sample,) = trajectory.to_samples(1.0)
    trained = sum(len(node.sampled) for node in trajectory.nodes if node.agent == 0)
    assert sample.weights.sum() == trained


def test_no_frozen_model_is_a_failure_that_the_parent_can_read() -> None:
    turns = iter([call("ask", 0, '{"question":"q"}'), assistant("end", reasoning="")])
    model, _ = chat(lambda asked: said(next(turns)))
    group, _ = run_virtually(one(Environment(delegating), {"live": model}))
    span = group.trajectories[0].agents[1]
    assert span.stop == "error" and "'frozen' model" in span.reason and group.complete


def test_the_judge_sees_the_task_the_outcome_and_the_trajectory() -> None:
    cases: list[Case] = []

    async def right(case: Case) -> float:
        cases.append(case)
        return 0.5

    environment = Environment(lambda ctx: Functions([]), judge=Rewards(right=right))
    group, _ = run_virtually(one(environment, {"live": Scripted([assistant("42")])}))
    (case,) = cases
    assert (case.task.id, case.outcome.text, case.trajectory) == ("task", "42", group.trajectories[0])
    assert group.rewards == [0.5] and group.trajectories[0].rewards == {"right": 0.5}
    assert [event.kind for event in group.trajectories[0].events] == ["reply", "judge"]


@pytest.mark.parametrize(("kind", "cause"), [("endpoint", "model"), ("quota", "model"), ("request", "environment_bug")])
def test_a_model_that_gives_no_answer_fails_the_attempt(kind: Any, cause: str) -> None:
    def answer(messages: Any) -> Message:
        raise ModelError("no", kind=kind)

    group, _ = run_virtually(one(Environment(lambda ctx: Functions([])), {"live": Scripted(answer)}))
    assert group.failures == {cause: 1} and group.trajectories[0].stop == "failed"


def test_a_model_that_is_silent_runs_out_of_time() -> None:
    config = RolloutConfig(model_seconds=20.0, infra_retries=0)
    model = Scripted([assistant("late")], seconds=FOREVER)
    group, seconds = run_virtually(one(Environment(lambda ctx: Functions([])), {"live": model}, config=config))
    assert group.failures == {"model": 1} and seconds < 25.0


def test_a_tool_that_hangs_is_a_result_that_says_so() -> None:
    async def sleep() -> str:
        """Sleep."""
        await asyncio.sleep(FOREVER)
        return "woke up"

    turns = [call("sleep", 0), assistant("end")]
    environment = Environment(lambda ctx: Functions([sleep], seconds=FOREVER))
    config = RolloutConfig(tool_seconds=10.0)
    group, seconds = run_virtually(one(environment, {"live": Scripted(turns)}, config=config))
    (trajectory,) = group.trajectories
    tool = next(event for event in trajectory.events if event.kind == "tool")
    assert tool.data["result"]["failure"] == "timeout" and group.complete and seconds < 15.0


def test_a_tool_that_crashes_is_a_result_that_says_so() -> None:
    class Crashing(Functions):
        async def call(self, call: ToolCall) -> Any:
            raise RuntimeError("boom")

    turns = [call("x", 0), assistant("end")]
    group, _ = run_virtually(one(Environment(lambda ctx: Crashing([])), {"live": Scripted(turns)}))
    tool = next(event for event in group.trajectories[0].events if event.kind == "tool")
    assert tool.data["result"]["failure"] == "crash" and group.complete


def test_a_sub_agent_takes_its_time_without_its_call_running_out_of_it() -> None:
    def answer(messages: Any) -> Message:
        done = sum(message.role == "tool" for message in messages)
        if "HELP" in messages[0].text:
            return assistant("yes")
        return assistant("end") if done else call("ask", 0, '{"question":"q"}')

    model = Scripted(answer, seconds=30.0)
    config = RolloutConfig(tool_seconds=10.0)
    group, _ = run_virtually(one(Environment(delegating), {"live": model, "frozen": model}, config=config))
    assert group.complete and group.trajectories[0].agents[1].text == "yes"


def test_a_child_ends_no_later_than_its_parent_and_spends_its_parents_tokens() -> None:
    def answer(messages: Any) -> Message:
        if "HELP" in messages[0].text:
            return assistant("x" * 4000)
        return assistant("end") if messages[-1].role == "tool" else call("ask", 0, '{"question":"q"}')

    model = Scripted(answer)
    environment = Environment(delegating, limits=Limits(tokens=1500.0))
    group, _ = run_virtually(one(environment, {"live": model, "frozen": model}))
    assert group.trajectories[0].stop == "token_cap"
