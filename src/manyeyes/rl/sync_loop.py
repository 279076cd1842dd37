"""The synchronous loop: rollouts of a batch with the weights of now, judged and learned from; then new weights.

Everything in a step is of one version. With a sampler whose answers depend on weights and request alone, a run is
reproducible bit for bit, also one that was killed and went on.

Report: §4.4.2.
"""

import time

from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.rl.group_judging import GroupJudging
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.loop_arrival import Stop, arriving


async def sync_loop(run: RlLoop, *, stop: Stop = lambda: False) -> bool:
    """Run to the end, or until `stop()`, which saves; True when the run is finished.

    Raises:
        ManyeyesError: see `rl_step`, `arriving`, `RlLoop.save`. The last checkpoint is intact.
    """
    async with run.manager() as manager, run.judging() as judging:
        await run.begin(manager, repeats=True)
        while not run.over:
            began = time.perf_counter()
            run.supply(manager, run.config.groups)
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
    """All groups that were asked for, complete or not."""
    groups: list[Group] = []
    while len(groups) < len(run.pending) and (group := await arriving(manager, stop)) is not None:
        groups.append(group)
        judging.begin(group)
    return groups
