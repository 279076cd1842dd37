"""Interrupted at every token and resumed, within the process and over its end: nothing of what was sampled differs."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case, Rewards
from manyeyes.agent.rollouts.captured_sampler import CapturedSampler
from manyeyes.agent.rollouts.checkpoint import SUSPENDED, RolloutCheckpointError
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.toolset import Functions, tool
from manyeyes.core import fakes
from manyeyes.core.errors import ConfigError
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.media import MediaRules
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Trajectory

from ..test_token_chat import said
from ..virtual_time import run_virtually
from .worlds import request

TINY = Tokenizer.tiny()
VOCAB = 50


class Draws:
    """A token environment of three turns: what is given follows from what was sampled; every turn looks things up."""

    name = "draws"
    params = SamplingParams(max_new_tokens=5, temperature=1.0, stop_ids=frozenset({3}))

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        ctx.state = [0]
        return TokenObservation(np.array([1, 2, ctx.attempt.number + 4], np.int32))

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        ctx.state.append(sum(completion.ids))
        result = await ctx.call(TOOLS, ToolCall("c", "look_up", f'{{"key": "{ctx.state}"}}'), position=0)
        await asyncio.sleep(0.3)
        if len(ctx.state) == 3:
            await ctx.spawn(Task("below", ""), Below(), role="helper", policy="live")
        given = np.array([len(result.text) % VOCAB, ctx.state[-1] % VOCAB], np.int32)
        return TokenStep(TokenObservation(given) if len(ctx.state) < 4 else None, {"sum": float(ctx.state[-1])})

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> None:
        return None


class Below(Draws):
    """A sub-agent of one turn."""

    name = "below"

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        return TokenStep(None, {}, "over")


@tool(repeatable=True)
async def look_up(key: str) -> str:
    """Look something up.

    Args:
        key: what.
    """
    await asyncio.sleep(0.2)
    return f"value of {key}"


TOOLS = Functions([look_up])


def asking(ctx: Ctx) -> Functions:
    async def ask(question: str) -> str:
        """Ask somebody.

        Args:
            question: what.
        """
        outcome = await ctx.spawn(
            Task("below", question), Environment(lambda ctx: Functions([]), "HELP"), role="helper"
        )
        return f"{outcome.stop}: {outcome.text}"

    return Functions([look_up, ask])


def texts() -> Environment:
    async def words(case: Case) -> float:
        return float(len(case.outcome.text))

    return Environment(asking, "MAIN", judge=Rewards(words=words), sampling=Sampling(max_tokens=40), name="texts")


def script(asked: SampleRequest) -> list[int]:
    """What an agent of `texts` says next, as far as it has not said it."""
    before = asked.ids[: len(asked.ids) - asked.drawn].tolist()
    done = before.count(TINY.calls_begin)
    if "HELP" in TINY.decode(before):
        answer = said(assistant("yes", reasoning=""))
    elif done == 0:
        answer = said(assistant("a", reasoning="", calls=(ToolCall("functions.look_up:0", "look_up", '{"key":"k"}'),)))
    elif done == 1:
        answer = said(assistant("", reasoning="", calls=(ToolCall("functions.ask:1", "ask", '{"question":"q"}'),)))
    else:
        answer = said(assistant("end", reasoning=""))
    return [*answer, TINY.im_end][asked.drawn :] or [TINY.im_end]


@dataclass
class World:
    """Makes what a process begins with: a sampler that counts its tokens, and a manager over it."""

    text: bool
    tokens: int = 0
    interrupt: int = 0
    every: int = 0
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    manager: RolloutManager | None = None

    def begin(self, config: RolloutConfig) -> RolloutManager:
        if self.text:
            sampler = FakeSampler(script, vocab_size=TINY.n_vocab, pace=self.pace)
            chat = TokenChat(CapturedSampler(sampler), TINY, MediaRules(patch_size=8))
            self.sampler, models = sampler, {"live": chat, "frozen": chat}
        else:
            self.sampler = FakeSampler(vocab_size=VOCAB, pace=self.pace)
            models = {"live": self.sampler, "frozen": self.sampler}
        self.manager = RolloutManager(models, config=config)  # pyright: ignore[reportArgumentType]
        return self.manager

    async def pace(self) -> None:
        self.tokens += 1
        if self.tokens == self.interrupt or (self.every and self.tokens % self.every == 0):
            assert self.manager is not None
            await self.manager.suspend()
            self.interrupted.set()

    def submit(self, manager: RolloutManager) -> None:
        manager.submit(request(0, texts(), 1, seed=11) if self.text else request(0, Draws(), 2, seed=11))


async def uninterrupted(world: World) -> Group:
    async with world.begin(RolloutConfig()) as manager:
        world.submit(manager)
        group = await manager.next_group()
        assert group is not None
        return group


async def within_the_process(world: World, version: int) -> Group:
    async with world.begin(RolloutConfig()) as manager:
        world.submit(manager)
        await world.interrupted.wait()
        await asyncio.sleep(5.0)
        await world.sampler.publish(version, {})
        await manager.go_on()
        group = await manager.next_group()
        assert group is not None
        return group


async def over_its_end(world: World, folder: Path, version: int) -> Group:
    async with world.begin(RolloutConfig()) as manager:
        world.submit(manager)
        await world.interrupted.wait()
        await manager.checkpoint(folder)
    world.interrupt = 0
    async with world.begin(RolloutConfig()) as manager:
        await world.sampler.publish(version, {})
        manager.restore(folder)
        world.submit(manager)
        group = await manager.next_group()
        assert group is not None
        return group


def seen(trajectory: Trajectory) -> Any:
    """Everything but the times, and the versions apart."""
    nodes = [
        (node.ids.tolist(), node.given, node.logprobs.tolist(), node.parent, node.agent, node.stop, node.fork)
        for node in trajectory.nodes
    ]
    events = [(one.kind, one.agent, one.node, one.data) for one in trajectory.events if one.kind not in TIMED]
    spans = [(one.name, one.parent, one.node, one.policy, one.stop, one.text) for one in trajectory.agents]
    return nodes, events, spans, trajectory.reward, trajectory.rewards, trajectory.stop


TIMED = ("suspended", "resumed")


def versions_of(group: Group) -> list[list[int]]:
    return [node.versions.tolist() for one in group.trajectories for node in one.nodes]


@pytest.mark.parametrize("text", [False, True], ids=["tokens", "texts"])
@pytest.mark.parametrize("away", [False, True], ids=["within the process", "over its end"])
def test_interrupted_at_every_token_and_resumed_nothing_differs(
    text: bool, away: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "SURE", 14.0)  # so that log-probabilities say something
    world = World(text)
    whole, _ = run_virtually(uninterrupted(world))
    assert whole.complete and len(whole.trajectories[0].agents) == 2 and len(whole.trajectories[0].nodes) >= 4
    expected = [seen(one) for one in whole.trajectories]
    continued = 0
    for token in range(1, world.tokens + 1):
        version = token % 2
        again = World(text, interrupt=token)
        resumed = over_its_end(again, tmp_path, version) if away else within_the_process(again, version)
        group, _ = run_virtually(resumed)
        assert [seen(one) for one in group.trajectories] == expected, f"interrupted at token {token}"
        assert again.tokens <= world.tokens + 2 * 2  # nothing is sampled twice
        for before, after in zip(versions_of(whole), versions_of(group), strict=True):
            assert set(before) == {0} and after == sorted(after) and set(after) <= {0, version}
            continued += len(set(after)) == 2
    assert continued > 4  # completions that begin with the old weights and end with the new ones


@pytest.mark.parametrize("text", [False, True], ids=["tokens", "texts"])
def test_interrupted_again_and_again_within_and_over_the_end_of_processes(
    text: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "SURE", 14.0)
    whole, _ = run_virtually(uninterrupted(World(text)))

    async def work() -> Group:
        world, group, turn = World(text, every=5), None, 0
        while group is None:
            async with world.begin(RolloutConfig()) as manager:
                if turn:
                    manager.restore(tmp_path)
                world.submit(manager)
                for _ in range(2):
                    waiting = asyncio.create_task(manager.next_group())
                    stopped = asyncio.create_task(world.interrupted.wait())
                    await asyncio.wait([waiting, stopped], return_when=asyncio.FIRST_COMPLETED)
                    if waiting.done():
                        group = waiting.result()
                        break
                    waiting.cancel()
                    world.interrupted.clear()
                    if not turn % 2:
                        await asyncio.sleep(0.1)
                        await manager.go_on()
                    turn += 1
                else:
                    await manager.checkpoint(tmp_path)
        return group

    group, _ = run_virtually(work())
    assert [seen(one) for one in group.trajectories] == [seen(one) for one in whole.trajectories]


def test_replies_of_a_model_that_is_no_sampler_are_replayed_too(tmp_path: Path) -> None:
    asked: list[int] = []

    def answer(messages: Any) -> Message:
        turn = sum(one.role == "assistant" for one in messages)
        asked.append(turn)
        return (
            assistant("", calls=(ToolCall(f"c{turn}", "look_up", f'{{"key":"{turn}"}}'),))
            if turn < 3
            else assistant("end")
        )

    def begin() -> RolloutManager:
        return RolloutManager({"live": Scripted(answer, seconds=1.0)})

    async def work() -> Group:
        async with begin() as manager:
            manager.submit(request(0, texts(), 1))
            await asyncio.sleep(2.5)
            await manager.suspend()
            await manager.checkpoint(tmp_path)
        async with begin() as manager:
            assert manager.restore(tmp_path) == 1
            manager.submit(request(0, texts(), 1))
            group = await manager.next_group()
            assert group is not None
            return group

    group, _ = run_virtually(work())
    events = [one for one in group.trajectories[0].events if one.kind in ("reply", "tool")]
    assert [one.kind for one in events] == ["reply", "tool"] * 3 + ["reply"]
    assert sorted(asked) in ([0, 1, 2, 3], [0, 1, 2, 2, 3]) and group.rewards == [3.0]


def test_an_attempt_that_says_something_else_is_run_anew(tmp_path: Path) -> None:
    class Moody(Draws):
        mood = 0

        async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
            ctx.state = [0]
            return TokenObservation(np.array([1, 2, self.mood + 4], np.int32))

    async def work() -> Group:
        world = World(False, interrupt=12)
        async with world.begin(RolloutConfig()) as manager:
            manager.submit(request(0, Moody(), 1))
            await world.interrupted.wait()
            await manager.checkpoint(tmp_path)
        Moody.mood = 1
        async with World(False).begin(RolloutConfig()) as manager:
            manager.restore(tmp_path)
            manager.submit(request(0, Moody(), 1))
            group = await manager.next_group()
            assert group is not None
            return group

    group, _ = run_virtually(work())
    (one,) = group.trajectories
    assert group.complete and one.nodes[0].ids[2] == 5
    assert "other ids" in one.events[0].data["why"]


def test_a_call_that_was_under_way_and_cannot_be_repeated_comes_back_as_interrupted(tmp_path: Path) -> None:
    made: list[str] = []

    async def pay(amount: str) -> str:
        """Pay.

        Args:
            amount: how much.
        """
        made.append(amount)
        await asyncio.sleep(10.0)
        return "paid"

    def answer(messages: Any) -> Message:
        if messages[-1].role == "tool":
            return assistant(messages[-1].text)
        return assistant("", calls=(ToolCall("c", "pay", '{"amount":"5"}'),))

    environment = Environment(lambda ctx: Functions([pay]))

    async def work() -> Group:
        async with RolloutManager({"live": Scripted(answer)}) as manager:
            manager.submit(request(0, environment, 1))
            await asyncio.sleep(3.0)
            await manager.suspend()
            await manager.checkpoint(tmp_path)
        async with RolloutManager({"live": Scripted(answer)}) as manager:
            manager.restore(tmp_path)
            manager.submit(request(0, environment, 1))
            group = await manager.next_group()
            assert group is not None
            return group

    group, _ = run_virtually(work())
    assert made == ["5"] and "interrupted" in group.trajectories[0].agents[0].text


def test_nothing_starts_and_no_time_passes_while_a_run_is_suspended() -> None:
    async def work() -> float:
        world = World(False)
        async with world.begin(RolloutConfig(attempt_seconds=10.0)) as manager:
            await manager.suspend()
            world.submit(manager)
            await asyncio.sleep(1000.0)
            assert manager.snapshot().running == 0 and world.tokens == 0
            await manager.go_on()
            group = await manager.next_group()
            assert group is not None and group.complete
            return manager.snapshot().seconds

    assert run_virtually(work())[0] < 10.0


def test_a_checkpoint_needs_a_suspended_run_and_its_own_file(tmp_path: Path) -> None:
    async def work() -> None:
        async with World(False).begin(RolloutConfig()) as manager:
            with pytest.raises(ConfigError, match="suspended"):
                await manager.checkpoint(tmp_path)
            with pytest.raises(RolloutCheckpointError, match="name the folder"):
                manager.restore(tmp_path)
            (tmp_path / SUSPENDED).write_bytes(b"nonsense")
            with pytest.raises(RolloutCheckpointError, match="no checkpoint"):
                manager.restore(tmp_path)
        chat = TokenChat(FakeSampler(vocab_size=TINY.n_vocab), TINY, MediaRules(patch_size=8))
        async with RolloutManager({"live": chat}) as manager:
            await manager.suspend()
            with pytest.raises(ConfigError, match="CapturedSampler"):
                await manager.checkpoint(tmp_path)

    run_virtually(work())
