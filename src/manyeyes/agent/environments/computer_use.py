"""`ComputerUse`: an agent before a screen, as E.7 has it: shown a screenshot, it answers thought, action and code.

    user        instruction, screenshot                    assistant   thought, "## Action:", "## Code:"
    user        what came of it, screenshot                assistant   …

There are no tool calls: the words are the action (`ComputerSession.acts`). An attempt is over when the agent
terminates, when the world says so, or after 100 actions. The agent sees the last three screenshots and all its words.

    environment = ComputerUse(world=MiniWob(), computers=computers)

Report: App. E.7 (100 steps, temperature 0 on OSWorld-Verified).
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.context import ContextStrategy
from manyeyes.agent.environment import Ctx, Session, Step, no_tools
from manyeyes.agent.environments.attempt_environment import AttemptEnvironment, redrawn, undrawn
from manyeyes.agent.environments.browser_computer import BrowserComputer
from manyeyes.agent.environments.browser_computers import BrowserComputers
from manyeyes.agent.environments.computer import ComputerLost
from manyeyes.agent.environments.computer_answer import AnswerMalformed, read_answer
from manyeyes.agent.environments.computer_code import CodeRefused, events_of
from manyeyes.agent.environments.computer_prompt import INSTRUCTION, SYSTEM, LastScreenshots
from manyeyes.agent.environments.computer_world import World, WorldState
from manyeyes.agent.environments.input_event import Terminate, Wait
from manyeyes.agent.judge import Case, JudgeFailed, Verdict
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, Tool, ToolCall, system, user
from manyeyes.core.picture import Picture

STEPS = 100
WAIT_SECONDS = 20.0
"""Of `computer.wait`."""
ACTION = "computer"
"""What an action is called in records; no model is told this name."""


@dataclass
class ComputerAttempt:
    """What one attempt has on its screen, and what has become of it.

    Attributes:
        asked: the task's own words.
        instruction, first: what it begins with, as the world says it.
        state: of the world when somebody last looked; None before it began.
        ended: what the agent said when it terminated.
        steps: actions so far, malformed ones included.
    """

    asked: str = ""
    instruction: str = ""
    first: Picture | None = None
    state: WorldState | None = None
    ended: Terminate | None = None
    steps: int = 0


@dataclass
class ComputerUse(AttemptEnvironment):
    """See the module.

    Attributes:
        world: what is on the screen.
        computers: where screens come from.
        steps: actions of an attempt.
        wait_seconds: that `computer.wait` takes.
        password: of the computer, as E.7's prompt tells it.
        attempt: only `bound` sets this.
    """

    context: ContextStrategy = LastScreenshots()
    sampling: Sampling = Sampling(temperature=0.0)
    name: str = "computer-use"
    world: World | None = None
    computers: BrowserComputers | None = None
    steps: int = STEPS
    wait_seconds: float = WAIT_SECONDS
    password: str = "password"
    attempt: ComputerAttempt | None = field(default=None, repr=False)

    def bound(self, task: Task) -> Self:
        """See `AttemptEnvironment.bound`.

        Raises:
            ConfigError: there is no world, or no computer, or it belongs to an attempt.
        """
        if self.attempt is not None:
            redrawn()
        world, computers = self._given()
        attempt = ComputerAttempt(task.prompt)
        screen = OpenScreen(world, computers, task, attempt, wait_seconds=self.wait_seconds)
        told, judge = self.system or SYSTEM.format(password=self.password), self.judge or ComputerJudge(attempt)
        return replace(self, make_toolset=lambda ctx: screen, judge=judge, system=told, attempt=attempt)

    async def ready(self) -> None:
        """See `AttemptEnvironment.ready`: open a screen and close it.

        Raises:
            ConfigError: no browser starts here; the message says what to do.
        """
        world, computers = self._given()
        try:
            computer = await computers.open(world.screen)
        except ComputerLost as error:
            raise ConfigError(f"{self.name} needs a browser, and its first screen was lost: {error}") from None
        await computer.close()

    def _given(self) -> tuple[World, BrowserComputers]:
        if self.world is None or self.computers is None:
            raise ConfigError("computer use needs a world and computers: ComputerUse(world=…, computers=…)")
        return self.world, self.computers

    def messages(self, task: Task) -> list[Message]:
        """See `Environment.messages`: the words of the world, which the open session knows, and its screen."""
        attempt = self.attempt
        if attempt is None or attempt.first is None:
            raise ConfigError("the screen is not there yet: open the session, then ask for the prompt")
        if attempt.asked not in task.prompt and attempt.instruction != attempt.asked:
            raise ConfigError(
                f"a prompt module reworded the prompt of {task.id!r}, in whose place the world's own words stand; "
                "leave that module out (those that add to a prompt go with it)"
            )
        said = task.prompt.replace(attempt.asked, attempt.instruction, 1)
        return [system(self.system), user(INSTRUCTION.format(instruction=said), attempt.first)]

    def open(self, ctx: Ctx) -> Session:
        """See `Environment.open`.

        Raises:
            ComputerLost: the agent goes on after an interruption, which no screen survives.
        """
        if self.attempt is None:
            undrawn()
        if any(ACTION in noted for noted in ctx.noted):
            raise ComputerLost("the run was interrupted, and its screen is gone; begin the attempt anew")
        return ComputerSession(self, self.attempt, ctx)

    async def close(self) -> None:
        """See `AttemptEnvironment.close`."""
        if self.computers is not None:
            await self.computers.close()


class OpenScreen:
    """A computer with a task on it, as a toolset: one call, which no model knows, and its code is the action."""

    tools: Sequence[Tool] = ()
    repeatable: frozenset[str] = frozenset()

    def __init__(
        self, world: World, computers: BrowserComputers, task: Task, attempt: ComputerAttempt, *, wait_seconds: float
    ) -> None:
        self.world, self.computers, self.task, self.attempt = world, computers, task, attempt
        self.wait_seconds = wait_seconds
        self._computer: BrowserComputer | None = None

    async def open(self) -> None:
        """Put the task on a screen."""
        self._computer = computer = await self.computers.open(self.world.screen)
        self.attempt.instruction = await self.world.begin(self.task, computer)
        self.attempt.first = await computer.screenshot()
        self.attempt.state = await self.world.state(computer, None)

    async def close(self) -> None:
        """Let go of the computer."""
        computer, self._computer = self._computer, None
        if computer is not None:
            await computer.close()

    async def call(self, call: ToolCall) -> ToolResult:
        """Run the code of an action. Code that is not run is told to the agent; a lost computer is told to nobody.

        Raises:
            ComputerLost: it is gone.
        """
        try:
            events = events_of(json.loads(call.arguments)["code"])
        except CodeRefused as error:
            return ToolResult.failed("bad_arguments", str(error))
        computer, attempt = self._computer, self.attempt
        if computer is None:
            raise ComputerLost("the screen is closed")
        end = next((number for number, event in enumerate(events) if isinstance(event, Terminate)), len(events))
        await computer.do(events[:end])
        await asyncio.sleep(self.wait_seconds * sum(isinstance(event, Wait) for event in events[:end]))
        attempt.ended = next((event for event in events[end:] if isinstance(event, Terminate)), None)
        attempt.state = await self.world.state(computer, attempt.ended)
        return ToolResult.of(await computer.screenshot(), computer=_noted(attempt))


class ComputerSession(Session):
    """One agent before its screen."""

    def __init__(self, environment: ComputerUse, attempt: ComputerAttempt, ctx: Ctx) -> None:
        super().__init__(environment, environment.make_toolset(ctx), ctx)
        self._most, self._attempt = environment.steps, attempt

    def acts(self, answer: Message) -> bool:
        """Every answer is an action: who has nothing more to do says `computer.terminate`."""
        return True

    async def step(self, action: Message) -> Step:
        """Do what an answer says; it is an observation and never a failure when it says nothing that can be done."""
        attempt = self._attempt
        attempt.steps += 1
        left = self._most - attempt.steps
        try:
            code = read_answer(action.text).code
        except AnswerMalformed as error:
            return Step((*no_tools(action), user(f"Error: {error}\n{_left(left)}")), left <= 0, 1)
        call = ToolCall(f"{ACTION}:{attempt.steps}", ACTION, json.dumps({"code": code}, ensure_ascii=False))
        result = await self.ctx.call(self.toolset, call, position=0)
        if result.failure and result.failure != "bad_arguments":
            raise ComputerLost(result.text)
        over = attempt.ended is not None or (attempt.state is not None and attempt.state.done) or left <= 0
        text = f"{result.text or 'The action was taken.'}\n{_left(left)}"
        seen = user(text, *(part for part in result.parts if not result.failure))
        return Step((*no_tools(action), seen), over, result.steps)


@dataclass(frozen=True, slots=True)
class ComputerJudge:
    """The world's word on an attempt."""

    attempt: ComputerAttempt

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        attempt = self.attempt
        if attempt.state is None:
            raise JudgeFailed(f"{case.task.id}: the task was never on a screen: {case.outcome.reason}")
        parts = {"world": attempt.state.reward, "terminated": float(attempt.ended is not None), **attempt.state.parts}
        return Verdict(attempt.state.reward, parts, _noted(attempt))


def _left(steps: int) -> str:
    return f"{steps} step{'' if steps == 1 else 's'} left."


def _noted(attempt: ComputerAttempt) -> dict[str, Any]:
    """What has become of it, for records; the agent does not see it."""
    state, ended = attempt.state, attempt.ended
    noted: dict[str, Any] = {"steps": attempt.steps}
    if state is not None:
        noted |= {"done": state.done, "reward": state.reward, "reason": state.reason}
    return noted | ({"status": ended.status, "answer": ended.answer} if ended is not None else {})
