"""`GroupJudging`: a group judge beside a loop: asked about each group as it arrives, a few at a time.

    arriving → begin(group) ──▶ judged_together, with a deadline ──▶ results(groups), before they are learned from

Judging hides behind the rollouts that are still under way. Where the run is to stop, judges are called off: their
groups were not learned from, and are asked about again by the run that goes on.

Report: App. D (judging beside rollouts).
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Self

from manyeyes.agent.group_judge import FAILED, SILENT, GroupJudge, judged_together, said_of
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.errors import ManyeyesError
from manyeyes.rl.loop_arrival import POLL, Stop

AT_ONCE = 4
"""Groups that are judged at a time: all their comparisons are asked at once, and each has its own deadline."""
FRUITLESS = 16
"""Groups in a row without a verdict after which the run ends: what it would learn from is not to be had."""
GONE = 5.0
"""Seconds that a judge which is called off may take to end; then it is left behind."""


class GroupJudging:
    """See the module; an async context manager. Without a judge groups go through as they are.

    Args:
        config: deadline of a question, and further questions to a judge that failed.

    Attributes:
        seconds: that the last `results` took.
    """

    def __init__(self, judge: GroupJudge | None, config: RolloutConfig) -> None:
        self.judge, self.config, self.seconds = judge, config, 0.0
        self._tasks: dict[str, asyncio.Task[Group]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._in_a_row = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await _called_off(list(self._tasks.values()))
        self._tasks.clear()

    def begin(self, group: Group) -> None:
        """A group has come to its end."""
        if self.judge is not None:
            self._tasks[group.request.id] = asyncio.create_task(self._judged(group, self.judge))

    async def results(self, groups: Sequence[Group], stop: Stop) -> list[Group]:
        """The groups with their rewards beside each other; none where the run is to stop before all are judged.

        Raises:
            ConfigError: see `judged_together`. ManyeyesError: the judge says nothing any more.
        """
        if self.judge is None:
            return list(groups)
        began = time.perf_counter()
        asked = [self._tasks.pop(group.request.id) for group in groups]
        try:
            while not all(one.done() for one in asked):
                if stop():
                    return []
                await asyncio.wait([one for one in asked if not one.done()], timeout=POLL)
            found = [one.result() for one in asked]
        finally:
            await _called_off(asked)
            self.seconds = time.perf_counter() - began
        self._require_words(found)
        return found

    def _require_words(self, found: Sequence[Group]) -> None:
        for group in found:
            if group.complete:
                self._in_a_row = self._in_a_row + 1 if group.failures[FAILED] else 0
        if self._in_a_row >= FRUITLESS:
            whys = [
                event.data["why"]
                for group in reversed(found)
                for event in said_of(group).values()
                if event.kind == SILENT
            ]
            raise ManyeyesError(
                f"the group judge gave no verdict to {self._in_a_row} groups in a row, so nothing is learned any more; "
                f"the last checkpoint is intact: repair the cause and go on ({', '.join(whys[:1])})"
            )

    async def _judged(self, group: Group, judge: GroupJudge) -> Group:
        async with self._room:
            return await judged_together(
                group, judge, seconds=self.config.judge_seconds, tries=self.config.judge_tries
            )  # fmt: skip


async def _called_off(tasks: Sequence[asyncio.Task[Group]]) -> None:
    for one in tasks:
        one.cancel()
    if running := [one for one in tasks if not one.done()]:
        await asyncio.wait(running, timeout=GONE)
    for one in tasks:
        if one.done() and not one.cancelled():
            one.exception()  # somebody has looked at it
