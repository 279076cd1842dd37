"""A rollout's trajectory and a session's journal tell the same deeds."""

import asyncio
from pathlib import Path

import pytest

from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Together
from manyeyes.swarm.parl_demo import ParlSession
from manyeyes.swarm.parl_environment import Parl
from manyeyes.swarm.parl_log import Call, Log, Place, log_in, log_of
from manyeyes.swarm.parl_plan import plan_at
from manyeyes.swarm.parl_scripts import parallel
from manyeyes.swarm.parl_shared import shared_rows
from manyeyes.swarm.parl_steps import actions_of, timed

from .parl_play import Player, attempt

PLAN = plan_at(3, split="test", rows=(5, 5))


def by_place(log: Log) -> list[tuple[int, str, str, Place]]:
    return [(steps, call.agent, call.name, call.place) for steps, call in timed(log)]


def test_a_journal_and_a_trajectory_tell_the_same(tmp_path: Path) -> None:
    rolled = log_of(attempt(Parl(), Task("t", PLAN.prompt, PLAN), parallel))
    session = ParlSession.begun(tmp_path / "one", PLAN, Parl(), mode="swarm", model="m")
    asyncio.run(session.run(Player(), lambda ctx: Together()))
    told = log_in(session.events)
    assert by_place(told) == by_place(rolled) and len(by_place(told)) == 6 + 5 * 4
    assert actions_of(told) == actions_of(rolled)
    assert shared_rows(told) == shared_rows(rolled) == PLAN.rows


def test_a_session_that_has_not_begun_did_nothing() -> None:
    log = log_in([])
    assert timed(log) == [] and actions_of(log) == [] and shared_rows(log) == {}


@pytest.mark.parametrize(
    ("arguments", "prompt"),
    [('{"agent": "a", "prompt": "Find it."}', "Find it."), ("[1]", ""), ("{", ""), ('{"prompt": 3}', ""), ("", "")],
)
def test_the_task_of_a_call_is_read_from_whatever_a_model_wrote(arguments: str, prompt: str) -> None:
    assert Call("main", Place(0), "assign_task", arguments, {}).prompt == prompt
    assert Call("main", Place(0), "search", arguments, {}).prompt == ""
