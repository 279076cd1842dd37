"""`RolloutCtx`: one agent of an attempt, as its episode sees it: sample, call, spawn, lease, wait; all of it recorded.

    await ctx.sample(ids, params=…)        a completion behind everything that this agent has seen
    await ctx.call(toolset, call, …)       a tool's result, a failure included
    await ctx.spawn(task, environment, …)  a sub-agent, which ends no later than this one
    async with ctx.lease(kind) as room     something of the pool
    await ctx.waiting("tool", work)        anything else, with a deadline

Every one of these waits has a deadline, is counted by what it waits for, and ends at once when the attempt is called
off. Agents share the trajectory of their attempt. Tokens of frozen agents are part of the world.

Report: App. D (task trees, token in, token out), §3 (frozen sub-agents).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.rollouts.agent_model import AgentModel
from manyeyes.agent.rollouts.agent_recorder import AgentRecorder
from manyeyes.agent.rollouts.agent_waits import is_json
from manyeyes.agent.rollouts.failures import AttemptFailed, Overdue
from manyeyes.agent.rollouts.past import Drifted
from manyeyes.agent.rollouts.sampling import sampled_to_the_end
from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Media
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.core.trajectory import Node


class RolloutCtx(AgentRecorder):
    """See the module, and `AgentWaits` for what it knows. Made by the manager and by `spawn`."""

    __slots__ = ()

    async def sample(
        self, given: NDArray[np.int32], *, params: SamplingParams, media: tuple[Media, ...] = ()
    ) -> Completion:
        """A completion behind everything that this agent was given and has sampled so far.

        Args:
            given: int32 [T], what is new since the last completion.
            params: the seed is this agent's own, another one for each turn.
            media: one item for each run of `<|media_pad|>` in `given`.

        Raises:
            RequestError: the request is at fault; `TooLong` when no room is left.
            SamplerError: it failed again and again.
            Overdue: it took too long.
        """
        if self.attempt.is_over:
            await self.ends()
        if self.past is not None and self.past.completions:
            return self._known_completion(given, media)
        at, branch = self.seconds, self.branch
        prompt = np.concatenate((*branch, given)) if branch else given
        if params.temperature:
            params = replace(params, seed=self.turn_seed())
        request = SampleRequest(prompt, self.media + media, params, 0, self.attempt.priority)
        completion = await sampled_to_the_end(self, request)
        routing = completion.routing if completion.routing is None else completion.routing[len(prompt) - len(given) :]
        node = Node(
            np.concatenate((given, np.array(completion.ids, np.int32))), len(given),
            np.array(completion.logprobs, np.float32), versions_of(completion), self.tip, self.number, media,
            completion.logprob_kind, completion.stop, at=at, seconds=completion.seconds or self.seconds - at,
            routing=routing, draw=params.draw,
        )  # fmt: skip
        self.add(node)
        branch.append(node.ids)
        if media:
            self.media += media
        return completion

    def chat(self) -> ChatModel:
        """The model that this agent talks to, for episodes of texts: `agent.loop.Agent` takes it."""
        return AgentModel(self, self.host.chat(self.policy))

    @asynccontextmanager
    async def lease(self, kind: str) -> AsyncIterator[Any]:
        """Something of the pool, until the block ends; given back whatever happens.

        Raises:
            Overdue: none was free in time.
        """
        if self.host.pool is None:
            raise ConfigError(f"{self.agent} asks for a {kind!r}, and this run has no pool of environments")
        name, priority = self.attempt.name, self.attempt.priority
        # No end by the pool's own clock, which goes on while the run is suspended: an attempt that ends gives back.
        lease = self.host.pool.lease(kind, owner=name, seconds=inf, priority=priority)
        held = await self.waiting("pool", lease.__aenter__(), ticks=self.host.pool_ticks)
        try:
            yield held.resource
        finally:
            await lease.__aexit__(None, None, None)

    async def judged(self, judge: Callable[[], Awaitable[Verdict | None]]) -> None:
        """Let a judge say what the attempt was worth, with a deadline; one that fails is asked again.

        Args:
            judge: asks once; None for no verdict leaves the last one.

        Raises:
            JudgeFailed: there is no verdict.
            Overdue: there was none in time.
        """
        for left in reversed(range(self.host.config.judge_tries + 1)):
            began = self.seconds
            try:
                verdict = await self.waiting("judge", judge(), ticks=self.host.judge_ticks)
            except (JudgeFailed, Overdue) as error:
                if not left or self.seconds_left <= 0:
                    raise
                self.event("judge failed", seconds=self.seconds - began, why=str(error))
                continue
            if verdict is not None:
                self._give(verdict, self.seconds - began)
            return

    def reward(self, reward: float, parts: dict[str, float] | None = None) -> None:
        """Say what the attempt was worth, for episodes without a judge. The last word counts."""
        self._give(Verdict(float(reward), parts or {}), 0.0)

    def _give(self, verdict: Verdict, seconds: float) -> None:
        reward, parts, notes = _plain(verdict)
        self.attempt.verdict = Verdict(reward, parts, notes)
        self.event("judge", seconds=seconds, reward=reward, parts=parts, notes=notes)

    def _known_completion(self, given: NDArray[np.int32], media: tuple[Media, ...]) -> Completion:
        """What an interrupted run had sampled here."""
        assert self.past is not None, "asked by whoever has a past"
        told = self.past.completions.popleft()
        if not np.array_equal(told.given, given):
            raise Drifted(f"{self.attempt.name}: {self.agent} was given other ids before its turn {self.turns}")
        self.stand_at(told.node)
        self.branch.append(self.trajectory.nodes[told.node].ids)
        self.media += media
        return told.completion


def _plain(verdict: Verdict) -> Verdict:
    """A verdict in Python's own numbers, which every record holds.

    Raises:
        AttemptFailed: it is none.
    """
    try:
        parts = {str(part): float(value) for part, value in verdict.parts.items()}
        plain = Verdict(float(verdict.reward), parts, verdict.notes)
    except (TypeError, ValueError) as error:
        raise AttemptFailed("environment_bug", f"a verdict needs numbers, got {verdict!r} ({error})") from error
    if verdict.notes and not is_json(verdict.notes):
        raise AttemptFailed("environment_bug", f"the notes of a verdict must be plain JSON, got {verdict.notes!r}")
    return plain


def versions_of(completion: Completion) -> NDArray[np.int32]:
    """Of each id; nearly always the same for all, which is quicker to write down."""
    versions = completion.versions
    if versions and versions.count(versions[0]) == len(versions):
        return np.full(len(versions), versions[0], np.int32)
    return np.array(versions, np.int32)
