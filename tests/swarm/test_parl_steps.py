"""Critical steps of attempts, the budget that counts them while they run, and which assigned tasks were finished."""

import pytest

from manyeyes.agent.task import Task
from manyeyes.core.trajectory import AgentSpan, Event, Trajectory
from manyeyes.swarm.critical_steps import critical_steps
from manyeyes.swarm.orchestrator import ASSIGN, CREATE
from manyeyes.swarm.parl_budget import Spending, steps_of
from manyeyes.swarm.parl_environment import Parl, task_source
from manyeyes.swarm.parl_plan import plan_at, question
from manyeyes.swarm.parl_scripts import asked, idle, parallel, serial
from manyeyes.swarm.parl_steps import actions_of, is_finished, work_of

from .parl_play import attempt


def task(rows: int, number: int = 0) -> Task:
    plan = plan_at(number, rows=(rows, rows))
    return Task(f"t/{number}", plan.prompt, plan)


@pytest.mark.parametrize("rows", [1, 4, 12])
def test_an_agent_for_each_row_takes_as_long_as_one_row(rows: int) -> None:
    work = work_of(attempt(Parl(), task(rows), parallel))
    assert (work.critical, work.started, work.finished) == (1 + 5 + 1, rows, rows)
    assert work.total == 2 + 5 * rows and work.finish_rate == 1.0


def test_an_agent_alone_takes_as_long_as_its_plan_says() -> None:
    for number in range(4):
        given = task(5, number)
        work = work_of(attempt(Parl(budget=0), given, serial))
        assert work.critical == work.total == given.truth.steps_alone and work.started == 0


def test_several_direct_calls_in_an_answer_are_as_many_operations() -> None:
    def at_once(prompt: str):
        yield [("search", {"query": "C"})] * 3
        return "C1"

    assert work_of(attempt(Parl(budget=0), task(4), at_once)).critical == 4


def test_a_shorter_sibling_changes_no_critical_step() -> None:
    def assigning(*sizes: int):
        def script(prompt: str):
            columns, keys = asked(prompt)
            tasks = [(ASSIGN, {"agent": "a", "prompt": question(columns, keys[:size])}) for size in sizes]
            yield [(CREATE, {"name": "a", "system_prompt": "Look."}), *tasks]
            return "none"

        return script

    alone, with_more = (attempt(Parl(budget=0), task(6), assigning(*sizes)) for sizes in ((3,), (3, 1, 2, 3)))
    assert critical_steps(actions_of(alone)) == critical_steps(actions_of(with_more))
    assert work_of(with_more).total > work_of(alone).total


@pytest.mark.parametrize("script", [serial, parallel, lambda prompt: idle(prompt, words=("Help.", "Go on."))])
@pytest.mark.parametrize("budget", [4, 6, 9, 14])
def test_no_episode_is_rewarded_beyond_its_budget(script, budget: int) -> None:
    found = attempt(Parl(budget=budget), task(6), script)
    critical = work_of(found).critical
    assert critical <= budget or found.reward == 0.0
    assert critical == budget or script is parallel  # one agent uses up what there is


def test_the_budget_counts_as_the_trajectory_does() -> None:
    spending = Spending(budget=9)
    notes = [{"stop": "done", "steps": 3, "turns": 4}, {"stop": "done", "steps": 1, "turns": 2}]
    spending.answered(direct=0, notes=notes)
    assert spending.spent == 1 + 4 and spending.left == 4
    spending.answered(direct=2)
    assert spending.spent == 7 and steps_of({"stop": "turn_cap", "steps": 10, "turns": 11}) == 11


def test_the_last_step_is_announced_and_the_next_call_ends_the_episode() -> None:
    def stubborn(prompt: str):
        told: list[str] = []
        while True:
            told += yield [("search", {"query": f"Kev{len(told)}"})]

    found = attempt(Parl(budget=4), task(6), stubborn)
    results = [event.data["result"]["parts"] for event in found.events if event.kind == "tool"]
    assert len(results) == 4 and found.stop == "done" and found.reward == 0.0 and not found.agents[0].text


def test_only_work_that_came_to_its_end_is_finished() -> None:
    def call(failure: str) -> Event:
        return Event("tool", agent=1, data={"place": "0.0", "name": "search", "result": {"failure": failure}})

    def ended(stop: str, text: str, *calls: Event) -> bool:
        span = AgentSpan("main/0", parent=0, stop=stop, text=text)
        return is_finished(Trajectory("t", "t", agents=[AgentSpan(), span], events=list(calls)), 1)

    assert ended("done", "C4", call("refused"), call(""))
    assert not ended("done", "Sorry, I could not do it.")
    assert not ended("done", "Nothing found.", call(""), call("refused"))
    assert not ended("done", "  ", call("")) and not ended("turn_cap", "C4", call(""))


def test_tasks_that_cannot_be_done_are_parallel_and_not_finished() -> None:
    found = attempt(Parl(), task(6), lambda prompt: idle(prompt, words=("Help.",) * 4))
    assert (found.rewards["parallel"], found.rewards["finish"]) == (1.0, 0.0)
    assert [span.policy for span in found.agents] == ["live"] + ["frozen"] * 4
    right = attempt(Parl(), task(6), parallel)
    assert (right.rewards["parallel"], right.rewards["finish"], right.reward) == (1.0, 1.0, 1.0)


def test_every_task_exceeds_one_agent() -> None:
    tasks = task_source(seed=3, rows=(4, 12), families={"wide": 1, "deep": 1, "document": 1, "download": 1})
    for _ in range(20):
        given = tasks.next()
        assert given is not None
        alone = attempt(Parl(), given, serial)
        assert alone.reward is not None and alone.reward < 1.0
        assert attempt(Parl(mode="alone"), given, serial).reward == 1.0
