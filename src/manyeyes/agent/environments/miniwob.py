"""`MiniWob`: the MiniWoB++ tasks on a computer's screen: small pages, each with an instruction and a reward of its own.

    page      files of the package `miniwob`, answered from memory (`local_pages`)
    seed      of the page's own random numbers: the same seed shows the same problem
    reward    what the page says, without its discount for time: models take seconds for what the page gives ten for
    screen    160 x 210 pixels of the page, three times as many in the screenshot

What the page tells about itself (last reward, time left) is not on the screen, and a page whose problem is over begins
no other. A page that was left or loaded anew gives no reward.

Report: App. E.7; MiniWoB++: Liu et al., "Reinforcement learning on web interfaces", ICLR 2018.
"""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from manyeyes.agent.environments.browser_computer import BrowserComputer
from manyeyes.agent.environments.browser_computers import BrowserComputers
from manyeyes.agent.environments.computer import Screen
from manyeyes.agent.environments.computer_use import ComputerUse
from manyeyes.agent.environments.computer_world import WorldState
from manyeyes.agent.environments.input_event import Terminate
from manyeyes.agent.environments.local_pages import ROOT, folder, serve
from manyeyes.agent.missing_package import MissingPackage
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.tools.browser_command import installed_browser
from manyeyes.core.errors import ConfigError

SCREEN = Screen(160, 210, scale=3.0, settle_seconds=0.25)
LONGEST_EPISODE = 3_600_000
"""Milliseconds until a page gives up; whoever runs the agent has a limit of his own."""
HIDDEN = "#reward-display, #click-canvas { display: none !important } html, body { overflow-x: hidden }"

BEGIN = """([seed, longest]) => {
  core.EPISODE_MAX_TIME = longest;
  Math.seedrandom(seed);
  core.startEpisodeReal();
  core.startEpisode = () => {};
  window.begunByUs = true;
}"""
STATE = """() => ({
  begun: window.begunByUs === true,
  done: window.begunByUs === true && WOB_DONE_GLOBAL,
  raw: Number(window.WOB_RAW_REWARD_GLOBAL) || 0,
  timed: Number(window.WOB_REWARD_GLOBAL) || 0,
  reason: String(window.WOB_REWARD_REASON || "").slice(0, 200),
})"""


class MiniWob:
    """The world of MiniWoB++; a task's truth is `{"page": name, "seed": number}`.

    Raises:
        ConfigError: the package is not installed.
    """

    screen = SCREEN

    def __init__(self) -> None:
        self._read = folder(_html())

    async def begin(self, task: Task, computer: BrowserComputer) -> str:
        """See `World.begin`."""
        await serve(computer, self._read)
        await computer.goto(f"{ROOT}miniwob/{task.truth['page']}.html")
        page = computer.page
        await computer.asked(page.wait_for_load_state("load"))
        await computer.asked(page.add_style_tag(content=HIDDEN))
        await computer.asked(page.evaluate(BEGIN, [str(task.truth["seed"]), LONGEST_EPISODE]))
        await computer.asked(page.wait_for_function("() => WOB_TASK_READY"))
        return await computer.asked(page.evaluate("() => core.getUtterance()"))

    async def state(self, computer: BrowserComputer, ended: Terminate | None = None) -> WorldState:
        """See `World.state`."""
        told = await computer.asked(computer.page.evaluate(STATE))
        if not told["begun"]:
            return WorldState(True, 0.0, {"left": 1.0}, "the page was left")
        parts = {"raw": float(told["raw"]), "timed": float(told["timed"])}
        return WorldState(bool(told["done"]), max(0.0, parts["raw"]), parts, told["reason"])


@cache
def miniwob_pages() -> tuple[str, ...]:
    """Names of all pages, sorted.

    Raises:
        ConfigError: the package is not installed.
    """
    return tuple(sorted(path.stem for path in (_html() / "miniwob").glob("*.html")))


def miniwob_task(page: str, seed: int) -> Task:
    """One problem; its words are only known to the page, which says them when it begins.

    Raises:
        ConfigError: there is no such page.
    """
    if page not in miniwob_pages():
        raise ConfigError(f"MiniWoB++ has no page {page!r}; it has {', '.join(miniwob_pages())}")
    return Task(f"miniwob/{page}/{seed}", f"Do what the page {page} asks for.", truth={"page": page, "seed": seed})


def miniwob_tasks(seed: int = 0, *, pages: Sequence[str] = (), seeds: int = 1_000, epochs: int | None = None) -> Tasks:
    """A source of problems: every page with every seed of its own, in an order of `seed`.

    Args:
        seed: of the order.
        pages: names; all pages when empty.
        seeds: problems of each page.
        epochs: see `Tasks`.

    Raises:
        ConfigError: the package is not installed, or has no such page.
    """
    names = tuple(pages) or miniwob_pages()
    size = seeds * len(names)
    for name in names:
        miniwob_task(name, 0)
    named = f"miniwob/{','.join(names)}"

    def at(number: int) -> Task:
        return miniwob_task(names[number % len(names)], number // len(names))

    return Tasks(at, size=size, seed=seed, epochs=epochs, name=named)


def miniwob(*, most: int = 8, **settings: Any) -> ComputerUse:
    """The environment, in this machine's browser; close it at the end.

    Args:
        most: screens at once.
        settings: of `ComputerUse`.

    Raises:
        ConfigError: no browser that works, or the package is not installed.
    """
    return ComputerUse(
        world=MiniWob(), computers=BrowserComputers(installed_browser(), most=most), name="miniwob", **settings
    )


def _html() -> Path:
    found = importlib.util.find_spec("miniwob")
    if found is None or not found.submodule_search_locations:
        raise MissingPackage("the pages of MiniWoB++ are not installed: pip install 'manyeyes[environments]'")
    return Path(next(iter(found.submodule_search_locations))) / "html"
