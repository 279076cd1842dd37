"""A multi-turn environment: a trail of notes, to be followed with a tool that has another name in every attempt.

    python examples/tool_environment.py

A reader that finds the tool by what it does stands in for your model.
"""

import asyncio
import json
import re

from manyeyes.agent.answer_rewards import same_answer
from manyeyes.agent.chat_model import Reply
from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Rewards
from manyeyes.agent.prompting.distractors import Distractors
from manyeyes.agent.prompting.tool_naming import ToolNaming
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.messages import ToolCall, assistant

NOTES = {"door": "See the lamp.", "lamp": "See the clock.", "clock": "The treasure is amber."}


async def read_note(place: str) -> str:
    """Read the note that lies at a place, such as "door"."""
    return NOTES.get(place, "There is no note.")


trail = Environment(
    lambda ctx: Functions([read_note]),
    system='Follow the notes; start at the door. End with a line "Answer: " and the treasure.',
    judge=Rewards(correct=same_answer),
    name="trail",
    modules=(Distractors(), ToolNaming()),
)


class Reader(Scripted):
    async def complete(self, messages, tools=(), **rest) -> Reply:
        if found := re.search(r"treasure is (\w+)", messages[-1].text):
            return Reply(assistant(f"Answer: {found[1]}"))
        place = (re.findall(r"See the (\w+)", messages[-1].text) or ["door"])[0]
        tool = next(tool for tool in tools if "note" in tool.description)
        arguments = json.dumps({next(iter(tool.parameters["properties"])): place})
        return Reply(assistant(calls=(ToolCall("functions.read:0", tool.name, arguments),)))


async def main() -> None:
    async with RolloutManager({"live": Reader([])}) as manager:
        manager.submit(GroupRequest("0", Task("trail", "What is the treasure?", truth="amber"), trail, size=4))
        async for group in manager.results():
            for trajectory in group.trajectories:
                print(trajectory.reward, json.dumps(trajectory.variant))


if __name__ == "__main__":
    asyncio.run(main())
