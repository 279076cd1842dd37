"""`RlLoop`: the parts that both loops share: draw, request, learn, publish, log, save, go on.

    draw → request → (rollouts) → observe → learn → publish → log → save now and then

A step takes one batch of groups. What comes back without a verdict, stale, or refused by a check is counted and
logged, and the run goes on; a batch that teaches nothing is no update, and the step says so. Group ids are draw
numbers, so a resumed run finds in the store what had ended. Versions count steps: the weights of version n are those
after n steps.

Report: §4.4.2; App. C.1 (exact resume), App. D.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.group_judge import GroupJudge
from manyeyes.agent.rollouts.checkpoint import RolloutCheckpointError
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.host import Pool
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import PolicySampler, Sampler
from manyeyes.core.trajectory import Policy
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.core.trajectory_summary import WireError
from manyeyes.data.packing import Batch
from manyeyes.optim.muonclip import MuonClip
from manyeyes.rl import rl_checkpoint
from manyeyes.rl.advantage import Credit, RewardOf, judged, to_all
from manyeyes.rl.domains import Domains
from manyeyes.rl.group_checks import is_reward
from manyeyes.rl.group_judging import GroupJudging
from manyeyes.rl.group_samples import group_samples
from manyeyes.rl.loop_figures import StepTime, rollout_figures
from manyeyes.rl.loop_log import Lesson, LoopLog
from manyeyes.rl.pending import Pending, Wanted
from manyeyes.rl.policy_model import PolicyModel
from manyeyes.rl.publish import catch_up, publish
from manyeyes.rl.right import is_right
from manyeyes.rl.rl_config import RlConfig
from manyeyes.rl.step import rl_step
from manyeyes.rl.toggle import Toggle

CPU = torch.device("cpu")
DEFAULTS = RolloutConfig()
Ptx = Callable[[int], Batch]


class RlLoop:
    """See the module; `sync_loop` and `async_loop` run it.

    Args:
        model: the trainer's; nobody else changes it.
        optimizer: of its parameters that learn.
        sampler: the policy whose weights follow the trainer's. At version 0 it has the same weights, in a copy.
        models: for rollouts, by policy: the sampler itself, or a chat over it, under "live"; frozen ones beside it.
        domains: where tasks come from; its curriculum is part of it.
        folder: of the run, for the log, checkpoints, and the manager's files.
        store: of trajectories; without one a resumed run makes all attempts of a broken step anew.
        toggle: None leaves rewards as they are.
        credit: which agents are rewarded.
        reward_of: what a judged attempt is worth at the update that learns from it; the judge's word when left out.
        together: rewards of attempts beside each other, once a group has come to its end; `together.jsonl` keeps what
            it said. A resumed run asks again about groups that were not learned from by its checkpoint.
        pool: of environments that rollouts lease.
        ptx: packed text for the auxiliary loss, by finished updates; always the same for the same number.
        rollouts: how they run; batch and staleness are this loop's own.
        fingerprint: identifies what may not change in a run.
        announce: called with a line for people.
        after_step: awaited with the number of a step that is published and logged, before its checkpoint; for
            measurements.

    Attributes:
        step, updates: finished ones.
        pending: what is wanted and was not learned from.

    Raises:
        ConfigError: attempts are to share their prompts where the arithmetic cannot; a group judge's rewards would be
            made anew from parts (`reward_of`).
    """

    def __init__(
        self,
        model: PolicyModel,
        optimizer: MuonClip,
        sampler: PolicySampler,
        domains: Domains,
        *,
        config: RlConfig,
        folder: RunFolder,
        models: Mapping[Policy, ChatModel | Sampler] | None = None,
        store: TrajectoryStore | None = None,
        device: torch.device = CPU,
        toggle: Toggle | None = None,
        credit: Credit = to_all,
        reward_of: RewardOf = judged,
        together: GroupJudge | None = None,
        pool: Pool | None = None,
        rollouts: RolloutConfig = DEFAULTS,
        ptx: Ptx | None = None,
        fingerprint: str = "",
        announce: Callable[[str], None] = lambda line: None,
        after_step: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        config.samples.require_shareable(device=device.type, compute=str(model.compute_dtype))
        if together is not None and reward_of is not judged:
            raise ConfigError(
                "reward_of makes rewards from parts, so what a group judge says would not be learned: give one"
            )
        self.model, self.optimizer, self.sampler, self.domains, self.config = model, optimizer, sampler, domains, config
        self.models: Mapping[Policy, ChatModel | Sampler] = models or {"live": sampler}
        self.folder, self.store, self.device, self.toggle, self.credit = folder, store, device, toggle, credit
        self.reward_of, self.together, self.pool, self.rollouts, self.ptx = reward_of, together, pool, rollouts, ptx
        self.fingerprint, self.announce, self.after_step = fingerprint, announce, after_step
        self.step = self.updates = 0
        self.seconds = 0.0
        self.pending = Pending(domains, config, store)
        # A thread of its own: one that others share may be born while pieces go side by side, and has torch's count of
        # that moment, 1, for good (`train.in_order`).
        threads = torch.get_num_threads()
        self._learner = ThreadPoolExecutor(1, "manyeyes-learn", initializer=_take_threads, initargs=(threads,))
        self._log = LoopLog(folder, announce)

    @property
    def over(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.config.steps

    # --- from tasks to groups ---

    def manager(self, *, batch: int = 0) -> RolloutManager:
        """For the rollouts of this run; with a batch, its staleness gate holds."""
        config = dataclasses.replace(self.rollouts, batch=batch, max_staleness=self.config.max_staleness)
        return RolloutManager(self.models, config=config, pool=self.pool, store=self.store, folder=self.folder.path)

    def judging(self) -> GroupJudging:
        """For the rewards of attempts beside each other."""
        return GroupJudging(self.together, self.rollouts)

    async def begin(self, manager: RolloutManager, *, repeats: bool) -> None:
        """Bring sampler and manager to where the run stands, and ask again for what was under way.

        Args:
            repeats: whether a run that goes on has the same weights after the same steps, so that what was rolled out
                after its checkpoint is found in the store.
        """
        if not repeats:
            self.pending.lose(beyond=self.step)
        await catch_up(self.sampler, self.model, version=self.step)
        manager.resume_at(self.step)
        requests = list(self.pending.again(step=self.step))
        self._restore(manager, requests)
        for request in requests:
            manager.submit(request)

    def _restore(self, manager: RolloutManager, requests: Sequence[GroupRequest]) -> None:
        """Attempts at these that were under way go on where they stood, unless the store has how they ended."""
        attempts = rl_checkpoint.attempts(self.folder, self.step)
        if not (requests and self.config.keep_attempts and attempts.is_dir()):
            return
        names = {request.name_of(number) for request in requests for number in range(request.size)}
        if self.store is not None:
            names = {name for name in names if name not in self.store}
        try:
            found = manager.restore(attempts, version=self.step, only=names)
        except RolloutCheckpointError as error:
            self.announce(f"attempts that were under way begin anew: {error}")
            return
        if found:
            self.announce(f"going on with {found:,} attempts that were under way at the last checkpoint")

    def supply(self, manager: RolloutManager, wanted: int) -> None:
        """Draw until so many groups are pending, or there are no more tasks."""
        ended, temperature = len(self.domains.ended), self.config.source(self.updates).temperature
        while len(self.pending) < wanted and (drawn := self.domains.draw(step=self.step)) is not None:
            manager.submit(self.pending.request(Wanted(drawn, temperature), step=self.step))
        for name in self.domains.ended[ended:]:
            self.folder.log("source_ended", self.step, source=name, draws=self.domains.number)
            self.announce(f"{name} has no more tasks; the others go on")

    # --- from groups to weights ---

    async def advance(
        self, manager: RolloutManager, groups: Sequence[Group], *, waited: float, graded: float = 0.0
    ) -> None:
        """One step: learn in a thread, observe, publish, log, and save where it is due.

        Args:
            waited, graded: seconds for rollouts, and for a group judge behind them.
        """
        began = time.perf_counter()
        lesson = await asyncio.get_running_loop().run_in_executor(self._learner, self._learn, groups)
        trained = time.perf_counter() - began
        self._observe(groups)
        place_of = {group.request.id: self.pending.take(group.request.id).key for group in groups}
        figures = rollout_figures(groups, place_of, right=self.config.right, version=self.step)
        self.step += 1
        self.updates += lesson.found.updated
        published = await publish(self.sampler, self.model, version=self.step)
        manager.set_version(self.step)
        sampled = sum(one.sampled_tokens for group in groups for one in group.trajectories)
        spent = StepTime(waited, trained, published, sampled, lesson.tally["tokens/read"], graded)
        self.seconds += spent.seconds
        self._log.step(lesson, groups, figures | self._told, step=self.step, steps=self.config.steps, spent=spent)
        if self.together is not None:
            self._log.together(groups, step=self.step)
        if self.after_step is not None:
            await self.after_step(self.step)
        if self.step % self.config.checkpoint_every == 0 or self.over:
            await self.save(manager)

    def _learn(self, groups: Sequence[Group]) -> Lesson:
        config = self.config
        made = group_samples(
            groups, config.samples, step=self.updates, iteration=self.step, source=config.source(self.updates),
            toggle=self.toggle, credit=self.credit, reward_of=self.reward_of,
        )  # fmt: skip
        found = rl_step(
            self.model, self.optimizer, made.batch, config.update, count=made.count, source=made.source,
            temperature_BT=made.temperature_BT, version=self.step, device=self.device,
            rate=config.schedule.at(self.updates, config.steps), least_told=config.samples.least_told,
            ptx=None if self.ptx is None or made.batch is None else self.ptx(self.updates),
        )  # fmt: skip
        return Lesson(made, found)

    @property
    def _told(self) -> dict[str, int]:
        """Where the run stands, for the log."""
        curriculum = self.domains.curriculum
        resting = {} if curriculum is None else {"resting": curriculum.resting(step=self.step)}
        return {"updates": self.updates, "skipped": self.domains.skipped} | resting

    def _observe(self, groups: Sequence[Group]) -> None:
        if (curriculum := self.domains.curriculum) is None:
            return
        for group in sorted(groups, key=lambda group: self.pending[group.request.id].number):
            if group.complete:
                told = [one for one in group.trajectories if not one.masked and is_reward(one.reward)]
                right = [is_right(one, least=curriculum.rule.right) for one in told]
                curriculum.observe(group.request.task.id, [one.reward for one in told], right, step=self.step)

    async def finish(self) -> None:
        """Say how it ended, and save where that is not done."""
        if not self.updates:
            self.announce("no step taught anything: the weights are those that the run began with")
        if not self.over:
            self.folder.log("used_up", self.step, steps=self.config.steps, draws=self.domains.number)
            self.announce(f"all sources have ended after {self.step} of {self.config.steps} steps: the run ends here")
            await self.save()

    # --- over the end of the process ---

    async def save(self, manager: RolloutManager | None = None) -> None:
        """Write a checkpoint of the last finished step; with a manager and `keep_attempts`, what is under way, too.

        Where attempts cannot be written down, it says so, and they would begin anew.

        Raises:
            CheckpointError: the disk is full or gone. ConfigError: a sampler that attempts cannot be taken from.
        """
        if manager is None or not self.config.keep_attempts or not await self._keep_attempts(manager):
            rl_checkpoint.forget_attempts(self.folder, self.step)
        rl_checkpoint.save(self.folder, self.step, self.state(), model=self.model, optimizer=self.optimizer)

    async def _keep_attempts(self, manager: RolloutManager) -> bool:
        try:
            await manager.suspend("a checkpoint")
            await manager.checkpoint(rl_checkpoint.attempts(self.folder, self.step))
        except (RolloutCheckpointError, WireError) as error:
            self.announce(f"attempts under way are not in the checkpoint of step {self.step}: {error}")
            return False
        finally:
            await manager.go_on()
        return True

    def state(self) -> dict[str, Any]:
        """Plain data: where everything stands that is no tensor."""
        curriculum = self.domains.curriculum
        return {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "updates": self.updates,
            "seconds": self.seconds,
            "domains": self.domains.state_dict(),
            "pending": self.pending.plain(),
            "lost": self.pending.lost,
            "curriculum": None if curriculum is None else curriculum.state_dict(),
            "toggle": None if self.toggle is None else self.toggle.state_dict(),
            "together": None if self.together is None else self._log.together_position,
        }

    def resume(self) -> bool:
        """Go to the newest checkpoint, if there is one; call it before a loop.

        Raises:
            CheckpointError: none can be read, or it is of another run. ConfigError: a source has other tasks.
        """
        saved = rl_checkpoint.load(
            self.folder, fingerprint=self.fingerprint, model=self.model, optimizer=self.optimizer
        )
        if saved is None:
            self.folder.rewind(0)
            self._log.rewind_together(0)
            return False
        for name, own in (("curriculum", self.domains.curriculum), ("toggle", self.toggle)):
            if (own is None) != (saved[name] is None):
                raise CheckpointError(f"the run in {self.folder.path} began with another {name}; go on with that one")
            if own is not None:
                own.load_state_dict(saved[name])
        if (self.together is None) != ((position := saved.get("together")) is None):
            raise CheckpointError(f"the run in {self.folder.path} began with another group judge; go on with that one")
        self.domains.load_state_dict(saved["domains"])
        self.pending.load(saved["pending"], saved.get("lost", ()))
        self.step, self.updates, self.seconds = saved["step"], saved["updates"], saved["seconds"]
        self.folder.rewind(saved["log"])
        self._log.rewind_together(position or 0)
        return True


def _take_threads(count: int) -> None:
    torch.get_num_threads()  # a thread that has never asked takes over what others set, the next time it computes
    torch.set_num_threads(count)
