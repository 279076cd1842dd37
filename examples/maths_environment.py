"""A single-turn environment: sums to be solved in words, judged by the number and by how short the answer is.

    python examples/maths_environment.py

A model that is right three times out of four stands in for yours: a `TokenChat` or an `OpenAIChat`.
"""

import asyncio
import itertools
import re

from manyeyes.agent.answer_rewards import same_number
from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case, Rewards, Weighted
from manyeyes.agent.prompting.system_style import SystemStyle
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Functions
from manyeyes.core.messages import assistant
from manyeyes.core.seeds import stream


def brief(case: Case) -> float:
    return float(len(case.outcome.text) <= 200)


def sum_of(number: int) -> Task:
    a, b, c = stream(0, "examples/sums", number).integers(10, 100, 3).tolist()
    return Task(f"sum/{number}", f"What is {a} + {b} * {c}?", truth=a + b * c)


maths = Environment(
    lambda ctx: Functions([]),
    system='Solve the task step by step. End with a line that reads "Answer: " and the number.',
    judge=Rewards(correct=same_number, brief=Weighted(brief, 0.1)),
    name="maths",
    modules=(SystemStyle(),),
)


luck = itertools.count()


def calculator(messages):
    a, b, c = map(int, re.findall(r"\d+", messages[-1].text))
    return assistant(f"Multiply first.\nAnswer: {a + b * c if next(luck) % 4 else (a + b) * c}")


async def main() -> None:
    async with RolloutManager({"live": Scripted(calculator)}) as manager:
        for number, task in enumerate(Tasks(sum_of, size=4, seed=1, name="sums")):
            manager.submit(GroupRequest(str(number), task, maths, size=4, seed=1))
        async for group in manager.results():
            print(group.request.task.prompt, group.rewards)


if __name__ == "__main__":
    asyncio.run(main())
