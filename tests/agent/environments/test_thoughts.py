import asyncio
from itertools import islice

import pytest

from manyeyes.agent.environments.thoughts import environment, task_source, thought_task
from manyeyes.agent.judge import Case
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.data.synthesis.thinking import Thinking
from manyeyes.data.synthesis.thinking_families import FAMILIES


def worth(task: Task, text: str) -> float:
    judge = environment().judge
    assert judge is not None
    return asyncio.run(judge(Case(task, Outcome("done", text)))).reward


@pytest.mark.parametrize("family", FAMILIES)
def test_the_truth_is_worth_1_and_anything_else_0(family: str) -> None:
    task = thought_task(family, 5, level=2, split="test")
    other = next(
        one.truth for one in (thought_task(family, n, level=2) for n in range(6, 99)) if one.truth != task.truth
    )
    assert worth(task, task.truth) == 1.0
    assert worth(task, f"I think so.\n{task.truth}") == 1.0
    assert worth(task, other) == worth(task, "") == worth(task, f"{task.truth} or {other}") == 0.0


def test_the_question_does_not_hold_its_truth_beside_it() -> None:
    task = thought_task("sum", 0, level=1)
    assert task.truth not in task.prompt.split() and str(task.truth) not in task.id.split("/")[-1:]


def test_families_and_levels_take_turns_and_ids_are_unique() -> None:
    source = task_source(families=("sum", "trace"), levels=(1, 3))
    ids = [task.id for task in islice(source, 400)]
    assert len(set(ids)) == 400
    assert {tuple(one.split("/")[1:3]) for one in ids} == {("sum", "1"), ("trace", "1"), ("sum", "3"), ("trace", "3")}
    assert len({task.prompt for task in islice(task_source(), 480)}) > 440


def test_tasks_of_a_size_come_again_and_a_source_goes_on_where_it_stood() -> None:
    source = task_source(3, families=("sum",), size=8)
    first = [task.id for task in islice(source, 8)]
    saved = source.state()
    then = [task.id for task in islice(source, 8)]
    assert sorted(first) == sorted(then) and first != then
    again = task_source(3, families=("sum",), size=8)
    again.restore(saved)
    assert [task.id for task in islice(again, 8)] == then
    with pytest.raises(ConfigError, match="state"):
        task_source(3, families=("hops",), size=8).restore(saved)


def test_no_question_of_the_test_split_is_learned_from_anywhere() -> None:
    held_out = {task.prompt for task in islice(task_source(split="test"), 1600)}
    trained = {task.prompt for task in islice(task_source(seed=5), 1600)}
    supervised = Thinking(size=1600, seed=9)
    assert not held_out & trained
    assert not held_out & {supervised.dialogue(i).messages[0].text for i in range(1600)}


def test_capabilities_choose_families() -> None:
    kinds = {task.id.split("/")[1] for task in islice(task_source(capability="coding"), 40)}
    assert kinds == {name for name, family in FAMILIES.items() if family.capability == "coding"}
    with pytest.raises(ConfigError, match="no family"):
        task_source(families=("poetry",))
    with pytest.raises(ConfigError, match="level"):
        task_source(levels=())


def test_an_answer_that_was_cut_off_is_wrong_even_where_it_is_right() -> None:
    task = thought_task("sum", 3, level=1)
    judge = environment().judge
    assert judge is not None
    ends = [asyncio.run(judge(Case(task, Outcome(stop, str(task.truth))))).reward for stop in ("done", "cut_off")]
    assert ends == [1.0, 0.0]
