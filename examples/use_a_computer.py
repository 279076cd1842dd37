"""Computer use on a page of one's own: what is on the screen, what is to be done, what it was worth.

python examples/use_a_computer.py          needs Chromium and `pip install 'manyeyes[browser]'`
"""

import asyncio
from collections.abc import Sequence

import numpy as np

from manyeyes.agent.environments.browser_computer import BrowserComputer
from manyeyes.agent.environments.browser_computers import BrowserComputers
from manyeyes.agent.environments.computer import Screen
from manyeyes.agent.environments.computer_use import ComputerUse
from manyeyes.agent.environments.computer_world import WorldState
from manyeyes.agent.environments.input_event import Terminate
from manyeyes.agent.environments.local_pages import ROOT, serve
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.tools.browser_command import installed_browser
from manyeyes.core.messages import Message, assistant

PAGE = b"""<script>let left = 3; function go(b) { left -= 1; b.style.top = 60 * left + "px"; b.style.left = "70px"; }
</script><button onclick="go(this)" style="position:absolute;width:80px;height:40px;background:blue"></button>"""
ANSWER = "It is blue.\n\n## Action:\nClick on it.\n\n## Code:\n```python\npyautogui.click(x={x:.3f}, y={y:.3f})\n```"


class ThreeClicks:
    """The button runs away twice. This is all that an author writes."""

    screen = Screen(320, 240)

    async def begin(self, task: Task, computer: BrowserComputer) -> str:
        await serve(computer, {"index.html": PAGE}.get)
        await computer.goto(f"{ROOT}index.html")
        return task.prompt

    async def state(self, computer: BrowserComputer, ended: Terminate | None) -> WorldState:
        return WorldState(over := await computer.page.evaluate("() => left === 0"), float(over))


def clicks_on_blue(messages: Sequence[Message]) -> Message:  # a script plays the model; it looks at the screenshot
    pixels = next(message.media[0] for message in reversed(messages) if message.media).pixels()
    y, x = np.argwhere(pixels[..., 2].astype(int) - pixels[..., 0] > 150).mean(axis=0) / pixels.shape[:2]
    return assistant(ANSWER.format(x=x, y=y))


async def main() -> None:
    model, task = Scripted(clicks_on_blue), Task("clicks", "Click on the blue button 3 times.")
    async with BrowserComputers(installed_browser()) as computers, RolloutManager({"live": model}) as manager:
        environment = ComputerUse(world=ThreeClicks(), computers=computers)
        manager.submit(GroupRequest("0", task, environment, size=2))
        for attempt in (await anext(manager.results())).trajectories:
            print(f"{attempt.name}: {attempt.reward} {attempt.rewards}")


if __name__ == "__main__":
    asyncio.run(main())
