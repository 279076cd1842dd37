"""`Distractors`: tools that the task does not need, beside those that it does. They work: nothing gives them away.

Report: App. D (prompt diversification).
"""

import calendar
import datetime
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manyeyes.agent.prompting.module import Presentation
from manyeyes.agent.toolset import Functions, Together, Toolset
from manyeyes.core.errors import ConfigError

Pool = Mapping[str, Callable[..., Awaitable[Any]]]


async def weekday(year: int, month: int, day: int) -> str:
    """Tell which day of the week a date is.

    Args:
        year: such as 2026.
        month: 1 to 12.
        day: of the month.
    """
    return calendar.day_name[datetime.date(year, month, day).weekday()]


async def days_between(first: str, second: str) -> str:
    """Count the days from one date to another.

    Args:
        first: as YYYY-MM-DD.
        second: as YYYY-MM-DD.
    """
    return str((datetime.date.fromisoformat(second) - datetime.date.fromisoformat(first)).days)


async def celsius_to_fahrenheit(celsius: float) -> str:
    """Convert a temperature.

    Args:
        celsius: in degrees.
    """
    return f"{celsius * 9 / 5 + 32:g}"


async def kilometres_to_miles(kilometres: float) -> str:
    """Convert a distance.

    Args:
        kilometres: the distance.
    """
    return f"{kilometres / 1.609344:g}"


async def word_count(text: str) -> str:
    """Count the words of a text.

    Args:
        text: to be counted.
    """
    return str(len(text.split()))


async def checksum(text: str) -> str:
    """Compute the SHA-256 of a text.

    Args:
        text: to be hashed, as UTF-8.
    """
    return hashlib.sha256(text.encode()).hexdigest()


async def roman_numeral(number: int) -> str:
    """Write a number from 1 to 3999 as a Roman numeral.

    Args:
        number: to be written.
    """
    if not 1 <= number <= 3999:
        return "only numbers from 1 to 3999 have one"
    digits = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
              (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip
    written = ""
    for value, letters in digits:
        written, number = written + letters * (number // value), number % value
    return written


async def reverse_text(text: str) -> str:
    """Write a text backwards.

    Args:
        text: to be reversed.
    """
    return text[::-1]


POOL: Pool = {
    one.__name__: one
    for one in (
        weekday, days_between, celsius_to_fahrenheit, kilometres_to_miles, word_count, checksum, roman_numeral,
        reverse_text,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Distractors:
    """A prompt module: some more tools.

    Attributes:
        most: at most so many.
        pool: where they come from, by name; none may be called as a tool of the environment is.
    """

    most: int = 3
    pool: Pool = field(default_factory=lambda: POOL)
    name: str = "distractors"

    def __post_init__(self) -> None:
        if not 0 <= self.most <= len(self.pool):
            raise ConfigError(
                f"{self.name}: expected at most {len(self.pool)} tools, as the pool holds, got {self.most}"
            )

    def draw(self, rng: np.random.Generator, shown: Presentation) -> dict[str, Any]:
        """See `PromptModule.draw`."""
        tools = rng.permutation(sorted(self.pool))[: rng.integers(0, self.most + 1)]
        return {"tools": tools.tolist(), "first": bool(rng.random() < 0.5)}

    def apply(self, shown: Presentation, choice: dict[str, Any]) -> Presentation:
        """See `PromptModule.apply`."""
        if missing := [name for name in choice["tools"] if name not in self.pool]:
            raise ConfigError(f"{self.name}: the variant was drawn from another pool; it has {missing}")
        return shown.looking(lambda toolset: self._beside(toolset, choice)) if choice["tools"] else shown

    def _beside(self, toolset: Toolset, choice: dict[str, Any]) -> Together:
        more = Functions([self.pool[name] for name in choice["tools"]])
        if taken := {tool.name for tool in toolset.tools} & {tool.name for tool in more.tools}:
            raise ConfigError(
                f"{self.name}: the environment has tools called {sorted(taken)}; leave these out of the pool"
            )
        return Together(more, toolset) if choice["first"] else Together(toolset, more)
