"""Partial tables: they are what the run would answer if it were asked to end there; they are scored like the last."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from manyeyes.agent.tools.web import web_tools
from manyeyes.core.journal import Event, Journal, read
from manyeyes.swarm.demo import table_task
from manyeyes.swarm.partial_scores import Moment, first_reached, partial_tables, scores_over_time
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.rule_notes import table_in
from manyeyes.swarm.session import Mode, SessionConfig, ended
from manyeyes.swarm.trial import trial
from manyeyes.swarm.world import WideTask, wide_tasks, world_web

from .virtual_clock import run_virtually

SMALL: WideTask = wide_tasks()[1]


def events_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, mode: Mode = "single", steps: float = 400
) -> list[Event]:
    async def go() -> None:
        web = world_web(seconds=0.2)
        config = SessionConfig(SMALL.query, mode=mode, preset="widesearch")
        await trial(folder, config, steps=steps).run(rule_model(seconds=0.3), lambda ctx: web_tools(web, web, ctx))
        await web.close()

    run_virtually(go(), monkeypatch)
    return read(folder).events


def answer(events: Sequence[Event]) -> list[list[str]]:
    outcome = ended(events)
    assert outcome is not None
    return (table_in(outcome.text) or [[]])[1:]


@pytest.mark.parametrize("steps", [6, 14, 25, 400])
def test_a_partial_table_is_what_the_agent_says_when_it_is_stopped_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    events = events_of(tmp_path, monkeypatch, steps=steps)
    *_, last = partial_tables(events, SMALL.columns)
    assert sorted(map(list, last.rows)) == sorted(answer(events))


def test_a_swarm_is_told_later_than_its_agents_know_and_ends_with_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = events_of(tmp_path, monkeypatch, mode="swarm")
    told, known = (list(partial_tables(events, SMALL.columns, whose=whose)) for whose in ("told", "known"))
    assert sorted(told[-1].rows) == sorted(known[-1].rows) == sorted(SMALL.gold)
    assert known[0].seconds < told[0].seconds
    returned = min(e.time for e in events if e.kind == "tool.finished" and e.data["name"] == "assign_task")
    assert told[0].seconds >= returned - events[0].time and len(known) > len(told)
    assert [one.seconds for one in told] == sorted(one.seconds for one in told)


def test_alone_both_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = events_of(tmp_path, monkeypatch)
    told, known = (list(partial_tables(events, SMALL.columns, whose=whose)) for whose in ("told", "known"))
    assert told == known and len(told) > len(SMALL.gold)
    assert told[-1].steps <= len([event for event in events if event.kind == "llm.finished"])


def test_scores_rise_to_the_final_one_and_targets_are_reached_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = events_of(tmp_path, monkeypatch)
    moments = asyncio.run(scores_over_time(events, SMALL.columns, table_task(SMALL)))
    assert moments[0].f1 < 0.2 and moments[-1].f1 == 1.0 and moments[-1].rows == len(SMALL.gold)
    reached = [seconds for seconds in first_reached(moments, (0.3, 0.5, 0.7, 1.0)).values() if seconds is not None]
    assert len(reached) == 4 and reached == sorted(reached) and reached[-1] <= events[-1].time - events[0].time


def test_the_first_time_counts_and_a_target_may_never_be_reached() -> None:
    moments = [Moment(1.0, 2, 1, 0.4), Moment(2.0, 3, 2, 0.3), Moment(3.0, 4, 3, 0.6)]
    assert first_reached(moments, (0.4, 0.5, 0.7)) == {0.4: 1.0, 0.5: 3.0, 0.7: None}
    assert first_reached([], (0.1,)) == {0.1: None}


def test_time_between_a_stop_and_a_resume_does_not_count(tmp_path: Path) -> None:
    clock = iter((0.0, 1.0, 101.0, 102.0))
    with Journal(tmp_path, now=lambda: next(clock)) as journal:
        journal.append("run.started")
        note = "- fact | Iceland | Capital | Reykjavik | 2025-01-01 | https://x.example/"
        journal.append("llm.finished", agent="main", message={"role": "assistant", "content": "", "reasoning": note})
        journal.append("run.resumed")
        more = note.replace("Iceland", "Norway").replace("Reykjavik", "Oslo")
        journal.append("llm.finished", agent="main", message={"role": "assistant", "content": "", "reasoning": more})
    found = list(partial_tables(read(tmp_path).events, ("Country", "Capital")))
    assert [one.seconds for one in found] == [1.0, 2.0]
    assert found[1].rows == (("Iceland", "Reykjavik"), ("Norway", "Oslo"))
