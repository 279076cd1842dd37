"""Run a swarm from Python: a task, an endpoint, tools, an answer.

    python examples/run_a_swarm.py "TASK" --endpoint URL --model NAME    key: the variable MANYEYES_API_KEY
    python examples/run_a_swarm.py                                 without an endpoint: rules on a made-up web

Agents get pages, files and media here; give `ToolKit` a search backend and more groups for more.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.session import Session, SessionConfig
from manyeyes.swarm.tool_kit import ToolKit
from manyeyes.swarm.world import wide_tasks, world_web


async def on_an_endpoint(task: str, endpoint: Endpoint, folder: Path) -> Session:
    """What an application would write."""
    session = Session.create(folder, SessionConfig(task, tools=("files", "media")))
    async with OpenAIChat(endpoint) as model, ToolKit(folder, groups=session.config.tools) as tools:
        await session.run(model, tools.tools)
    return session


async def on_rules(folder: Path) -> Session:
    """The same without a model: rules that know one kind of task, on a web made of tables."""
    web, task = world_web(), min(wide_tasks(), key=lambda task: len(task.gold))
    session = Session.create(folder, SessionConfig(task.query, preset="widesearch"))
    async with ToolKit(folder, search=web, pages=web) as tools:
        await session.run(rule_model(), tools.tools)
    await web.close()
    return session


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", default="")
    parser.add_argument("--endpoint", default="")
    parser.add_argument("--model", default="")
    asked = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="swarm-"))
    endpoint = Endpoint(asked.endpoint, asked.model, os.environ.get("MANYEYES_API_KEY", ""))
    session = asyncio.run(on_an_endpoint(asked.task, endpoint, folder) if asked.endpoint else on_rules(folder))
    figures = session.figures()
    print((folder / "answer.md").read_text())
    print(f"{figures.agents} sub-agents, {figures.critical_steps} critical of {figures.total_steps} steps; {folder}")


if __name__ == "__main__":
    main()
