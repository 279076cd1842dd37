"""The asynchronous loop: rollouts go on while the trainer learns, and through new weights in the middle of a sentence.

    rollouts   ── v0 ───────────┬── v1 ─────────┬── v2 ──        partial rollouts: each token knows its version
    trainer      wait  batch 0  │     batch 1   │                one step off, or as far as `max_staleness`

A batch is filled with complete groups in the order in which they end. The manager starts no group that would be too
old, and ends those that are (`StalenessGate`); what is left out is counted. Every group is learned from at most once.
Where nearly all come to nothing, a step is taken with what there is, so that the log tells it.

Report: App. D (partial rollouts); facts: AReaL's capacity formula.
"""

import time

from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.rl.group_judging import GroupJudging
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.loop_arrival import Stop, arriving

FRUITLESS = 4
"""Batches of groups without result after which a step is taken with what there is."""


async def async_loop(run: RlLoop, *, stop: Stop = lambda: False) -> bool:
    """Run to the end, or until `stop()`, which saves; True when the run is finished.

    Raises:
        ManyeyesError: see `rl_step`, `arriving`, `RlLoop.save`. The last checkpoint is intact.
    """
    async with run.manager(batch=run.config.groups) as manager, run.judging() as judging:
        await run.begin(manager, repeats=False)
        while not run.over:
            began = time.perf_counter()
            groups = await _batch(run, manager, judging, stop)
            waited = time.perf_counter() - began
            groups = await judging.results(groups, stop)
            if stop():
                await run.save(manager)
                return False
            if not groups:
                break
            await run.advance(manager, groups, waited=waited, graded=judging.seconds)
        await run.finish()
    return True


async def _batch(run: RlLoop, manager: RolloutManager, judging: GroupJudging, stop: Stop) -> list[Group]:
    """Groups of which so many are complete as a batch has; fewer only where sources have ended, or most are not."""
    groups: list[Group] = []
    complete = 0
    while complete < run.config.groups and len(groups) - complete < FRUITLESS * run.config.groups:
        run.supply(manager, len(groups) + _ahead(run) - complete)
        if (group := await arriving(manager, stop)) is None:
            break
        groups.append(group)
        judging.begin(group)
        complete += group.complete
    run.supply(manager, len(groups) + _ahead(run) - complete)  # what the sampler is busy with meanwhile
    return groups


def _ahead(run: RlLoop) -> int:
    """Groups that this batch and those behind it may take: no more than the gate lets begin, or the run still needs."""
    left = run.config.steps - run.step
    return min(run.config.max_staleness + 1, left) * run.config.groups
