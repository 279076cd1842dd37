"""Gymnasium-style environments through the loop, by tool and by words, and brought back after an interruption."""

import asyncio
import importlib.util
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.adapters.gym_toolset import observed
from manyeyes.agent.adapters.gymnasium import GymEnvironment, gym_tasks
from manyeyes.agent.environment import Session, Step
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case, Verdict
from manyeyes.agent.prompting.tool_naming import ToolNaming
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Journal
from manyeyes.core.messages import Message, ToolCall, assistant


class Discrete:
    dtype = np.int64

    def __init__(self, n: int) -> None:
        self.n = n

    def contains(self, action: Any) -> bool:
        return isinstance(action, int) and 0 <= action < self.n


class Box:
    dtype = np.float32

    def contains(self, action: Any) -> bool:
        return isinstance(action, np.ndarray) and action.shape == (2,) and bool((abs(action) <= 1).all())


class Corridor:
    """Walk right to the goal; the seed says how far it is."""

    def __init__(self, space: Any = None) -> None:
        self.action_space = space or Discrete(2)
        self.closed = False

    def reset(self, *, seed: int) -> tuple[Any, dict[str, Any]]:
        self.place, self.goal = 0, 2 + seed % 3
        return self._seen()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place += 1 if isinstance(action, np.ndarray) or action == 1 else -1
        observation, info = self._seen()
        return observation, float(self.place == self.goal), self.place == self.goal, self.place < -3, info

    def render(self) -> Any:
        picture = np.zeros((4, 8, 3), np.uint8)
        picture[:, max(self.place, 0)] = 255
        return picture

    def close(self) -> None:
        self.closed = True

    def _seen(self) -> tuple[Any, dict[str, Any]]:
        return np.array([self.place, self.goal]), {}


class Ctx:
    agent = "main"

    def __init__(self, *noted: dict[str, Any]) -> None:
        self.noted = list(noted)

    async def call(self, toolset: Any, call: ToolCall, *, position: int) -> Any:
        return await toolset.call(call)

    async def spawn(self, *_: Any, **__: Any) -> Outcome:
        raise NotImplementedError


TASK = Task("walk/1", "Walk to the goal.", {"seed": 1})


def corridor(**fields: Any) -> GymEnvironment:
    return GymEnvironment(**{"make": Corridor, "actions": ("left", "right")} | fields)


def act(*actions: Any) -> Message:
    return assistant(calls=tuple(ToolCall.of("act", {"action": one}, index=n) for n, one in enumerate(actions)))


async def judged(environment: Any, task: Task) -> Verdict:
    return await environment.judge(Case(task, Outcome("done", "")))


def test_an_agent_walks_to_the_goal_and_is_rewarded(tmp_path: Path) -> None:
    here, task, _ = corridor().drawn(TASK, seed=0, name="x")
    model = Scripted([act("right"), act("left", "right"), act("right", "right"), assistant("never said")])
    with Journal(tmp_path) as journal:
        outcome = asyncio.run(AgentRun(journal, model).start(task, here))
    assert outcome.finished and outcome.turns == 3
    assert asyncio.run(judged(here, task)) == (1.0, {"return": 1.0}, {"steps": 5})
    first, last = model.calls[0], model.calls[-1]
    assert first[-1].text == "Walk to the goal.\n\n[0, 3]" and "[1, 3]\nReward: 0." in last[-1].text


def test_attempts_share_nothing() -> None:
    whole = corridor()
    one, _, _ = whole.drawn(TASK, seed=0, name="a")
    two, _, _ = whole.drawn(TASK, seed=0, name="b")

    async def both() -> tuple[int, int]:
        async with one.open(Ctx()) as first, two.open(Ctx()):
            await first.step(act("right"))
            assert one.attempt is not None and two.attempt is not None
            return one.attempt.steps, two.attempt.steps

    assert asyncio.run(both()) == (1, 0)


async def talked(environment: GymEnvironment, *said: str) -> list[str]:
    async with environment.open(Ctx()) as session:
        assert all(session.acts(assistant(text)) for text in said) and not session.tools
        steps = [await session.step(assistant(text)) for text in said]
        assert [step.done for step in steps] == [False] * (len(said) - 1) + [True]
        return [step.observations[0].text for step in steps]


def test_words_may_be_the_actions() -> None:
    here, task, _ = corridor(by_words=True).drawn(TASK, seed=0, name="x")
    told = asyncio.run(
        talked(here, "Action: right", "I do nothing.", "Action: up", "action:  right", "So.\nAction: right")
    )
    assert told[0].startswith("[1, 3]") and "no action was taken" in told[1] and "one of left, right" in told[2]
    assert "The episode is over; rewards add up to 1." in told[4]
    assert asyncio.run(judged(here, task)).reward == 1.0

    async def opening() -> str:
        again, asked, _ = corridor(by_words=True).drawn(TASK, seed=0, name="x")
        async with again.open(Ctx()):
            return again.prompt(asked)[-1].text

    assert "Action: " in asyncio.run(opening())


def test_pictures_are_shown_where_they_are_wanted() -> None:
    async def look() -> None:
        here, task, _ = corridor(show="both").drawn(TASK, seed=0, name="x")
        async with here.open(Ctx()) as session:
            (opening,) = here.prompt(task)
            step = await session.step(act("right"))
            assert len(opening.media) == len(step.observations[0].media) == 1
            assert opening.media[0].pixels()[0, 0, 0] == 255  # pyright: ignore[reportAttributeAccessIssue]

    asyncio.run(look())


def test_what_is_no_action_is_told_and_no_step() -> None:
    async def tried() -> list[str]:
        box, _, _ = corridor(make=lambda: Corridor(Box()), actions=()).drawn(TASK, seed=0, name="x")
        number, _, _ = corridor(actions=()).drawn(TASK, seed=0, name="x")
        async with box.open(Ctx()) as first, number.open(Ctx()) as second:
            good = [(first, act([0.5, -1])), (second, act(1)), (second, act("1"))]
            bad = [
                (first, act([0.5])),
                (first, act([2, 2])),
                (first, act([[], 1])),
                (second, act(2)),
                (second, act("x")),
            ]
            bad += [
                (second, assistant(calls=(ToolCall("c", "act", "{"),))),
                (second, assistant(calls=(ToolCall("c", "go", "{}"),))),
            ]
            texts = [(await session.step(message)).observations[0].text for session, message in (*good, *bad)]
            assert box.attempt is not None and number.attempt is not None
            assert (box.attempt.steps, number.attempt.steps) == (1, 2)
            return texts[len(good) :]

    assert all(text.startswith("Error: ") for text in asyncio.run(tried()))


def test_after_the_end_nothing_is_done() -> None:
    async def tried() -> list[str]:
        here, _, _ = corridor().drawn(TASK, seed=0, name="x")
        async with here.open(Ctx()) as session:
            step = await session.step(act("right", "right", "right", "right"))
            assert step.done
            return [one.text for one in step.observations]

    assert "the episode is over" in asyncio.run(tried())[-1]


def test_an_interrupted_attempt_is_where_it_was() -> None:
    async def both() -> None:
        whole, task, _ = corridor().drawn(TASK, seed=0, name="x")
        async with whole.open(Ctx()) as session:
            noted = [(await _result(session, one)).data for one in ("right", "left", "right")]
            resumed, _, _ = corridor().drawn(TASK, seed=0, name="x")
            async with resumed.open(Ctx(*json.loads(json.dumps(noted)))) as again:
                for action in ("right", "right"):
                    assert (await _result(session, action)).text == (await _result(again, action)).text
                assert resumed.prompt(task) == whole.prompt(task)
        assert await judged(whole, task) == await judged(resumed, task)

    asyncio.run(both())


async def _result(session: Session, action: str) -> Any:
    return await session.toolset.call(ToolCall.of("act", {"action": action}, index=0))


def test_it_is_closed_whatever_happens_and_can_be_presented_otherwise() -> None:
    made: list[Corridor] = []

    def make() -> Corridor:
        made.append(Corridor())
        return made[-1]

    async def tried() -> None:
        whole = corridor(make=make, modules=(ToolNaming(styles=("verbose",), synonyms=False),))
        here, _, _ = whole.drawn(TASK, seed=0, name="x")
        async with here.open(Ctx()) as session:
            assert [tool.name for tool in session.tools] == ["use_act_tool"]
            call = ToolCall("c", "use_act_tool", '{"the_action": "right"}')
            assert "[1, 3]" in (await session.step(assistant(calls=(call,)))).observations[0].text
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(tried())
    assert made[0].closed


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ConfigError, match="how it is made"):
        GymEnvironment().drawn(TASK, seed=0, name="x")
    with pytest.raises(ConfigError, match="seed"):
        corridor().drawn(Task("t", "?"), seed=0, name="x")
    with pytest.raises(ConfigError, match="for each attempt"):
        corridor().open(Ctx())
    with pytest.raises(ConfigError, match="picture"):
        observed(np.zeros((100, 100)))
    assert observed({"a": np.int64(3), "b": "x"}) == "a: 3\nb: x"
    assert len(list(gym_tasks("Walk.", size=5))) == 5


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gymnasium") is None, reason="gymnasium is not installed")
def test_the_real_package() -> None:
    import gymnasium  # pyright: ignore[reportMissingImports]

    async def walked() -> Verdict:
        names = ("left", "down", "right", "up")
        whole = GymEnvironment(make=lambda: gymnasium.make("FrozenLake-v1", is_slippery=False), actions=names)
        here, task, _ = whole.drawn(Task("lake", "Cross the lake.", {"seed": 3}), seed=0, name="x")
        async with here.open(Ctx()) as session:
            for action in ("down", "down", "right", "right", "down", "right"):
                step = await session.step(act(action))
        assert step.done
        return await judged(here, task)

    assert asyncio.run(walked()).reward == 1.0


def test_words_that_call_tools_that_are_not_there_are_told_so_and_act() -> None:
    async def tried() -> Step:
        here, _, _ = corridor(by_words=True).drawn(TASK, seed=0, name="x")
        async with here.open(Ctx()) as session:
            return await session.step(replace(act("left"), content="Action: right"))

    first, second = asyncio.run(tried()).observations
    assert (first.role, first.tool_call_id) == ("tool", act("left").tool_calls[0].id) and "no tools here" in first.text
    assert second.text.startswith("[1, 3]")


def test_long_words_take_no_long() -> None:
    async def tried() -> str:
        here, _, _ = corridor(by_words=True).drawn(TASK, seed=0, name="x")
        async with here.open(Ctx()) as session:
            return (await session.step(assistant("\n" * 200_000))).observations[0].text

    began = time.process_time()
    assert "no action was taken" in asyncio.run(tried()) and time.process_time() - began < 10


def test_an_environment_whose_making_nobody_waits_for_is_closed_too() -> None:
    making, go_on, made = threading.Event(), threading.Event(), list[Corridor]()

    def make() -> Corridor:
        making.set()
        assert go_on.wait(60)
        made.append(Corridor())
        return made[0]

    async def tried() -> None:
        here, _, _ = corridor(make=make).drawn(TASK, seed=0, name="x")
        toolset = here.open(Ctx()).toolset
        opening = asyncio.create_task(toolset.open())
        await asyncio.to_thread(making.wait, 60)
        opening.cancel()
        closing = asyncio.create_task(toolset.close())
        await asyncio.sleep(0)
        go_on.set()
        await closing

    asyncio.run(tried())
    assert made[0].closed


def test_an_environment_of_an_attempt_is_not_drawn_again() -> None:
    here, task, _ = corridor().drawn(TASK, seed=0, name="x")
    with pytest.raises(ConfigError, match="drawn for an attempt already"):
        here.drawn(task, seed=0, name="y")
