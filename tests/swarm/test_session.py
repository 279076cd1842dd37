"""Modes, depth and context strategies of a session."""

import asyncio
from pathlib import Path

import pytest

from manyeyes.agent.context import DiscardAll, HideToolResults, ShowAll, Summarise
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.toolset import Functions
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import read
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

    def __init__(self) -> None:
        super().__init__(lambda messages: assistant(""))

    async def complete(self, messages, tools, **settings):
        self._policy = lambda said: delegating(said, tuple(tool.name for tool in tools))
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
    ("name", "kind"),
    [("none", ShowAll), ("hide-tool-results", HideToolResults), ("discard-all", DiscardAll), ("summary", Summarise)],
)
def test_a_context_strategy_is_named(name, kind) -> None:
    strategy = SessionConfig("x", context=name, context_tokens=1000).strategy
    assert isinstance(strategy, kind) and (name == "none" or strategy.threshold == 800)


def test_a_depth_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="--mode single"):
        SessionConfig("x", depth=0)
