"""Rewards by name: what each judge calls right, and whose mistake the rest is."""

import asyncio
import importlib.util
import os
from typing import Any

import pytest

from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.environments.puzzles import puzzle_of, puzzle_task
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case, Judge, JudgeFailed, Verdict
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.reward_judges import Maths, PuzzleVerifier
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.messages import assistant
from manyeyes.core.trajectory import Trajectory
from manyeyes.reward.puzzle_verifier import PROMPT
from manyeyes.rl.right import is_right

from .test_entry_points import ENTRIES

REGISTRY = Registry(installed=Found(tuple(("manyeyes", one) for one in ENTRIES)))
needs_maths = pytest.mark.skipif(
    importlib.util.find_spec("math_verify") is None and not os.environ.get("CI"), reason="math-verify is not installed"
)


def case(text: str, truth: Any) -> Case:
    return Case(Task("t", "What is it?", truth), Outcome("done", text))


def judged(judge: Judge, text: str, truth: Any) -> Verdict:
    return asyncio.run(judge(case(text, truth)))


def right(judge: Judge, text: str, truth: Any) -> float:
    found = judged(judge, text, truth)
    whole = Trajectory("t/0/0", "t", reward=found.reward, rewards=found.parts)
    assert found.parts["right"] == found.reward and is_right(whole, least=1.0) is (found.reward == 1.0)
    return found.reward


def test_numbers_need_no_process() -> None:
    maths = REGISTRY.judge("maths")
    assert right(maths, "so \\boxed{\\frac12}", 0.5) == right(maths, "Answer: 1,200", "1200") == 1.0
    assert right(maths, "Answer: 0.333", "1/3") == right(maths, "", 3) == 0.0
    assert not maths.verifier.counts
    for truth in (None, [1, 2], {"x": 1}, ""):
        with pytest.raises(ConfigError, match="as its truth"):
            judged(maths, "1", truth)


@needs_maths
def test_expressions_are_compared_in_a_process_that_close_ends() -> None:
    async def scene() -> None:
        async with Maths(cpu_seconds=60) as maths:
            assert (await maths(case("\\boxed{x+x}", "2x"))).reward == 1.0
            assert (await maths(case("\\boxed{x+1}", "2x"))).reward == 0.0
            with pytest.raises(DataError):
                await maths(case("\\boxed{x+1}", "$"))
            (process,) = maths.verifier._alive
            assert process.returncode is None
        assert process.returncode is not None and not maths.verifier._alive

    asyncio.run(scene())


def test_a_letter_or_what_an_option_says() -> None:
    judge = REGISTRY.judge("choice", options=("red", "blue"))
    assert right(judge, "Answer: (B)", "B") == right(judge, "blue", "b") == 1.0
    assert right(judge, "A and B", "B") == right(judge, "red", "B") == 0.0
    assert right(REGISTRY.judge("choice"), "D", "D") == 1.0
    assert right(judge, "Lima", {"right": "C", "options": ["Oslo", "Rome", "Lima"]}) == 1.0
    assert right(judge, "C", {"right": "C", "options": 3}) == 1.0
    for truth in (None, 2, "E", {"right": "B"}, {"right": "B", "options": 40}, {"right": "A", "options": []}):
        with pytest.raises(ConfigError, match="option|letter"):
            judged(judge, "A", truth)


def test_json_is_the_same_value_and_its_leaves_are_a_part() -> None:
    judge = REGISTRY.judge("json")
    truth = {"name": "Oslo", "people": (3, 4.0)}
    exact = judged(judge, '```json\n{"people": [3, 4], "name": "Oslo"}\n```', truth)
    near = judged(judge, '{"name": "Oslo", "people": [3, 5]}', truth)
    assert (exact.reward, exact.parts) == (1.0, {"right": 1.0, "f1": 1.0})
    assert near.reward == near.parts["right"] == 0.0 and near.parts["f1"] == pytest.approx(2 / 3)
    for other in (None, {1, 2}, float("nan")):
        with pytest.raises(ConfigError, match="JSON value"):
            judged(judge, "null", other)


def compares(messages: Any) -> Any:
    """A verifier's model that reads the quoted answer and solution, and compares them letter for letter."""
    text = messages[-1].text
    mark = text.partition("begin with [")[2].partition("]")[0]
    said, true = (
        text.partition(f"[{mark}] {label} begins\n")[2].partition(f"\n[{mark}]")[0]
        for label in ("the answer", "the solution")
    )
    return assistant(f'Compared. {{"mark": "{mark}", "same": "{"yes" if said == true else "no"}"}}')


def test_a_puzzle_is_checked_by_any_chat_model_against_its_solution() -> None:
    model = Scripted(compares)
    judge = REGISTRY.judge("puzzle_verifier", model=model, votes=3)
    assert right(judge, "left, up", "left, up") == 1.0 and right(judge, "left", "left, up") == 0.0
    assert len(model.calls) == 6 and "What is it?" in model.calls[0][-1].text
    assert PROMPT.splitlines()[0] in model.calls[0][-1].text


def test_the_solution_of_a_shipped_puzzle_is_drawn_from_its_task() -> None:
    task = puzzle_task("maze", level=1, seed=3)
    judge = PuzzleVerifier(Scripted(compares), solution=lambda case: puzzle_of(case.task).solution)
    answers = [puzzle_of(task).solution, "no way"]
    assert [asyncio.run(judge(Case(task, Outcome("done", one)))).reward for one in answers] == [1.0, 0.0]
    with pytest.raises(ConfigError, match="truth"):
        asyncio.run(PuzzleVerifier(Scripted(compares))(Case(task, Outcome("done", "left"))))


def test_a_verifier_that_babbles_or_is_gone_is_no_verdict() -> None:
    def gone(messages: Any) -> Any:
        raise ModelError("down", kind="endpoint")

    with pytest.raises(JudgeFailed, match="yes or no"):
        judged(PuzzleVerifier(Scripted(lambda messages: assistant('{"same": "yes"}'))), "left", "left")
    with pytest.raises(ModelError):
        judged(PuzzleVerifier(Scripted(gone)), "left", "left")
    with pytest.raises(ConfigError, match="odd"):
        PuzzleVerifier(Scripted(compares), votes=2)
