"""Critical steps of attempts, the budget that counts them while they run, and which assigned tasks were finished."""

import pytest

from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.swarm.critical_steps import critical_steps
from manyeyes.swarm.orchestrator import ASSIGN, CREATE
from manyeyes.swarm.parl_budget import Spending, steps_of
from manyeyes.swarm.parl_environment import Parl, task_source
from manyeyes.swarm.parl_log import Call, Place, log_of
from manyeyes.swarm.parl_plan import Family, plan_at, question
from manyeyes.swarm.parl_scripts import asked, idle, parallel, serial
from manyeyes.swarm.parl_shared import shared_rows
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
    assert critical_steps(actions_of(log_of(alone))) == critical_steps(actions_of(log_of(with_more)))
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
    def calls(*failures: str) -> list[Call]:
        made = [Call("main/0", Place(at), "search", "{}", {"failure": why}) for at, why in enumerate(failures)]
        return made[::-1]  # the order in which they were written down says nothing

    assert is_finished(calls("refused", ""), "done", "C4")
    assert not is_finished((), "done", "Sorry, I could not do it.")
    assert not is_finished(calls("", "refused"), "done", "Nothing found.")
    assert not is_finished(calls(""), "done", "  ") and not is_finished(calls(""), "turn_cap", "C4")


def assigning(keys: str, *, said=lambda part: part):
    """Makes an agent and assigns it a row for each of these letters."""

    def script(prompt: str):
        columns, _ = asked(prompt)
        tasks = [(ASSIGN, {"agent": "a", "prompt": said(question(columns, key))}) for key in keys]
        yield [(CREATE, {"name": "a", "system_prompt": "Look."}), *tasks]
        return "Done."

    return script


def test_one_row_six_times_is_parallel_and_finished_once() -> None:
    given = task(6)
    first = next(iter(given.truth.rows))
    again = attempt(Parl(enough=6), given, assigning(first * 6))
    assert (again.rewards["parallel"], again.rewards["started"], again.rewards["finished"]) == (1.0, 6.0, 1.0)
    assert again.rewards["finish"] == pytest.approx(1 / 6)
    spaced = attempt(Parl(enough=6), given, assigning(first * 2, said=lambda words: f" {words.lower()} {words}"))
    assert spaced.rewards["finished"] == 1.0
    right = attempt(Parl(enough=6), given, assigning("".join(given.truth.rows)))
    assert right.rewards["finish"] == 1.0 and right.rewards["finished"] == 6.0


@pytest.mark.parametrize(("rows", "started", "share"), [(4, 2, 0.5), (4, 4, 1.0), (8, 4, 0.5)])
def test_without_a_number_as_many_agents_as_rows_are_enough(rows: int, started: int, share: float) -> None:
    given = task(rows)
    keys = "".join(given.truth.rows)[:started]
    assert attempt(Parl(enough=0), given, assigning(keys)).rewards["parallel"] == share
    with pytest.raises(ConfigError, match="got -1"):
        Parl(enough=-1).bound(given)


def test_of_two_agents_at_one_step_the_later_one_in_the_tree_counts_however_fast_they_were() -> None:
    given = task(6)
    key = next(iter(given.truth.rows))
    told = iter((11, 12, 13))

    def sub(prompt: str):
        yield [("put", {"key": key, "value": int(prompt.rpartition(" ")[2])})]
        return "Done."

    def lead(prompt: str):
        tasks = [(ASSIGN, {"agent": "a", "prompt": f"Put {value}"}) for value in told]
        yield [(CREATE, {"name": "a", "system_prompt": "Look."}), *tasks]
        return "Done."

    whole = attempt(Parl(), given, lead, sub)
    assert dict(shared_rows(log_of(whole))) == {key: ("13",)}
    whole.events.reverse()  # as if the first had been the slowest
    assert dict(shared_rows(log_of(whole))) == {key: ("13",)}


def test_tasks_that_cannot_be_done_are_parallel_and_not_finished() -> None:
    found = attempt(Parl(), task(6), lambda prompt: idle(prompt, words=("Help.",) * 4))
    assert (found.rewards["parallel"], found.rewards["finish"]) == (1.0, 0.0)
    assert [span.policy for span in found.agents] == ["live"] + ["frozen"] * 4
    right = attempt(Parl(), task(6), parallel)
    assert (right.rewards["parallel"], right.rewards["finish"], right.reward) == (1.0, 1.0, 1.0)


def test_every_task_exceeds_one_agent() -> None:
    families: dict[Family, float] = {"wide": 1, "deep": 1, "document": 1, "download": 1, "report": 1}
    tasks = task_source(seed=3, rows=(4, 12), families=families)
    for _ in range(20):
        given = tasks.next()
        assert given is not None
        alone = attempt(Parl(), given, serial)
        assert alone.reward is not None and alone.reward < 1.0
        assert attempt(Parl(mode="alone"), given, serial).reward == 1.0
