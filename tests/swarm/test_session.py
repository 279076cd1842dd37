"""Modes, depth and context strategies of a session."""

import asyncio
from pathlib import Path

import pytest

from manyeyes.agent.context import DiscardAll, HideToolResults, ShowAll, Summarise
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.toolset import Functions
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event, read
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.swarm.session import Session, SessionConfig, figures


def delegating(messages: list[Message], tools: tuple[str, ...]) -> Message:
    """Whoever can delegates twice at once; others answer."""
    turn = sum(message.role == "assistant" for message in messages)
    if "assign_task" not in tools or turn == 2:
        return assistant(" + ".join(m.text for m in messages if m.role == "tool")[-200:] or "leaf")
    if turn == 0:
        return assistant("", calls=(ToolCall("c", "create_subagent", '{"name": "sub", "system_prompt": "You work."}'),))
    calls = tuple(ToolCall(f"a{i}", "assign_task", '{"agent": "sub", "prompt": "go"}') for i in range(2))
    return assistant("", calls=calls)


class Delegating(Scripted):
    """A policy that also sees which tools are offered."""

    def __init__(self, choose=delegating) -> None:
        super().__init__(lambda messages: assistant(""))
        self.choose = choose

    async def complete(self, messages, tools, **settings):
        self._policy = lambda said: self.choose(said, tuple(tool.name for tool in tools))
        return await super().complete(messages, tools, **settings)


@pytest.mark.parametrize(("depth", "agents"), [(1, 1 + 2), (2, 1 + 2 + 4), (3, 1 + 2 + 4 + 8)])
def test_sub_agents_delegate_down_to_the_depth(tmp_path: Path, depth: int, agents: int) -> None:
    session = Session.create(tmp_path, SessionConfig("go", depth=depth))
    outcome = asyncio.run(session.run(Delegating(), lambda ctx: Functions([])))
    events = read(tmp_path).events
    assert outcome.stop == "done" and sum(event.kind == "agent.created" for event in events) == agents
    # Each level that delegates: create, assign, merge; below it the deeper level runs at once.
    assert figures(events).critical_steps == 3 * depth + 1


def test_the_cap_on_sub_agents_holds_for_all_levels_together(tmp_path: Path) -> None:
    session = Session.create(tmp_path, SessionConfig("go", depth=3, most_agents=5))
    asyncio.run(session.run(Delegating(), lambda ctx: Functions([])))
    assert sum(event.kind == "agent.created" for event in read(tmp_path).events) == 1 + 5


def test_the_mode_decides_the_prompt_and_the_tools(tmp_path: Path) -> None:
    said = {}
    for mode in ("single", "swarm", "auto"):
        session = Session.create(tmp_path / mode, SessionConfig("go", mode=mode, tools=("files",)))
        environment = session.environment(lambda ctx: Functions([]))
        said[mode] = environment.system
    assert "today's date" in said["single"] and "create_subagent" not in said["single"]
    assert "create_subagent" in said["swarm"] and "When to delegate" not in said["swarm"]
    assert "When to delegate" in said["auto"] and said["auto"].startswith(said["swarm"].partition("\n\nFiles:")[0])
    assert all("/artefacts" in text for text in said.values())


@pytest.mark.parametrize(
    ("unsafe", "tools", "said"),
    [(True, ("files", "code"), True), (False, ("files", "code"), False), (True, ("files",), False)],
)
def test_agents_know_what_folders_are_called_without_a_sandbox(tmp_path: Path, unsafe, tools, said) -> None:
    for mode in ("single", "swarm"):
        session = Session.create(tmp_path / mode, SessionConfig("go", mode=mode, tools=tools, unsafe=unsafe))
        assert ("$ARTEFACTS" in session.environment(lambda ctx: Functions([])).system) is said


@pytest.mark.parametrize(
    ("name", "kind"),
    [("none", ShowAll), ("hide-tool-results", HideToolResults), ("discard-all", DiscardAll), ("summary", Summarise)],
)
def test_a_context_strategy_is_named(name, kind) -> None:
    strategy = SessionConfig("x", context=name, context_tokens=1000).strategy
    assert isinstance(strategy, kind) and (name == "none" or strategy.threshold == 800)


def test_a_depth_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="--mode single"):
        SessionConfig("x", depth=0)


def test_inputs_are_never_copied_over_links_to_a_users_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    inputs = tmp_path / "run" / "inputs"
    inputs.mkdir(parents=True)
    (inputs / "notes.txt").hardlink_to(tmp_path / "notes.txt")  # as a run that was killed while it began leaves it
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("another")
    with pytest.raises(ConfigError, match="holds files already"):
        Session.create(tmp_path / "run", SessionConfig("x"), inputs=[tmp_path / "other" / "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def long_answers(messages: list[Message], tools: tuple[str, ...]) -> Message:
    """As `delegating`, but what sub-agents find does not fit."""
    said = delegating(messages, tools)
    return assistant("x" * 50_000) if said.text == "leaf" else said


def test_a_long_result_is_kept_whole_and_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    run = tmp_path / "run"
    session = Session.create(run, SessionConfig("go"))
    (run / "artefacts" / "result-main-0.md").symlink_to(outside)  # code of an agent wrote it there
    outcome = asyncio.run(session.run(Delegating(long_answers), lambda ctx: Functions([])))
    assert outcome.stop == "done" and outside.read_text() == "mine"
    notes = [event.data["result"]["data"]["assign_task"] for event in assigned(run)]
    names = [note["artefact"] for note in notes]
    assert len(set(names)) == 2 and "/artefacts/result-main-0.md" not in names
    assert all((run / name.lstrip("/")).read_text() == "x" * 50_000 for name in names)


def assigned(run: Path) -> list[Event]:
    """The ends of all assignments."""
    return [e for e in read(run).events if e.kind == "tool.finished" and e.data["name"] == "assign_task"]


def test_a_sub_agent_whose_result_was_cut_off_by_a_kill_counts_once(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    config = SessionConfig("go", most_agents=2)
    asyncio.run(Session.create(whole, config).run(Delegating(), lambda ctx: Functions([])))
    lines = (whole / "events.jsonl").read_bytes().splitlines(keepends=True)
    last = assigned(whole)[-1].seq
    cut = tmp_path / "cut"
    session = Session.create(cut, config)
    (cut / "events.jsonl").write_bytes(b"".join(lines[:last]))
    outcome = asyncio.run(session.run(Delegating(), lambda ctx: Functions([])))
    assert outcome.stop == "done" and outcome.text.count("leaf") == 2
    assert [event.data["result"]["failure"] for event in assigned(cut)] == ["", ""]
