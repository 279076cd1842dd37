"""`GroupJudging`: a group judge beside a loop: asked about each group as it arrives, a few at a time.

    arriving → begin(group) ──▶ judged_together, with a deadline ──▶ results(groups), before they are learned from

Judging hides behind the rollouts that are still under way. Where the run is to stop, judges are called off: their
groups were not learned from, and are asked about again by the run that goes on.

Report: App. D (judging beside rollouts).
"""

import asyncio
from collections.abc import Sequence
from typing import Self

from manyeyes.agent.group_judge import GroupJudge, judged_together
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group
from manyeyes.rl.loop_arrival import POLL, Stop

AT_ONCE = 4
"""Groups that are judged at a time: all their comparisons are asked at once, and each has its own deadline."""


class GroupJudging:
    """See the module; an async context manager. Without a judge groups go through as they are.

    Args:
        config: deadline of a question, and further questions to a judge that failed.
    """

    def __init__(self, judge: GroupJudge | None, config: RolloutConfig) -> None:
        self.judge, self.config = judge, config
        self._tasks: dict[str, asyncio.Task[Group]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._call_off()

    def begin(self, group: Group) -> None:
        """A group has come to its end."""
        if self.judge is not None:
            self._tasks[group.request.id] = asyncio.create_task(self._judged(group, self.judge))

    async def results(self, groups: Sequence[Group], stop: Stop) -> list[Group]:
        """The groups with their rewards beside each other; none where the run is to stop before all are judged.

        Raises:
            ConfigError: see `judged_together`.
        """
        if self.judge is None:
            return list(groups)
        asked = [self._tasks.pop(group.request.id) for group in groups]
        try:
            while not all(one.done() for one in asked):
                if stop():
                    return []
                await asyncio.wait([one for one in asked if not one.done()], timeout=POLL)
            return [one.result() for one in asked]
        finally:
            await _cancelled(asked)

    async def _judged(self, group: Group, judge: GroupJudge) -> Group:
        async with self._room:
            return await judged_together(
                group, judge, seconds=self.config.judge_seconds, tries=self.config.judge_tries
            )  # fmt: skip

    async def _call_off(self) -> None:
        await _cancelled(list(self._tasks.values()))
        self._tasks.clear()


async def _cancelled(tasks: Sequence[asyncio.Task[Group]]) -> None:
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
