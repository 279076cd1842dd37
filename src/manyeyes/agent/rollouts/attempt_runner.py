"""`AttemptRunner`: lets attempts live, again where they may, and tells exactly once how each of them ended.

    ended       by itself: judged, as it should
    failed      an error with a cause; run again while there is a budget for causes of that kind
    called off  cancelled from outside
    hung        it does not end although it was cancelled: its attempt goes on without it

Report: App. D.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from manyeyes.agent.rollouts.attempt import FRESH, Attempt
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.failures import AttemptFailed, Cause, RetryBudget, classified
from manyeyes.agent.rollouts.hang_report import awaiting
from manyeyes.agent.rollouts.host import Host
from manyeyes.agent.rollouts.line import Line
from manyeyes.agent.rollouts.parcel import unpacked
from manyeyes.agent.rollouts.past import Drifted, Suspended, past_of
from manyeyes.agent.rollouts.ticker import RATE, ticks
from manyeyes.agent.task import Outcome
from manyeyes.core.trajectory import MAIN, AgentSpan, Event, Trajectory
from manyeyes.core.trajectory_wire import WireError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the first retry of an attempt and before any other; doubled in between."""
Ended = Callable[[Attempt, Trajectory, Cause | None], None]


class AttemptRunner:
    """See the module.

    Args:
        ended: told of each attempt exactly once: its trajectory, and why it failed where it did.

    Attributes:
        live: attempts under way, by name.
        left: tasks that do not end although they were cancelled.
    """

    def __init__(self, host: Host, *, ended: Ended, breaking: Callable[[Cause | None], None]) -> None:
        config = host.config
        self.host, self._ended, self._breaking = host, ended, breaking
        self.budget = RetryBudget(
            config.infra_retries, config.data_retries, config.infra_retries_of_run, config.data_retries_of_run
        )
        self.live: dict[str, Attempt] = {}
        self.left: set[asyncio.Task[Any]] = set()
        self._limit = ticks(config.attempt_seconds)

    def start(self, attempt: Attempt, past: Suspended | None = None) -> None:
        """Let an attempt live.

        Args:
            past: what an interrupted run had done of it.
        """
        self.live[attempt.name] = attempt
        attempt.task = asyncio.get_running_loop().create_task(self._live(attempt, past))

    def call_off(self, attempt: Attempt, why: str) -> None:
        """Cancel an attempt and all of its agents; one that has not begun ends when it does."""
        if attempt.is_over:
            return
        attempt.called_off = why
        if attempt.main is not None:
            attempt.main.call_off()
        elif attempt.resting and attempt.task is not None:
            attempt.task.cancel()

    def hung(self, agent: RolloutCtx, line: Line) -> None:
        """A task of an attempt does not end: leave it to itself, and try again where that may be."""
        attempt, task = agent.attempt, line.task
        if task is None or attempt.ended:
            return
        frames = awaiting(task)
        self._leave(attempt.task)
        fresh = self._successor(attempt)
        hang = Event("hang", agent.seconds, line.seconds, agent.number, agent.tip, {"frames": frames})
        failed = AttemptFailed("hang", f"does not end although it was cancelled, in {frames[-1] if frames else '?'}")
        if not attempt.called_off and self._may_again(fresh, failed):
            self.start(fresh)
            return
        fresh.trajectory = _as_it_is(attempt)
        fresh.trajectory.events.append(hang)
        if attempt.called_off:
            self._end(fresh, "cancelled", attempt.called_off)
        else:
            self._end(fresh, failed.cause, str(failed))

    async def _live(self, attempt: Attempt, past: Suspended | None) -> None:
        """To the end of the attempt; even a mistake of ours is one."""
        try:
            await self._tries(attempt, past)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            newest = self.live.get(attempt.name, attempt)
            if newest.task is asyncio.current_task():
                self._end(newest, "environment_bug", f"{type(error).__name__}: {error}")
            raise

    async def _tries(self, attempt: Attempt, past: Suspended | None) -> None:
        """Try until it ended or may not be tried again."""
        pause = FIRST_PAUSE
        self._restore(attempt, past)
        while (failed := await self._try(attempt)) is not None and not attempt.ended:
            if attempt.called_off:
                self._end(attempt, "cancelled", attempt.called_off)
                return
            if not self._may_again(attempt, failed):
                self._end(attempt, failed.cause, str(failed))
                return
            attempt = self._successor(attempt)
            if not isinstance(failed.__cause__, Drifted):
                await self._rest(attempt, pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _try(self, attempt: Attempt) -> AttemptFailed | None:
        """One try; why it failed, None when it is over."""
        if attempt.called_off:
            self._end(attempt, "cancelled", attempt.called_off)
            return None
        ctx = self._begun(attempt)
        try:
            outcome = await ctx.live(attempt.group.episode)
        except asyncio.CancelledError:
            return self._cancelled(attempt)
        except Drifted as drifted:
            return self._anew(attempt, drifted)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # the one boundary: an attempt that fails is counted, never lost
            return classified(error)
        self._finish(attempt, ctx, outcome)
        return None

    def _begun(self, attempt: Attempt) -> RolloutCtx:
        request = attempt.group.request
        now = self.host.clock()
        if attempt.past is FRESH:
            attempt.began = now
            name = getattr(request.episode, "name", "") or ""
            attempt.trajectory = Trajectory(attempt.name, request.task.id, name, [AgentSpan(task=request.task.id)])
        limit = int(attempt.began * RATE) + self._limit
        ctx = attempt.main = RolloutCtx(
            self.host, attempt, request.task, agent=MAIN, number=0, policy="live", depth=0, limit=limit
        )
        return ctx

    def _restore(self, attempt: Attempt, past: Suspended | None) -> None:
        """Stand where an interrupted run stood."""
        if past is None:
            return
        try:
            trajectory = unpacked(past.trajectory)
            attempt.past = past_of(trajectory, past)
        except WireError as error:
            self._note(attempt, "store", str(error))
            return
        attempt.trajectory = trajectory
        attempt.began = self.host.clock() - past.seconds
        attempt.agents, attempt.tries = len(trajectory.agents), Counter(past.tries)
        live = [node for n, node in enumerate(trajectory.nodes) if len(node.versions) and trajectory.trainable(n)]
        attempt.oldest = min((int(node.versions[0]) for node in live), default=-1)

    def _finish(self, attempt: Attempt, ctx: RolloutCtx, outcome: Outcome) -> None:
        """It ended by itself."""
        if attempt.ended:
            return
        if attempt.called_off:  # it made an outcome of its cancellation
            self._end(attempt, "cancelled", attempt.called_off)
            return
        trajectory = ctx.trajectory
        ctx.ended_as(outcome)
        trajectory.stop = outcome.stop
        if (verdict := attempt.verdict) is not None:
            trajectory.reward, trajectory.rewards = verdict.reward, dict(verdict.parts)
        self._over(attempt, trajectory, None)

    def _cancelled(self, attempt: Attempt) -> AttemptFailed | None:
        if attempt.ended:
            return None
        if not attempt.called_off:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                return AttemptFailed("environment_bug", "it was cancelled from within")
            attempt.called_off = "its task was cancelled"
        self._end(attempt, "cancelled", attempt.called_off)
        return None

    def _anew(self, attempt: Attempt, drifted: Drifted) -> AttemptFailed:
        """It cannot be replayed: it is run from its beginning, which is no retry."""
        self._note(attempt, "environment_bug", str(drifted))
        failed = AttemptFailed("environment_bug", str(drifted))
        failed.__cause__ = drifted
        return failed

    def _may_again(self, attempt: Attempt, failed: AttemptFailed) -> bool:
        """Whether it is tried once more; what failed is kept for the record."""
        if isinstance(failed.__cause__, Drifted):
            return True
        attempt.tries = Counter() if attempt.tries is None else attempt.tries
        if attempt.called_off or not self.budget.may_retry(failed.cause, attempt.tries):
            return False
        self._breaking(failed.cause)
        self.host.stats.failures[failed.cause] += 1
        self.host.stats.retries += 1
        if self.host.pool is not None:
            self.host.pool.take_back(attempt.name)
        attempt.past = FRESH
        self._note(attempt, failed.cause, str(failed))
        return True

    def _note(self, attempt: Attempt, cause: Cause, why: str) -> None:
        began = self.host.clock() - attempt.began
        attempt.failures = attempt.failures or []
        attempt.failures.append(Event("failed", 0.0, began, data={"cause": cause, "why": why, "again": True}))

    async def _rest(self, attempt: Attempt, seconds: float) -> None:
        """Before another try; who is called off meanwhile ends at its beginning."""
        attempt.resting = True
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            attempt.called_off = attempt.called_off or "its task was cancelled"
        finally:
            attempt.resting = False

    def _successor(self, attempt: Attempt) -> Attempt:
        """The same attempt from its beginning; what does not end of the old one is none of it any more."""
        attempt.ended = True
        self._abandon(attempt)
        fresh = Attempt(attempt.group, attempt.number, name=attempt.name, seed=attempt.seed, priority=attempt.priority)
        fresh.tries, fresh.failures, fresh.began, fresh.task = (
            attempt.tries, attempt.failures, attempt.began, attempt.task
        )  # fmt: skip
        fresh.called_off = attempt.called_off
        self.live[fresh.name] = attempt.group.running[fresh.number] = fresh
        return fresh

    def _abandon(self, attempt: Attempt) -> None:
        """Leave all that still runs of it to itself."""
        if self.host.pool is not None:
            self.host.pool.take_back(attempt.name)
        for agent in attempt.main.family if attempt.main is not None else ():
            for line in agent.lines:
                self._leave(line.task)
                line.abandon()

    def _leave(self, task: "asyncio.Task[Any] | None") -> None:
        """A task that has to end by itself."""
        if task is not None and not task.done() and task is not asyncio.current_task():
            self.left.add(task)
            task.add_done_callback(self.left.discard)
            task.cancel()

    def _end(self, attempt: Attempt, cause: Cause, why: str) -> None:
        """It did not end as it should."""
        if attempt.ended:
            return
        request = attempt.group.request
        trajectory = attempt.trajectory or Trajectory(attempt.name, request.task.id)
        trajectory.stop = "cancelled" if cause == "cancelled" else "failed"
        trajectory.masked = f"{cause}: {why}"
        main = trajectory.agents[0]
        main.stop, main.reason = trajectory.stop, why
        if attempt.trajectory is not None:
            main.ended = self.host.clock() - attempt.began
        trajectory.events.append(Event("failed", data={"cause": cause, "why": why}))
        self._over(attempt, trajectory, cause)

    def _over(self, attempt: Attempt, trajectory: Trajectory, cause: Cause | None) -> None:
        attempt.ended = True
        if attempt.main is not None and attempt.main.children:
            self._abandon(attempt)
        if attempt.failures:
            trajectory.events[:0] = attempt.failures
        self.live.pop(attempt.name, None)
        self._breaking(cause)
        self._ended(attempt, trajectory, cause)


def _as_it_is(attempt: Attempt) -> Trajectory:
    """The trajectory, which what hangs may go on writing into, as it is now."""
    held: Any = attempt.trajectory
    return replace(held, agents=[replace(one) for one in held.agents], nodes=list(held.nodes), events=list(held.events))
