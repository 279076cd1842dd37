"""`GymToolset`: one Gymnasium-style environment as a toolset with one tool, `act`; its steps run in threads.

Report: App. D ("Gym-like" interface).
"""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from manyeyes.agent.environment import Ctx
from manyeyes.agent.toolset import ToolResult, unknown_tool
from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Picture
from manyeyes.core.messages import Tool, ToolCall, part_of

Show = Literal["text", "picture", "both"]
NOTED = "gym_action"
"""Under which a step's action stands in the data of its result."""
ACT = "act"
MOST_NUMBERS = 1_000
"""Of an observation that is shown as text."""


@dataclass
class GymAttempt:
    """One attempt's environment and what it gave.

    Attributes:
        env: open; None before and after.
        first: what it showed at first.
        total, steps: rewards together, and how many steps.
        over: terminated or truncated.
    """

    env: Any = None
    first: tuple[Any, ...] = ()
    total: float = 0.0
    steps: int = 0
    over: bool = False


class GymToolset:
    """One attempt's environment as a toolset.

    Args:
        attempt: where what happens is noted.
        make: a new environment.
        seed: of its `reset`.
        actions, show, told: see `GymEnvironment`.
    """

    repeatable: frozenset[str] = frozenset()

    def __init__(
        self, attempt: GymAttempt, make: Callable[[], Any], *, seed: int, actions: Sequence[str], show: Show,
        told: Callable[[Any, dict[str, Any]], str],
    ) -> None:  # fmt: skip
        self.attempt, self.make, self.seed, self.actions, self.show, self.told = (
            attempt,
            make,
            seed,
            actions,
            show,
            told,
        )
        self.tools: tuple[Tool, ...] = (_tool(actions),)
        self._done_before: list[Any] = []
        self._turn, self._hands = asyncio.Lock(), threading.RLock()

    def of(self, ctx: Ctx) -> "GymToolset":
        """With what the attempt did before it was interrupted."""
        self._done_before = [noted[NOTED] for noted in ctx.noted if NOTED in noted]
        return self

    async def open(self) -> None:
        """Make the environment, and whatever steps were made before."""
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        attempt = self.attempt
        with self._hands:
            attempt.env = self.make()
            observation, info = attempt.env.reset(seed=self.seed)
            attempt.first = self._shown(observation, info)
            for action in self._done_before:
                self._step(action)

    async def close(self) -> None:
        """Close the environment."""
        await asyncio.gather(asyncio.to_thread(self._close), return_exceptions=True)

    def _close(self) -> None:
        with self._hands:  # a step that nobody waits for any more, or the making of it, may still be under way
            env, self.attempt.env = self.attempt.env, None
            if hasattr(env, "close"):
                env.close()

    async def call(self, call: ToolCall) -> ToolResult:
        """One step; steps of one answer are made one after another."""
        if call.name != ACT:
            return unknown_tool(call.name, [ACT])
        try:
            action = self._action(json.loads(call.arguments)["action"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            return ToolResult.failed("bad_arguments", f"this is no action: {error}")
        async with self._turn:
            if self.attempt.over:
                return ToolResult.failed("refused", "the episode is over; this action was not taken")
            shown = await asyncio.to_thread(self._step, action)
        return ToolResult.of(*shown, **{NOTED: action, "return": self.attempt.total})

    def _step(self, action: Any) -> tuple[Any, ...]:
        attempt = self.attempt
        space = getattr(attempt.env, "action_space", None)
        given = np.asarray(action, space.dtype) if isinstance(action, list) and space is not None else action
        with self._hands:
            observation, reward, terminated, truncated, info = attempt.env.step(given)
        attempt.total, attempt.steps = attempt.total + float(reward), attempt.steps + 1
        attempt.over = bool(terminated or truncated)
        end = f"\nThe episode is over; rewards add up to {attempt.total:g}." if attempt.over else ""
        return (*self._shown(observation, info), f"\nReward: {float(reward):g}.{end}")

    def _action(self, given: Any) -> Any:
        """The action that a name, a number or a list stands for.

        Raises:
            ValueError: there is none.
        """
        if self.actions:
            if given not in self.actions:
                raise ValueError(f"expected one of {', '.join(self.actions)}, got {given!r}")
            return self.actions.index(given)
        space = getattr(self.attempt.env, "action_space", None)
        if space is None:
            return given
        given = int(given) if hasattr(space, "n") and isinstance(given, str) else given
        if not space.contains(np.asarray(given, space.dtype) if isinstance(given, list) else given):
            raise ValueError(f"expected an action of {space}, got {given!r}")
        return given

    def _shown(self, observation: Any, info: dict[str, Any]) -> tuple[Any, ...]:
        """An observation as parts of a message."""
        words = (self.told(observation, info),) if self.show != "picture" else ()
        picture = (pictured(self.attempt.env.render()),) if self.show != "text" else ()
        return tuple(part_of(piece) for piece in (*words, *picture))


def observed(observation: Any) -> str:
    """An observation in words: text as it is, arrays and numbers as JSON."""
    match observation:
        case str():
            return observation
        case np.ndarray() if observation.size > MOST_NUMBERS:
            raise ConfigError(
                f'an observation of shape {observation.shape} is not told in words: show="picture", or told=...'
            )
        case np.ndarray() | np.generic():
            return json.dumps(observation.tolist())
        case dict():
            return "\n".join(f"{name}: {observed(one)}" for name, one in observation.items())
        case _:
            return str(observation)


def pictured(drawn: Any) -> Picture:
    """What `render` gave, as a picture.

    Raises:
        ConfigError: it is none; Gymnasium needs `render_mode="rgb_array"`.
    """
    if isinstance(drawn, np.ndarray) and drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3:
        return Picture.of(np.array(drawn))
    raise ConfigError(
        "expected render to give an array [height, width, 3] of uint8 (render_mode='rgb_array'), "
        f"got {type(drawn).__name__}"
    )


def _tool(actions: Sequence[str]) -> Tool:
    action = {"enum": list(actions), "type": "string"} if actions else {"description": "a number, or a list of numbers"}
    schema = {"type": "object", "properties": {"action": action}, "required": ["action"], "additionalProperties": False}
    return Tool(ACT, "Take one action in the environment.", schema)
