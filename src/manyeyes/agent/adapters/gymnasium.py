"""Gymnasium-style environments: anything with `reset(seed=)`, `step(action)` and, where wanted, `render()`.

    environment = GymEnvironment(make=lambda: gymnasium.make("FrozenLake-v1"), actions=("left", "down", "right", "up"))
    for task in gym_tasks("Reach the goal.", size=100): ...        each its own seed

The agent acts by a tool (`act`), or by words ("Action: left"). What it observes is text, or the picture that `render`
gives. The reward is the sum of what the steps gave. An interrupted attempt is brought back by making the same steps in
an environment of the same seed. The package itself is not imported: whoever makes the environment has it.

Report: App. D ("Gym-like" interface); Towers et al., "Gymnasium", 2024 (`Env.reset`, `Env.step`, `Env.render`).
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from manyeyes.agent.adapters.gym_toolset import ACT, GymAttempt, GymToolset, Show, observed
from manyeyes.agent.environment import Ctx, Session, Step, no_tools
from manyeyes.agent.environments.attempt_environment import AttemptEnvironment, redrawn, undrawn
from manyeyes.agent.judge import Case, Verdict, checked
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, Tool, ToolCall, user

BY_WORDS = 'End each answer with one line "Action: " and your action ({actions}).'
_ACTION = re.compile(r"^[^\S\n]*action:(.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass
class GymEnvironment(AttemptEnvironment):
    """See the module.

    Attributes:
        make: a new environment; called for every attempt, in a thread.
        by_words: whether the agent acts by words, and not by a tool.
        actions: names of the actions of a discrete space, in order; their numbers where there are none.
        show: whether observations are told, drawn (`render`), or both.
        told: an observation in words, from it and the step's `info`.
        attempt: only `bound` sets this.
    """

    make: Callable[[], Any] | None = None
    by_words: bool = False
    actions: tuple[str, ...] = ()
    show: Show = "text"
    told: Callable[[Any, dict[str, Any]], str] = lambda observation, info: observed(observation)
    attempt: GymAttempt | None = field(default=None, repr=False)

    def bound(self, task: Task) -> Self:
        """See `AttemptEnvironment.bound`.

        Raises:
            ConfigError: nothing says how an environment is made, the task has no seed, or it belongs to an attempt.
        """
        if self.attempt is not None:
            redrawn()
        if self.make is None:
            raise ConfigError("a Gymnasium environment needs to know how it is made: GymEnvironment(make=...)")
        if not isinstance(task.truth, dict) or "seed" not in task.truth:
            raise ConfigError(f'the task {task.id!r} needs truth={{"seed": ...}}; gym_tasks makes such tasks')
        attempt = GymAttempt()
        toolset = GymToolset(
            attempt, self.make, seed=task.truth["seed"], actions=self.actions, show=self.show, told=self.told
        )
        judge = self.judge or GymJudge(attempt)
        return replace(self, make_toolset=toolset.of, judge=judge, attempt=attempt)

    def messages(self, task: Task) -> list[Message]:
        """See `Environment.messages`: the task and what is there to be seen; the session must be open."""
        if self.attempt is None or not self.attempt.first:
            raise ConfigError("there is nothing to be seen yet: open the session, then ask for the prompt")
        (*rest, asked) = super().messages(replace(task, prompt=task.prompt + self._how))
        return [*rest, user(f"{asked.text}\n\n", *self.attempt.first)]

    def open(self, ctx: Ctx) -> Session:
        """See `Environment.open`."""
        if self.attempt is None:
            undrawn()
        toolset = self.make_toolset(ctx) if self.by_words else super().open(ctx).toolset
        return GymSession(self, toolset, ctx, self.attempt)

    @property
    def _how(self) -> str:
        return "\n\n" + BY_WORDS.format(actions=", ".join(self.actions) or "its number") if self.by_words else ""


class GymSession(Session):
    """One agent in an environment of rewards; it is over when the environment says so."""

    def __init__(self, environment: GymEnvironment, toolset: Toolset, ctx: Ctx, attempt: GymAttempt) -> None:
        super().__init__(environment, toolset, ctx)
        self._attempt, self._words, self._count = attempt, environment.by_words, 0

    @property
    def tools(self) -> Sequence[Tool]:
        """None, where words are actions."""
        return () if self._words else super().tools

    def acts(self, answer: Message) -> bool:
        """Words are actions, where there is no tool."""
        return self._words or super().acts(answer)

    async def step(self, action: Message) -> Step:
        """See `Session.step`."""
        step = await (self._by_words(action.text) if self._words else super().step(action))
        observations = (*no_tools(action), *step.observations) if self._words else step.observations
        return step._replace(observations=observations, done=step.done or self._attempt.over)

    async def _by_words(self, text: str) -> Step:
        found = _ACTION.findall(text)
        if not found:
            return Step(
                (user('Error: expected a line "Action: ..." at the end of the answer; no action was taken'),), False, 1
            )
        self._count += 1
        call = ToolCall.of(ACT, {"action": _worded(found[-1].strip())}, index=self._count)
        result = await self.ctx.call(self.toolset, call, position=0)
        return Step((user(*result.parts),), False, result.steps)


@dataclass(frozen=True, slots=True)
class GymJudge:
    """The sum of rewards."""

    attempt: GymAttempt

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        total = self.attempt.total
        return checked("the environment", Verdict(total, {"return": total}, {"steps": self.attempt.steps}))


def gym_tasks(prompt: str, *, size: int, seed: int = 0, name: str = "gym", shuffled: bool = True) -> Tasks:
    """Tasks that differ in the seed of their environment."""
    return Tasks(
        lambda number: Task(f"{name}/{number}", prompt, {"seed": number}),
        size=size,
        seed=seed,
        shuffled=shuffled,
        name=name,
    )


def _worded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
