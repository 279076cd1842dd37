"""`World`: what is on a computer's screen: puts it there, says in words what is to be done, knows what it was worth.

Report: App. E.7.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from manyeyes.agent.environments.computer import Screen
from manyeyes.agent.environments.input_event import Terminate
from manyeyes.agent.task import Task


@dataclass(frozen=True, slots=True)
class WorldState:
    """What has become of a task.

    Attributes:
        done: nothing more can be done.
        reward: so far, at least 0.
        parts: more numbers, by name.
        reason: in words; "" where there is none.
    """

    done: bool
    reward: float
    parts: dict[str, float] = field(default_factory=dict)
    reason: str = ""


class World(Protocol):
    """What is on the screen. One object serves all attempts, so what belongs to one lies on its computer."""

    @property
    def screen(self) -> Screen:
        """That it needs."""
        ...

    async def begin(self, task: Task, computer: Any) -> str:
        """Put the task on an empty screen; returns the instruction, for the agent to read.

        Raises:
            ComputerLost, FetchError: it could not be put there.
        """
        ...

    async def state(self, computer: Any, ended: Terminate | None) -> WorldState:
        """What has become of it. Raises ComputerLost.

        Args:
            ended: what the agent said when it terminated, an answer perhaps; None while it has not.
        """
        ...
