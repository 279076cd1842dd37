"""verifiers' environments as ours: with objects of their shape, and (slow) with the real package."""

import asyncio
import importlib.util
import logging
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.adapters.verifiers import verifiers_environment, verifiers_tasks
from manyeyes.agent.judge import Case, JudgeFailed, Verdict
from manyeyes.agent.prompting.module import Presentation
from manyeyes.agent.task import Outcome
from manyeyes.core.errors import ConfigError


class Rubric:
    """As `verifiers.Rubric`: a crash is logged and counts 0."""

    def __init__(self, *functions: Any) -> None:
        self.functions, self.logger = functions, logging.getLogger("verifiers.fake")

    async def score_rollout(self, state: dict[str, Any]) -> None:
        metrics = {}
        for function in self.functions:
            await asyncio.sleep(0)
            try:
                metrics[function.__name__] = float(function(state["completion"][-1]["content"], state["answer"]))
            except Exception as error:
                self.logger.error(f"Error calling reward function {function.__name__}: {error}")
                metrics[function.__name__] = 0.0
        state["metrics"], state["reward"] = metrics, sum(metrics.values())


class Theirs:
    env_id = "sums"
    max_turns = 1

    def __init__(self, *functions: Any, rows: list[dict[str, Any]] | None = None) -> None:
        self.rubric = Rubric(*functions)
        self.rows = rows or [
            {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{n} + 1?"}],
             "answer": str(n + 1), "info": '{"n": 1}', "example_id": n} for n in range(3)
        ]  # fmt: skip

    def get_dataset(self) -> list[dict[str, Any]]:
        return self.rows


def right(said: str, answer: str) -> bool:
    return said == answer


def brief(said: str, answer: str) -> float:
    return 1 / len(said)


def crashes(said: str, answer: str) -> float:
    if said == "boom":
        raise ValueError("no parser")
    return 0.5


def judged(theirs: Any, task: Any, *answers: str) -> list[Any]:
    judge = verifiers_environment(theirs).judge
    assert judge is not None

    async def all_at_once() -> list[Any]:
        cases = [Case(task, Outcome("done", answer)) for answer in answers]
        return await asyncio.gather(*(judge(case) for case in cases), return_exceptions=True)

    return asyncio.run(all_at_once())


def test_rows_are_tasks_and_the_rubric_judges() -> None:
    theirs = Theirs(right, brief)
    environment, tasks = verifiers_environment(theirs), list(verifiers_tasks(theirs, shuffled=False))
    assert environment.name == "sums" and [task.prompt for task in tasks] == ["0 + 1?", "1 + 1?", "2 + 1?"]
    assert [(m.role, m.content) for m in environment.prompt(tasks[0])] == [("system", "Be brief."), ("user", "0 + 1?")]
    (verdict,) = judged(theirs, tasks[2], "3")
    assert verdict.reward == 2.0 and verdict.parts == {"rubric": 2.0, "rubric/right": 1.0, "rubric/brief": 1.0}
    assert tasks[0].truth["info"] == {"n": 1}


def test_a_function_that_crashed_is_no_verdict_and_no_one_elses_fault() -> None:
    theirs = Theirs(crashes)
    (task, *_) = verifiers_tasks(theirs)
    fine, broken, also_fine = judged(theirs, task, "a", "boom", "b")
    assert fine.reward == also_fine.reward == 0.5
    assert isinstance(broken, JudgeFailed) and "no parser" in str(broken)
    assert not theirs.rubric.logger.handlers


def test_what_keeps_its_own_loop_is_refused() -> None:
    for name, value in (("max_turns", 10), ("tool_defs", [object()]), ("tools", [right])):
        theirs = Theirs(right)
        setattr(theirs, name, value)
        with pytest.raises(ConfigError, match="gateway"):
            verifiers_environment(theirs)


def test_a_prompt_that_is_no_text_is_refused() -> None:
    rows = [{"prompt": [{"role": "user", "content": [{"type": "image_url"}]}]}, {"prompt": "plain", "answer": "x"}]
    tasks = verifiers_tasks(Theirs(right, rows=rows), shuffled=False)
    with pytest.raises(ConfigError, match="text that ends with the user's words"):
        tasks.next()
    assert tasks.at(1).prompt == "plain"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("verifiers") is None, reason="verifiers 0.1.14 is not installed")
def test_the_real_package() -> None:
    import verifiers as vf  # pyright: ignore[reportMissingImports]
    from datasets import Dataset  # pyright: ignore[reportMissingImports]

    def exact(completion: Any, answer: str, parser: Any) -> float:
        return float(parser.parse_answer(completion) == answer)

    def odd(completion: Any) -> float:
        if "boom" in completion[-1]["content"]:
            raise ValueError("no parser")
        return 0.25

    parser = vf.XMLParser(["answer"])
    rubric = vf.Rubric(funcs=[exact, odd], weights=[1.0, 2.0], parser=parser)
    rows = Dataset.from_dict({"question": ["1 + 1?", "2 + 2?"], "answer": ["2", "4"]})
    theirs = vf.SingleTurnEnv(dataset=rows, system_prompt="Answer in <answer>.", parser=parser, rubric=rubric)
    tasks = list(verifiers_tasks(theirs, shuffled=False))
    assert [m.role for m in verifiers_environment(theirs).prompt(tasks[1])] == ["system", "user"]
    good, wrong, broken = judged(theirs, tasks[1], "<answer>4</answer>", "4", "<answer>4</answer> boom")
    assert isinstance(good, Verdict) and good.reward == 1.5 and good.parts["rubric/exact"] == 1.0
    assert isinstance(wrong, Verdict) and wrong.reward == 0.5
    assert isinstance(broken, JudgeFailed)
    theirs_with_tools = vf.ToolEnv(dataset=rows, tools=[], rubric=rubric, max_turns=3)
    with pytest.raises(ConfigError, match="gateway"):
        verifiers_environment(theirs_with_tools)


def test_a_complaint_is_told_once_to_whom_it_concerns() -> None:
    environment, (task, *_) = verifiers_environment(Theirs(crashes)), verifiers_tasks(Theirs(crashes))

    async def judged(said: str) -> str:
        assert environment.judge is not None
        try:
            return str((await environment.judge(Case(task, Outcome("done", said)))).reward)
        except JudgeFailed as failed:
            return str(failed)

    async def together() -> list[str]:
        return await asyncio.gather(*map(judged, ["boom", "fine", "boom"]))

    one, fine, other = asyncio.run(together())
    assert fine == "0.5" and one == other and one.count("no parser") == 1


def test_what_modules_tell_the_system_stands_behind_the_rows_own() -> None:
    class Telling:
        name = "telling"

        def draw(self, rng: np.random.Generator, shown: Presentation) -> str:
            return "Answer in French."

        def apply(self, shown: Presentation, choice: str) -> Presentation:
            return shown.asking(choice, where="system")

    rows = [*Theirs(right).rows[:1], {"prompt": "1 + 1?", "answer": "2"}]
    theirs = Theirs(right, rows=rows)
    told = []
    for task in verifiers_tasks(theirs, shuffled=False):
        here, shown, _ = verifiers_environment(theirs, modules=(Telling(),)).drawn(task, seed=0, name="x")
        told.append([(one.role, one.content) for one in here.prompt(shown)])
    assert told == [
        [("system", "Be brief.\n\nAnswer in French."), ("user", "0 + 1?")],
        [("system", "Answer in French."), ("user", "1 + 1?")],
    ]
