"""How far rows were at each moment, in real episodes of scripted agents."""

from functools import partial
from typing import Any

import pytest

from manyeyes.agent.task import Task
from manyeyes.core.trajectory import Trajectory
from manyeyes.swarm.parl_environment import Deliver, Parl
from manyeyes.swarm.parl_plan import plan_at
from manyeyes.swarm.parl_scripts import parallel, serial, worker
from manyeyes.swarm.parl_steps import work_of
from manyeyes.swarm.row_moments import first_reached, moments, put_by, timed, worth

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


def test_of_two_agents_that_put_one_key_the_later_one_counts() -> None:
    key, (value,) = next(iter(PLAN.rows.items()))
    assert worth({key: (value,)}, PLAN) > 0.0 == worth({key: (str(int(value) + 1),)}, PLAN)

    def changing(prompt: str):
        yield [("put", {"key": key, "value": int(value)})]
        yield [("put", {"key": key, "value": int(value) + 1})]
        return "Done."

    whole = attempt(Parl(mode="alone"), TASK, changing)
    first, second, end = moments(whole, PLAN)
    assert first.f1 > second.f1 == end.f1 == 0.0
    assert [put_by(event)[key] for _, event in timed(whole)] == [(value,), (str(int(value) + 1),)]
