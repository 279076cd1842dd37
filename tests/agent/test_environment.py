"""Environments: what their sessions call an action, who may be trained, and who arranges messages."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.prompting.message_layout import MessageLayout
from manyeyes.agent.prompting.system_style import SystemStyle
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Journal, read
from manyeyes.core.messages import Message, ToolCall, assistant, user

TASK = Task("t", "Why?")


def nested(ctx: Ctx) -> Functions:
    """Ask two others, one of whom may learn from it."""

    async def ask() -> str:
        """Ask others."""
        inner = Environment(lambda ctx: Functions([]))
        first = await ctx.spawn(Task("a", "?"), inner, role="frozen by default")
        second = await ctx.spawn(Task("b", "?"), inner, role="learns", policy="live")
        return f"{first.text} {second.text}"

    return Functions([ask])


def test_sub_agents_are_frozen_unless_said_otherwise(tmp_path: Path) -> None:
    def policy(messages: Any) -> Message:
        first = len(messages) == 1 and messages[0].text == "Why?"
        return assistant(calls=(ToolCall("c", "ask", "{}"),)) if first else assistant("so")

    with Journal(tmp_path) as journal:
        outcome = asyncio.run(AgentRun(journal, Scripted(policy)).start(TASK, Environment(nested)))
    created = [event.data for event in read(tmp_path).events if event.kind == "agent.created"]
    assert outcome.text == "so"
    assert [(one["role"], one["policy"]) for one in created] == [
        ("", "live"), ("frozen by default", "frozen"), ("learns", "live")
    ]  # fmt: skip


def test_an_answer_acts_when_it_calls_tools() -> None:
    session = Environment(lambda ctx: Functions([])).open(None)  # pyright: ignore[reportArgumentType]
    assert session.acts(assistant(calls=(ToolCall("c", "x", "{}"),))) and not session.acts(assistant("so"))


class Greeting(Environment):
    def messages(self, task: Task) -> list[Message]:
        return [user("Hello!"), *super().messages(task)]


class Stubborn(Environment):
    def prompt(self, task: Task) -> list[Message]:
        return [user("Hello!")]


def test_who_overrides_messages_can_be_arranged_and_who_overrides_prompt_is_told() -> None:
    here, task, _ = Greeting(lambda ctx: Functions([]), modules=(MessageLayout(layouts=("headed",)),)).drawn(
        TASK, seed=0, name="x"
    )
    assert isinstance(here, Greeting) and [one.text for one in here.prompt(task)] == ["## Task\n\nHello!", "Why?"]
    with pytest.raises(ConfigError, match="override messages instead"):
        Stubborn(lambda ctx: Functions([]), modules=(MessageLayout(),)).drawn(TASK, seed=0, name="x")
    styled, _, _ = Stubborn(lambda ctx: Functions([]), modules=(SystemStyle(),)).drawn(TASK, seed=0, name="x")
    assert styled.prompt(TASK) == [user("Hello!")]
