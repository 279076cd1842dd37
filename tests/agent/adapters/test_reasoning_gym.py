"""reasoning-gym in processes of its own: with a package of the same shape, and (slow) with the real one."""

import asyncio
import importlib.util
import json
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.adapters.line_worker import LineWorkers, WorkerFailed
from manyeyes.agent.adapters.reasoning_gym import ReasoningGym, ReasoningGymEnvironment, tagged
from manyeyes.agent.adapters.reasoning_gym_worker import harmless
from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case, JudgeFailed, Verdict
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, assistant

FAKE = '''
class Sums:
    """Adds numbers; its scorer evaluates what it is given, as some of the package's do."""
    def __init__(self, seed, size, most=9):
        self.seed, self.size, self.most = seed, size, most
    def __getitem__(self, index):
        a, b = (self.seed + index) % self.most, index
        return {"question": f"{a} + {b}?", "answer": str(a + b), "metadata": {"sum": a + b}}
    def score_answer(self, answer, entry):
        if answer is None:
            return 0.0
        if answer == "hang":
            while True:
                pass
        if answer == "die":
            import os
            os._exit(3)
        return 1.0 if eval(answer) == entry["metadata"]["sum"] else 0.01

class Broken(Sums):
    def score_answer(self, answer, entry):
        raise RuntimeError("no scorer")

KINDS = {"sums": Sums, "broken": Broken}
def create_dataset(name, seed, size, **options):
    print("libraries print")
    return KINDS[name](seed, size, **options)
'''

ECHO = """
import sys, time
for line in sys.stdin:
    time.sleep(60 if "slow" in line else 0)
    print(line, end="", flush=True)
"""


@pytest.fixture
def gym(tmp_path: Path) -> Iterator[ReasoningGym]:
    """The worker with a package of the same shape; scorers have half a second."""
    package = tmp_path / "reasoning_gym"
    package.mkdir()
    (package / "__init__.py").write_text(textwrap.dedent(FAKE))
    (package / "factory.py").write_text(
        "from reasoning_gym import KINDS\nDATASETS = dict.fromkeys([*KINDS, 'composite'])\n"
    )
    made = ReasoningGym()
    start = (
        f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    made.command = [sys.executable, "-s", "-c", start, made.command[-1]]
    yield made


def answered(gym: ReasoningGym, task: Task, *answers: str) -> list[Verdict]:
    async def judged() -> list[Verdict]:
        try:
            return [await gym.scored(Case(task, Outcome("done", answer))) for answer in answers]
        finally:
            await gym.close()

    return asyncio.run(judged())


def test_tasks_are_made_and_answers_scored_by_the_family(gym: ReasoningGym) -> None:
    assert gym.families() == ["broken", "sums"]
    tasks = list(gym.tasks(seed=4, each=3, families=["sums"], options={"sums": {"most": 5}}, shuffled=False))
    assert [task.prompt for task in tasks] == ["4 + 0?", "0 + 1?", "1 + 2?"]
    right, formula, wrong, untagged = answered(
        gym, tasks[2], "So <answer>3</answer>", "<answer>\n1 + 2 </answer>", "<answer>4</answer>", "3"
    )
    assert (right.reward, formula.reward, wrong.reward, untagged.reward) == (1.0, 1.0, 0.01, 0.0)


def test_equal_seeds_make_equal_tasks(gym: ReasoningGym) -> None:
    assert list(gym.tasks(seed=1, each=2, families=["sums"])) == list(gym.tasks(seed=1, each=2, families=["sums"]))


def test_an_answer_never_runs(gym: ReasoningGym, tmp_path: Path) -> None:
    (task,) = gym.tasks(each=1, families=["sums"])
    spoiled = tmp_path / "spoiled"
    attacks = [
        f"open({str(spoiled)!r}, 'w')",
        f"__import__('os').system('touch {spoiled}')",
        "(lambda: 0)()",
        "0 .real",
        "exit()",
    ]
    for verdict in answered(gym, task, *(f"<answer>{attack}</answer>" for attack in attacks)):
        assert (
            verdict.reward == 0.0
            and "no literal and no formula" in verdict.notes["score" if "score" in verdict.notes else "scorer"]
        )
    assert not spoiled.exists()


def test_a_scorer_that_does_not_end_is_ended_and_the_next_answer_is_scored(
    gym: ReasoningGym, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manyeyes.agent.adapters.reasoning_gym.SCORE_SECONDS", 0.3)
    (task,) = gym.tasks(each=1, families=["sums"])
    hung, right = answered(gym, task, "<answer>hang</answer>", f"<answer>{task.truth['reference']}</answer>")
    assert hung.reward == 0.0 and "was ended" in hung.notes["scorer"] and right.reward == 1.0


def test_a_scorer_that_fails_gives_no_verdict(gym: ReasoningGym) -> None:
    sums, broken = gym.tasks(each=1, families=["sums", "broken"], shuffled=False)
    with pytest.raises(JudgeFailed, match="ended with status 3"):
        answered(gym, sums, "<answer>die</answer>")
    with pytest.raises(JudgeFailed, match="no scorer"):
        answered(gym, broken, "<answer>1</answer>")


def test_what_is_missing_is_said(gym: ReasoningGym) -> None:
    with pytest.raises(ConfigError, match="cannot make.*KeyError"):
        gym.tasks(families=["rhymes"], each=1)
    with pytest.raises(ConfigError, match="cannot make tasks"):
        ReasoningGym(python="/no/such/python").families()
    if importlib.util.find_spec("reasoning_gym") is None:
        with pytest.raises(ConfigError, match=r"manyeyes\[environments\]"):
            ReasoningGym().families()


def test_a_run_hears_of_a_missing_package_before_its_first_attempt(gym: ReasoningGym) -> None:
    async def asked() -> None:
        environment = gym.environment()
        await environment.ready()
        await environment.close()

    asyncio.run(asked())
    with pytest.raises(ConfigError, match="/no/such/python"):
        asyncio.run(ReasoningGym(python="/no/such/python").environment().ready())


def test_the_environment_judges_its_tasks(gym: ReasoningGym) -> None:
    environment = gym.environment(name="sums")
    (task,) = gym.tasks(each=1, families=["sums"])

    async def judged() -> Verdict:
        assert environment.judge is not None
        try:
            return await environment.judge(Case(task, Outcome("done", f"<answer>{task.truth['reference']}</answer>")))
        finally:
            await gym.close()

    assert isinstance(environment, Environment) and asyncio.run(judged()).parts == {"score": 1.0}
    assert json.dumps(task.truth)


def test_workers_are_replaced_when_nobody_answers() -> None:
    async def asked() -> None:
        workers = LineWorkers([sys.executable, "-c", ECHO], most=1, seconds=0.5)
        try:
            with pytest.raises(WorkerFailed, match="within 0.5 s"):
                await workers.ask({"slow": 1})
            workers.seconds = 60.0
            assert await workers.ask({"fast": 1}) == {"fast": 1} and await workers.ask({"fast": 2}) == {"fast": 2}
            assert workers.started == 2
            waiting = asyncio.create_task(workers.ask({"slow": 1}))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await workers.ask({"fast": 3}) == {"fast": 3}
        finally:
            await workers.close()
        with pytest.raises(WorkerFailed, match="closed"):
            await workers.ask({})

    asyncio.run(asked())


@pytest.mark.parametrize(
    ("source", "good"),
    [("[['A', 'B'], [1, -2.5]]", True), ("Integer(2)*Symbol('x')**3", True), ("Function('f')(Symbol('x'))", True),
     ("1 < 2 and not 3", True), ("x.y", False), ("open('x')", False), ("[x for x in y]", False), ("f'{x}'", False),
     ("__import__", False), ("(lambda: 1)()", False), ("a[0]", False), ("1 if 2 else 3", False), ("x := 3", False),
     ("Integral(x, x)", False), ("(" * 5_000, False), ("await x", False)],
)  # fmt: skip
def test_only_literals_and_formulas_are_evaluated(source: str, good: bool) -> None:
    assert harmless(source) is good


def test_the_last_answer_counts() -> None:
    assert tagged("<answer>1</answer><answer>2\n</answer>") == "2" and tagged("<answer>1") is None
    assert tagged("</answer><answer>") is None


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed")
def test_a_thousand_tasks_of_a_hundred_families_through_the_manager() -> None:
    gym = ReasoningGym()
    tasks = list(gym.tasks(seed=3, each=10))
    assert len(tasks) >= 1_000 and len({task.truth["family"] for task in tasks}) >= 100
    references = {task.prompt: task.truth["reference"] for task in tasks}

    def knows(messages: Sequence[Message]) -> Message:
        return assistant(f"<answer>{references[messages[-1].text]}</answer>")

    async def rewarded() -> dict[str, Any]:
        environment, rewards = gym.environment(), {}
        async with RolloutManager({"live": Scripted(knows)}) as manager:
            for number, task in enumerate(tasks):
                manager.submit(GroupRequest(str(number), task, environment, size=1))
            async for group in manager.results():
                assert group.complete and not group.failures
                rewards[group.request.task.id] = group.rewards[0]
        await gym.close()
        return rewards

    rewards = asyncio.run(rewarded())
    known = [rewards[task.id] for task in tasks if task.truth["reference"] is not None]
    assert len(rewards) == len(tasks) and sum(reward == 1.0 for reward in known) >= 0.98 * len(known)


def test_long_answers_take_no_long() -> None:
    began = time.process_time()
    assert tagged(f"<answer>x{' ' * 200_000}y</answer>") == f"x{' ' * 200_000}y"
    assert time.process_time() - began < 10


def test_the_state_of_a_source_is_that_of_its_options(gym: ReasoningGym) -> None:
    state = gym.tasks(each=2, families=["sums"], options={"sums": {"most": 5}}).state()
    gym.tasks(each=2, families=["sums"], options={"sums": {"most": 5}}).restore(state)
    with pytest.raises(ConfigError, match="expected the state of"):
        gym.tasks(each=2, families=["sums"]).restore(state)


def test_whoever_closes_the_environment_ends_its_scorers(gym: ReasoningGym) -> None:
    environment, (task,) = gym.environment(), gym.tasks(each=1, families=["sums"])

    async def judged() -> None:
        here, asked, _ = environment.drawn(task, seed=0, name="x")
        assert here.judge is not None
        await here.judge(Case(asked, Outcome("done", f"<answer>{task.truth['reference']}</answer>")))
        assert gym._workers is not None  # pyright: ignore[reportPrivateUsage]
        assert isinstance(environment, ReasoningGymEnvironment)
        await environment.close()
        assert gym._workers is None  # pyright: ignore[reportPrivateUsage]

    asyncio.run(judged())
