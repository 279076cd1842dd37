"""The demo of a trained swarm: everybody in a journal of their own, on real pages, scored as PARL counts."""

import asyncio
from pathlib import Path

import pytest

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.fakes import Scripted
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import assistant
from manyeyes.swarm.parl_demo import Cast, Filled, ParlSession, run_parl_demo
from manyeyes.swarm.parl_environment import Parl
from manyeyes.swarm.parl_plan import plan_at
from manyeyes.swarm.parl_scripts import parallel, serial, worker
from manyeyes.swarm.session import Mode

from .parl_play import Player, model


def demo(folder: Path, *, tasks: int = 2, seed: int = 0) -> list[Filled]:
    player = Player()
    return asyncio.run(run_parl_demo(folder, Cast(player, player), tasks=tasks, seed=seed))


def test_a_swarm_is_as_right_as_one_agent_in_fewer_critical_steps(tmp_path: Path) -> None:
    ran = demo(tmp_path)
    assert [(one.who, len(one.plan.rows), one.agents) for one in ran] == [
        ("alone", 4, 0), ("swarm", 4, 4), ("alone", 12, 0), ("swarm", 12, 12),
    ]  # fmt: skip
    assert all(one.f1 == 1.0 and one.stop == "done" for one in ran)
    assert [one.critical for one in ran] == [17, 7, 49, 7]


def test_a_demo_that_is_over_is_not_played_again(tmp_path: Path) -> None:
    first = demo(tmp_path)
    journals = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("events.jsonl")}
    assert demo(tmp_path) == first
    assert journals == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("events.jsonl")}


def test_other_tables_and_other_seeds_have_folders_of_their_own(tmp_path: Path) -> None:
    demo(tmp_path, tasks=2)
    demo(tmp_path, tasks=1)
    demo(tmp_path, tasks=1, seed=1)
    names = sorted(path.parent.name for path in tmp_path.rglob("events.jsonl"))
    tables = ["table-0-0-12", "table-0-0-4", "table-0-1-12", "table-1-0-12"]
    assert names == [f"{name}-{who}" for name in tables for who in ("alone", "swarm")]


@pytest.mark.parametrize("other", [{"number": 1}, {"model": "other"}, {"mode": "single"}])
def test_a_folder_of_another_table_or_model_is_refused(tmp_path: Path, other) -> None:
    def begun(*, number: int = 0, mode: Mode = "swarm", model: str = "m") -> None:
        ParlSession.begun(tmp_path / "one", plan_at(number), Parl(), mode=mode, model=model)

    begun()
    begun()
    with pytest.raises(ConfigError, match="was begun with the"):
        begun(**other)


def test_a_cast_plays_orchestrators_and_workers_with_their_own_weights(tmp_path: Path) -> None:
    cast = Cast(model(parallel), model(worker))
    ran = asyncio.run(run_parl_demo(tmp_path, cast, tasks=1))
    assert [(one.who, one.f1, one.critical) for one in ran] == [
        ("alone", 0.0, 2), ("worker", 1.0, 49), ("swarm", 1.0, 7),
    ]  # fmt: skip


class Warm(Scripted):
    """Plays by a script, and knows at which temperatures it was asked."""

    def __init__(self, make) -> None:
        super().__init__(lambda messages: assistant())
        self.make, self.heard = make, set()

    async def complete(self, messages, tools=(), **settings):
        self.heard.add(settings["sampling"].temperature)
        return await model(self.make).complete(messages, tools, **settings)


def test_who_reads_alone_is_as_calm_as_sub_agents(tmp_path: Path) -> None:
    leads, works = Warm(serial), Warm(worker)
    world = Parl(sampling=Sampling(0.9), sub_temperature=0.2)
    asyncio.run(run_parl_demo(tmp_path, Cast(leads, works), tasks=1, world=world))
    assert works.heard == {0.2} and leads.heard == {0.2, 0.9}


def test_several_calls_in_an_answer_are_as_many_steps_and_beyond_the_budget_nothing_counts(tmp_path: Path) -> None:
    def hasty(prompt: str):
        key, (value,) = next(iter(plan_at(0, split="test", rows=(12, 12)).rows.items()))
        yield [("put", {"key": key, "value": int(value)})] * 4
        return "Done."

    cast = Cast(model(hasty), model(worker))
    alone, _, swarm = asyncio.run(run_parl_demo(tmp_path, cast, tasks=1, world=Parl(budget=3)))
    assert (alone.critical, swarm.critical) == (5, 4) and alone.f1 > 0.0 == swarm.f1


def test_a_model_that_was_trained_to_answer_is_refused(tmp_path: Path) -> None:
    cast = Cast(model(parallel), model(worker))
    with pytest.raises(ConfigError, match="trained to answer"):
        asyncio.run(run_parl_demo(tmp_path, cast, tasks=1, world=Parl(deliver="answer")))
