import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.answer_rewards import same_answer
from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import FakeEndpoint, Scripted
from manyeyes.agent.judge import Rewards
from manyeyes.agent.registry import Registry
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.sandbox_probe import probe
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Functions
from manyeyes.cli.main import main
from manyeyes.cli.rollout import Options, _collect, _requests, _run  # pyright: ignore[reportPrivateUsage]
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.core.sampler import Sampler
from manyeyes.core.trajectory import Policy
from manyeyes.core.trajectory_store import TrajectoryStore


@contextmanager
def endpoint() -> Iterator[FakeEndpoint]:
    """An endpoint that serves from a thread of its own, because the command has an event loop of its own."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), list[Any]()

    async def serve() -> None:
        async with FakeEndpoint(lambda messages: assistant("Answer: 3"), key="") as fake:
            found.append(fake)
            found.append(stop := asyncio.Event())
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(found[1].set)
        thread.join()


def ran(*words: str) -> int:
    return main(["rollout", *words])


def test_environments_are_listed(capsys) -> None:
    assert ran() == 0
    assert "puzzles" in (out := capsys.readouterr().out) and "coding" in out


def test_attempts_are_judged_and_kept_and_not_made_twice(capsys, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with endpoint() as fake:
        words = ["puzzles", "--endpoint", fake.url, "--model", "m", "--tasks", "3", "--attempts", "2"]
        assert ran(*words, "--folder", str(run)) == 0
        out = capsys.readouterr().out
        assert "mean reward" in out and "of 6, 0 failed" in out and fake.served == 6
        with TrajectoryStore(run / "trajectories", mode="read") as store:
            assert len(store) == 6
            assert all(store.get(name).reward is not None for name in store.names())
        assert ran(*words, "--folder", str(run)) == 0  # goes on, and has nothing left to do
        assert "of 6, 0 failed" in capsys.readouterr().out and fake.served == 6
        assert ran(*words, "--folder", str(run), "--seed", "1") == 2
        assert "was begun with --seed 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["puzzels", "--model", "x"], "did you mean 'puzzles'"),
        (["puzzles"], "name a model"),
        (["puzzles", "--endpoint", "ftp://x", "--model", "m"], "must begin with http"),
        (["puzzles", "--endpoint", "http://127.0.0.1:9"], "needs --model"),
        (["puzzles", "--model", "nowhere"], "no run 'nowhere'"),
        (["puzzles", "--endpoint", "http://127.0.0.1:9", "--model", "m", "--tasks", "0"], "--tasks must be"),
        (["puzzles", "--endpoint", "http://127.0.0.1:9", "--model", "m", "--source", "x.jsonl"], "x.jsonl"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_made(capsys, tmp_path, monkeypatch, words, told) -> None:
    monkeypatch.setenv("MANYEYES_RUNS", str(tmp_path))
    assert ran(*words) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_more_is_asked_for_than_there_is_room_for(tmp_path: Path) -> None:
    asked = Environment(lambda ctx: Functions([]), judge=Rewards(correct=same_answer), name="asked")
    options = Options("asked", tasks=7, attempts=2)
    source = Tasks(lambda number: Task(f"t/{number}", "?", truth="3"), size=9, shuffled=False)

    async def ran() -> int:
        models: dict[Policy, ChatModel | Sampler] = {"live": Scripted(lambda messages: assistant("Answer: 3"))}
        async with RolloutManager(models, config=RolloutConfig(most_open=4)) as manager:
            return await _collect(manager, _requests(options, asked, source), options)

    assert asyncio.run(asyncio.wait_for(ran(), 60)) == 0


def test_a_folder_with_another_configuration_is_refused(capsys, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"environ')
    words = ["--endpoint", "http://127.0.0.1:9", "--model", "m", "--folder", str(tmp_path)]
    assert ran("puzzles", *words) == 2 and "none of this command's" in capsys.readouterr().err


def test_environments_that_borrow_a_sandbox_are_lent_one(tmp_path: Path) -> None:
    found = asyncio.run(probe())
    if not found.works:
        why = f"needs bubblewrap: {found.problem}; {found.fix}"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    environment = Registry().composed(toolsets=["code"], judge="number", name="borrows")
    source = Tasks(lambda number: Task(f"t/{number}", "How much is 6 * 7?", truth=42), size=1)

    def computes(messages: Sequence[Message]) -> Message:
        if messages[-1].role == "tool":
            return assistant(f"Answer: {messages[-1].text.strip()}")
        return assistant(calls=(ToolCall.of("shell", {"command": "echo $((6 * 7))"}, index=0),))

    async def ran() -> int:
        async with FakeEndpoint(computes) as fake:
            options = Options("borrows", endpoint=fake.url, model="m", tasks=1, attempts=2)
            return await _run(options, environment, source, tmp_path)

    assert asyncio.run(ran()) == 0
    with TrajectoryStore(tmp_path / "trajectories", mode="read") as store:
        assert [store.get(name).reward for name in store.names()] == [1.0, 1.0]
