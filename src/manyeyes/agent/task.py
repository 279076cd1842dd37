"""`Task` and `Outcome`: what an agent is asked, and how it ended. An outcome is always a value; nothing is ever lost.

Report: App. D (tasks), App. E.8 (step limits).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from manyeyes.agent.budget import Limits
from manyeyes.agent.chat_model import Usage

Stop = Literal[
    "done", "step_cap", "turn_cap", "token_cap", "cost_cap", "time_cap", "loop", "context_overflow", "cut_off",
    "filtered", "error", "cancelled",
]  # fmt: skip
CAPS: dict[str, Stop] = {
    "steps": "step_cap", "turns": "turn_cap", "tokens": "token_cap", "cost": "cost_cap", "seconds": "time_cap",
}  # fmt: skip
"""By the limit that was reached."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one agent is to do.

    Attributes:
        id: unique within a run.
        prompt: the user's words.
        truth: the right answer where one is known; agents never see it.
        limits: of this agent alone.
    """

    id: str
    prompt: str
    truth: Any = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an agent ended.

    Attributes:
        stop: "done" when it ended by itself; "cut_off" and "filtered" when the endpoint ended its last answer; else the
            cap, the failure, or the cancellation that ended it.
        text: its last words; what it had written where it was cut short.
        reason: why it stopped, for people; "" when done.
        steps: tool calls and environment interactions.
        turns: answers of the model.
        usage: of this agent alone, its sub-agents not counted.
        data: what the environment adds, such as files.

    Example:
        >>> Outcome("done", "42").finished
        True
    """

    stop: Stop
    text: str
    reason: str = ""
    steps: int = 0
    turns: int = 0
    usage: Usage = Usage()
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it ended by itself."""
        return self.stop == "done"
