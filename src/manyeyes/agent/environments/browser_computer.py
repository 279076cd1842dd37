"""`BrowserComputer`: a screen in headless Chromium with a real mouse and a real keyboard.

    computer = await computers.open(Screen(1280, 800))             see `browser_computers`
    await computer.goto("https://example.org/")
    await computer.do(events_of("pyautogui.click(0.5, 0.5)"))
    picture = await computer.screenshot()
    await computer.close()

What a page does by itself is dealt with as in the browser tools (`LiveTab`): dialogs dismissed, downloads refused, only
what the guard lets through is loaded.

Report: App. E.7 (computer use); the browser is an open choice here.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from manyeyes.agent.environments.computer import ComputerLost, Screen
from manyeyes.agent.environments.input_event import (
    Event,
    KeyDown,
    KeyUp,
    Move,
    MoveBy,
    Pause,
    Press,
    Release,
    Typed,
    Wheel,
)
from manyeyes.agent.tools.browser_context import LiveTab
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.core.picture import Picture

NOTCH = 53
"""Pixels that a page moves by a notch of the wheel, as Chromium on Linux has it."""
CALL_SECONDS = 30.0
"""For anything that is asked of a page; what an action waits for by itself comes on top."""
CLOSE_SECONDS = 2.0
SMALL = 500_000
"""Pixels up to which a screenshot is kept without loss."""
QUALITY = 90
"""Of JPEG."""


class BrowserComputer:
    """A page of its own. Made by `BrowserComputers.open`.

    Attributes:
        page: of playwright; for worlds, which put something on it and read from it what it was worth.
    """

    def __init__(self, tab: LiveTab, screen: Screen, closed: Callable[[], None]) -> None:
        self._tab, self.screen, self._closed = tab, screen, closed
        self._x = self._y = 0.0

    @property
    def page(self) -> Any:
        """See the class; another one after a click that opened a window."""
        return self._tab.page

    @property
    def alive(self) -> bool:
        """Whether there is a page that can answer."""
        return not self._tab.crashed and not self.page.is_closed()

    async def goto(self, url: str) -> None:
        """Load an address.

        Raises:
            FetchError: it may not be loaded, or could not.
            ComputerLost: the page is gone.
        """
        await self.asked(self._tab.goto(url))

    async def screenshot(self) -> Picture:
        """See `Computer.screenshot`."""
        small = self.screen.width * self.screen.height * self.screen.scale**2 <= SMALL
        kind = {"type": "png"} if small else {"type": "jpeg", "quality": QUALITY}
        return Picture.from_bytes(await self.asked(self.page.screenshot(**kind)), name="screenshot")

    async def do(self, events: Sequence[Event]) -> None:
        """See `Computer.do`; `Wait` and `Terminate` are the environment's and are passed over."""
        self._tab.begin()
        pauses = sum(event.seconds for event in events if isinstance(event, Pause))
        await self.asked(self._made(events), seconds=CALL_SECONDS + pauses)
        with suppress(FetchError):  # it led somewhere that is not shown: the screenshot says so
            await self.asked(self._tab.after())

    async def asked(self, what: Any, *, seconds: float = CALL_SECONDS) -> Any:
        """What the page answers.

        Raises:
            ComputerLost: it is gone, or did not answer in time.
        """
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(seconds):
                return await what
        except TimeoutError:
            raise ComputerLost(f"the page did not answer within {seconds:g} s") from None
        except Error as error:
            raise ComputerLost(f"the page is gone: {error.message.strip().splitlines()[0][:200]}") from None

    async def close(self) -> None:
        """See `Computer.close`; may be called again."""
        closed, self._closed = self._closed, _nothing
        try:
            await _in_time(self._tab.context.close())
        finally:
            closed()

    async def _made(self, events: Sequence[Event]) -> None:
        for event in events:
            await self._make(event)

    async def _make(self, event: Event) -> None:
        mouse, keyboard = self.page.mouse, self.page.keyboard
        match event:
            case Move(x, y, pieces):
                await self._point(x, y, pieces)
            case MoveBy(dx, dy, pieces):
                await self._point(self._x + dx, self._y + dy, pieces)
            case Press(button, count):
                await mouse.down(button=button, click_count=count)
            case Release(button, count):
                await mouse.up(button=button, click_count=count)
            case Wheel(up, left):
                await mouse.wheel(-left * NOTCH, -up * NOTCH)
            case KeyDown(key):
                await keyboard.down(key)
            case KeyUp(key):
                await keyboard.up(key)
            case Typed(text):
                await keyboard.type(text)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case _:
                pass

    async def _point(self, x: float, y: float, pieces: int) -> None:
        """Move the pointer; it stays on the screen."""
        width, height = self.screen.width, self.screen.height
        self._x, self._y = min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
        await self.page.mouse.move(min(self._x * width, width - 1), min(self._y * height, height - 1), steps=pieces)


async def _in_time(closing: Any) -> None:
    """Wait for a context to close, but not long, and whatever it says about it."""
    from playwright.async_api import Error

    with suppress(TimeoutError, Error):
        async with asyncio.timeout(CLOSE_SECONDS):
            await closing


def _nothing() -> None:
    """It was closed before."""
