"""A generative reward model that looks at what was made: an HTML artefact, rendered without a network, then graded.

python examples/artefact_grm.py            needs Chromium and `pip install 'manyeyes[browser]'`

Scripts play both models: one draws two bar charts, the other says whether there is ink in the picture.
"""

import asyncio
import json
from collections.abc import Sequence

from manyeyes.agent.artefacts import HtmlArtefacts
from manyeyes.agent.environment import Environment
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.grm_judge import GrmJudge, grader
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.tools.browser_command import installed_browser
from manyeyes.agent.toolset import Together
from manyeyes.core.messages import Message, assistant
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.generative_reward import GenerativeReward

BAR = '<div style="width:120px;height:{}px;background:#2357cc;display:inline-block;margin:8px">{}</div>'
TIDY = "".join(BAR.format(6 * value, value) for value in (30, 60, 90))
BROKEN = f'<div style="position:absolute;left:2000px">{TIDY}</div>'  # it stands beside the window
TASK = Task("chart", "Draw a bar chart of 30, 60 and 90 as one HTML file.")


def page(html: str) -> Message:
    return assistant(f"Here it is:\n```html\n<!doctype html>{html}\n```")


def sees_ink(messages: Sequence[Message]) -> Message:  # it answers in the form that the question asks for
    form = json.loads(messages[-1].text.splitlines()[-1])
    ink = [(picture.pixels()[..., 0] < 100).mean() for picture in messages[-1].media]
    best = bool(ink) and ink[0] > 0.05
    levels = {name: int(words.rstrip(">").split()[-1]) if best else 0 for name, words in form.items() if name != "mark"}
    return assistant(f"I looked at {len(ink)} pictures.\n{json.dumps({'mark': form['mark'], **levels})}")


async def main() -> None:
    grm = GenerativeReward({"sees ink": grader(Scripted(sees_ink))}, GrmConfig(quorum=2))
    async with HtmlArtefacts(installed_browser(), pictures=1) as artefacts:
        judge = GrmJudge(grm, "artefact", Tokenizer.tiny(), artefacts=artefacts)
        environment = Environment(lambda ctx: Together(), judge=judge, name="artefacts")
        async with RolloutManager({"live": Scripted([page(TIDY), page(BROKEN)])}) as manager:
            manager.submit(GroupRequest("0", TASK, environment, size=2))
            for attempt in (await anext(manager.results())).trajectories:
                print(f"{attempt.name}: {attempt.reward} {attempt.rewards}")


if __name__ == "__main__":
    asyncio.run(main())
