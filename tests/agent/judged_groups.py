"""Groups of attempts that have ended, without anybody having made them."""

from typing import Any

import numpy as np

from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.task import Task
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import AgentSpan, Node, Trajectory

TOKENIZER = Tokenizer.tiny()


def attempt(
    number: int, reward: float | None, *, text: str = "x", tokens: int = 0, masked: str = "", stop: str = "done",
    **parts: float,
) -> Trajectory:  # fmt: skip
    """One answer, of so many tokens where its text does not matter."""
    said = np.asarray([7] * tokens or TOKENIZER.encode(text), np.int32)
    node = Node(
        np.concatenate([np.array([1], np.int32), said]), 1, np.zeros(len(said), np.float32),
        np.zeros(len(said), np.int32),
    )  # fmt: skip
    return Trajectory(
        f"t/0/{number}", "t", agents=[AgentSpan(text=text, stop=stop)], nodes=[node], rewards=dict(parts),
        reward=reward, masked=masked, stop=stop,
    )  # fmt: skip


def group(*attempts: Trajectory, complete: bool = True, episode: Any = None) -> Group:
    """Of a task that asks to be told about something."""
    request = GroupRequest("0", Task("t", "Tell me about it"), episode, len(attempts))
    return Group(request, list(attempts), complete=complete)
