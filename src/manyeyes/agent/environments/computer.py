"""`Computer`: a screen that is looked at and acted on; shipped is one in a browser, a virtual machine would be another.

Report: App. E.7 (computer use).

    ManyeyesError
    └── SandboxUnavailable
        └── ComputerLost    a screen that is gone
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from manyeyes.agent.environments.input_event import Event
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.core.errors import ConfigError
from manyeyes.core.picture import Picture


class ComputerLost(SandboxUnavailable):
    """The computer is gone, or does not answer: a failure of the infrastructure, not of the agent."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What a screen is like.

    Attributes:
        width, height: of a page's pixels.
        scale: pixels of the screenshot for each of them.
        settle_seconds: that a page may take, at most, until it rests after an action.
    """

    width: int = 1280
    height: int = 800
    scale: float = 1.0
    settle_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or not self.scale > 0:
            raise ConfigError(f"a screen needs pixels, got {self.width} x {self.height} at scale {self.scale}")


class Computer(Protocol):
    """A screen that is looked at and acted on."""

    async def screenshot(self) -> Picture:
        """What it shows now. Raises ComputerLost."""
        ...

    async def do(self, events: Sequence[Event]) -> None:
        """Make input events, one after the other, and wait until the screen rests. Raises ComputerLost."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...
