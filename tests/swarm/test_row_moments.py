"""How far rows were at each moment, in real episodes of scripted agents."""

from functools import partial
from typing import Any

import pytest

from manyeyes.agent.task import Task
from manyeyes.core.errors import DataError
from manyeyes.core.trajectory import Trajectory
from manyeyes.swarm.parl_environment import Deliver, Parl
from manyeyes.swarm.parl_log import log_of
from manyeyes.swarm.parl_plan import plan_at
from manyeyes.swarm.parl_scripts import parallel, serial, worker
from manyeyes.swarm.parl_shared import shared_rows
from manyeyes.swarm.parl_steps import timed, work_of
from manyeyes.swarm.row_moments import first_reached, moments, worth

from .parl_play import attempt

PLAN = plan_at(1, rows=(6, 6))
TASK = Task("t/1", PLAN.prompt, PLAN)
DELIVER: tuple[Deliver, ...] = ("table", "answer")


def played(script: Any, deliver: Deliver, **fields: Any) -> Trajectory:
    put = deliver == "table"
    return attempt(Parl(deliver=deliver, **fields), TASK, partial(script, put=put), partial(worker, put=put))


@pytest.mark.parametrize("deliver", DELIVER)
def test_alone_it_grows_row_by_row_and_ends_with_the_verdict(deliver: Deliver) -> None:
    whole = played(serial, deliver, mode="alone")
    found = moments(whole, PLAN, table=deliver == "table")
    worths = [one.f1 for one in found]
    assert worths == sorted(worths) and worths[0] == 0.0 and worths[-1] == whole.reward == 1.0
    assert [one.steps for one in found] == list(range(1, work_of(whole).critical + 1))
    assert len(set(worths)) == len(PLAN.rows) + 1


def test_rows_of_agents_that_work_at_once_come_at_the_same_moment() -> None:
    whole = played(parallel, "table")
    found = moments(whole, PLAN)
    one_row = PLAN.steps_alone // len(PLAN.rows)  # search, pages, put
    assert first_reached(found, (0.3, 0.7, 1.0)) == dict.fromkeys((0.3, 0.7, 1.0), 1 + one_row)
    assert found[-1].steps == work_of(whole).critical


def test_an_orchestrator_that_answers_has_rows_when_its_agents_are_back() -> None:
    found = moments(played(parallel, "answer"), PLAN, table=False)
    back = found[-1].steps - 1
    assert [one.f1 for one in found if one.steps < back] == [0.0] * sum(one.steps < back for one in found)
    assert dict(found)[back] == 1.0


@pytest.mark.parametrize("deliver", DELIVER)
@pytest.mark.parametrize("script", [serial, parallel])
@pytest.mark.parametrize("budget", [5, 8, 12])
def test_no_moment_lies_behind_the_end(script, budget: int, deliver: Deliver) -> None:
    whole = played(script, deliver, budget=budget)
    found = moments(whole, PLAN, table=deliver == "table")
    assert [one.steps for one in found] == sorted(one.steps for one in found)
    assert found[-1] == (work_of(whole).critical, whole.reward)


def test_an_episode_beyond_its_budget_has_reached_nothing() -> None:
    whole = played(parallel, "table", budget=5)  # all rows are there when its sub-agents are back, after 6 steps
    assert work_of(whole).critical > 5 and worth(shared_rows(log_of(whole)), PLAN) == 1.0
    assert moments(whole, PLAN) == [(work_of(whole).critical, 0.0)]
    assert first_reached(moments(whole, PLAN), (0.3,)) == {0.3: None}


def test_the_later_word_on_a_key_counts() -> None:
    (key, (value,)), (other, (right,)) = list(PLAN.rows.items())[:2]

    def changing(prompt: str):
        yield [("put", {"key": key, "value": int(value)})]
        yield [("put", {"key": other, "value": int(right)})]
        yield [("put", {"key": key, "value": int(value) + 1})]
        return "Done."

    whole = attempt(Parl(mode="alone"), TASK, changing)
    first, second, third, end = moments(whole, PLAN)
    assert 0.0 < first.f1 < second.f1 > third.f1 == end.f1 > 0.0
    assert [one.steps for one in timed(log_of(whole))] == [1, 2, 3]


def test_an_answer_whose_calls_never_ended_is_a_step() -> None:
    """As when an attempt is suspended, or its time is over: what came before and behind it keeps its moment."""
    whole = played(serial, "table", mode="alone")
    lost = [event for event in whole.events if event.kind == "tool"][3]
    before = dict(moments(whole, PLAN))
    whole.events.remove(lost)
    after = dict(moments(whole, PLAN))
    assert before.keys() - after.keys() == {4} and max(after) == max(before)


def test_an_agent_that_was_started_and_is_not_there_is_refused() -> None:
    whole = played(parallel, "table")
    del whole.agents[-1]
    whole.events = [event for event in whole.events if event.agent < len(whole.agents)]
    with pytest.raises(DataError, match="none of its agents"):
        moments(whole, PLAN)
