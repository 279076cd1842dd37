"""`AgentWaits`: what every agent of a rollout is: a name, a time limit, waits with deadlines, a place in a trajectory.

    AgentWaits → AgentCalls (tools) → AgentFamily (sub-agents) → AgentRecorder (what the loop tells) → RolloutCtx

Report: App. D.
"""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any, NoReturn, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.budget import Budget
from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.rollouts.attempt import Attempt
from manyeyes.agent.rollouts.deadline_wheel import NEVER
from manyeyes.agent.rollouts.failures import Overdue
from manyeyes.agent.rollouts.host import Host
from manyeyes.agent.rollouts.line import GRACE, Line
from manyeyes.agent.rollouts.past import AgentPast
from manyeyes.agent.rollouts.ticker import RATE
from manyeyes.agent.task import Outcome, Task
from manyeyes.core import seeds
from manyeyes.core.media import Media
from manyeyes.core.sampler import Completion
from manyeyes.core.trajectory import NOBODY, Event, Node, Policy, Trajectory

T = TypeVar("T")


class AgentWaits:
    """One agent of an attempt.

    Attributes:
        host: what all attempts share.
        attempt: that it belongs to.
        task: of this agent.
        agent: its name, such as "main/0".
        number: of the agent in its trajectory.
        policy: whether its tokens are trained on.
        depth: 0 for the main agent.
        limit: tick at which it has to be over.
        seed: of everything that is drawn for it.
        turns: completions so far.
        tip: number of its newest node.
        budget: of an agent of texts; None for one of tokens.
        state: for the environment to keep what belongs to this agent.
        failure: why the model gave no answer, the last time that it gave none.
        part: of the completion that was handed back and not continued yet.
        past: what an interrupted run had done; None for a fresh agent.
        asked_at: when the completion that is under way was asked for.
        replayed: number of the node that the answer which is being replayed stands in; `NOBODY` for a new answer.
    """

    __slots__ = (
        "agent", "asked_at", "attempt", "born", "branch", "budget", "calls", "children", "depth", "failure",
        "family_lines", "host", "limit", "line", "media", "number", "part", "past", "policy", "replayed", "seed",
        "state", "task", "tip", "turns",
    )  # fmt: skip

    def __init__(
        self,
        host: Host,
        attempt: Attempt,
        task: Task,
        *,
        agent: str,
        number: int,
        policy: Policy,
        depth: int,
        limit: int,
    ) -> None:
        self.host, self.attempt, self.task = host, attempt, task
        self.agent, self.number, self.depth, self.limit = agent, number, depth, limit
        self.policy: Policy = policy
        self.seed = seeds.key(attempt.seed, f"{attempt.name}/{agent}")
        self.turns = self.born = 0
        self.tip, self.replayed, self.asked_at = NOBODY, NOBODY, 0.0
        self.budget: Budget | None = None
        self.state: Any = None
        self.failure: ModelError | None = None
        self.part: Completion | None = None
        self.past: AgentPast | None = attempt.past.get(agent)
        self.branch: list[NDArray[np.int32]] = []
        self.media: tuple[Media, ...] = ()
        self.line: Line | None = None
        self.family_lines: list[Line] | None = None
        self.calls: set[str] | None = None
        self.children: list[Self] | None = None

    # --- for episodes ---

    async def waiting(self, kind: str, work: Awaitable[T], *, ticks: int | None = None) -> T:
        """What `work` gives, with a deadline.

        Args:
            kind: of `snapshot.WAITS`.
            ticks: that it may take; those of a tool when left out.

        Raises:
            Overdue: it took too long.
        """
        if self.attempt.is_over:
            await self.ends(work)
        line = self.here()
        outer = line.enter(kind, self.host.tool_ticks if ticks is None else ticks)
        try:
            return await work
        except asyncio.CancelledError:
            if line.overdue(outer):
                raise self.late(line) from None
            raise
        finally:
            line.leave(outer)
            self.over(line)

    def event(self, kind: str, /, *, seconds: float = 0.0, **data: Any) -> None:
        """Write something down, unless it was before."""
        if self.past is not None and self.past.wrote(kind):
            return
        self.trajectory.events.append(Event(kind, self.seconds - seconds, seconds, self.number, self.tip, data))

    @property
    def trajectory(self) -> Trajectory:
        """Of the attempt."""
        assert self.attempt.trajectory is not None, "an attempt that runs has a trajectory"
        return self.attempt.trajectory

    @property
    def seconds(self) -> float:
        """Since the attempt began; suspensions do not count."""
        return self.host.clock() - self.attempt.began

    @property
    def seconds_left(self) -> float:
        """Until this agent has to be over."""
        return max(0.0, self.limit / RATE - self.host.clock()) if self.limit < NEVER else float("inf")

    def turn_seed(self) -> int:
        """Of the next completion: the same whenever the attempt is run."""
        return seeds.key(self.seed, "agent/rollouts", self.turns) & 0x7FFF_FFFF

    # --- its life ---

    async def live(self, episode: Any) -> Outcome:
        """Run an episode.

        Raises:
            AttemptFailed: its time is over, or it failed and knows why.
        """
        task = asyncio.current_task()
        assert task is not None, "an agent lives in a task"
        cancelling = task.cancelling()
        line = self.line = Line(self.host.times, task, limit=self.limit, hung=self._hung)
        try:
            outcome = await episode.run(self)
            if self.children:
                await self._end_children()
            return outcome
        except asyncio.CancelledError:
            if line.timed_out(cancelling):
                raise Overdue("the end of the agent", self.seconds, line.frames) from None
            raise
        finally:
            line.close()
            for child in self.children or ():
                child.call_off()
            self.forget_children()

    @property
    def is_over(self) -> bool:
        """Whether it has lived."""
        return self.line is not None and self.line.task is None

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it or below it is left."""
        return self.is_over and not self.lines and all(child.is_gone for child in self.children or ())

    def forget_children(self) -> None:
        """Let go of those that are gone."""
        if self.children:
            self.children = [child for child in self.children if not child.is_gone] or None

    @property
    def lines(self) -> list[Line]:
        """What it is waiting for, in all of its tasks."""
        lines = (*(self.family_lines or ()), self.line)
        return [line for line in lines if line is not None and line.task is not None]

    @property
    def family(self) -> list[Self]:
        """It and all agents below it."""
        return [self, *(one for child in self.children or () for one in child.family)]

    def call_off(self) -> None:
        """Cancel it and everything below it, in one go."""
        for agent in reversed(self.family):
            for line in agent.lines:
                line.watch()
                if line.task is not None and not line.task.cancelling():
                    line.task.cancel()

    async def ends(self, work: Any = None) -> NoReturn:
        """The attempt is over: nothing is begun any more, whatever an episode makes of its cancellation."""
        if inspect.iscoroutine(work):
            work.close()
        elif isinstance(work, asyncio.Future):
            work.cancel()
        await asyncio.sleep(0.1)  # for an episode that does not want to hear, and the loop that it is in
        raise asyncio.CancelledError(self.attempt.called_off)

    async def _end_children(self) -> None:
        """End what it started and did not wait for."""
        left = [child for child in self.children or () if not child.is_over]
        lines = [line for child in left for one in child.family for line in one.lines]
        tasks = {line.task for line in lines if line.task is not None}
        for child in left:
            child.call_off()
        if tasks:
            await self.waiting("spawn", asyncio.wait(tasks), ticks=GRACE)

    # --- machinery ---

    def add(self, node: Node) -> int:
        """A turn goes into the trajectory; returns its number."""
        attempt, stats = self.attempt, self.host.stats
        self.tip = number = self.trajectory.add(node)
        self.turns += 1
        count = len(node.versions)
        if count and self.policy == "live":
            oldest = int(node.versions[0])
            attempt.oldest = oldest if attempt.oldest < 0 else min(attempt.oldest, oldest)
        stats.turns += 1
        stats.given += node.given
        stats.sampled += count
        return number

    def stand_at(self, node: int) -> None:
        """A turn is in the trajectory already."""
        self.tip = node
        self.turns += 1

    def here(self) -> Line:
        """The waits of the task that asks; an agent may have several tasks at once."""
        line, task = self.line, asyncio.current_task()
        if line is not None and line.task is task:
            return line
        assert task is not None, "only tasks wait"
        line = Line(self.host.times, task, limit=self.limit, hung=self._hung)
        self.family_lines = self.family_lines or []
        self.family_lines.append(line)
        return line

    def over(self, line: Line) -> None:
        """A wait is over; a line that was made for it goes with it."""
        if line is not self.line and not line.kind:
            line.close()
            if self.family_lines is not None and line in self.family_lines:
                self.family_lines.remove(line)

    def late(self, line: Line) -> Overdue:
        """The error of a wait that took too long, written down."""
        self.event("overdue", seconds=line.seconds, waited_for=line.kind, frame=line.frames)
        return Overdue(line.kind, line.seconds, line.frames)

    def _hung(self, line: Line) -> None:
        self.host.hung(self, line)


def is_json(data: Any) -> bool:
    """Whether a record can hold it."""
    try:
        msgspec.json.encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True
