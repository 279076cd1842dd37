"""`Attempt`: one of the K tries at a task, from its admission to its end, all of its agents and retries included.

Report: App. D.
"""

import asyncio
from collections import Counter
from typing import Any

from manyeyes.agent.judge import Verdict
from manyeyes.agent.rollouts.past import AgentPast
from manyeyes.agent.token_chat_sampled import Sampled
from manyeyes.core.trajectory import Event, Trajectory

FRESH: dict[str, AgentPast] = {}
"""The past of an attempt that begins."""


class Attempt:
    """See the module.

    Attributes:
        number: in its group.
        name: of its trajectory.
        group: that it belongs to; opaque here.
        trajectory: of the present try.
        began: when the present try began, by the run's clock.
        nodes: numbers of the turns that were sampled behind the chat format.
        agents: that it has started, over all.
        verdict: once it was judged.
        called_off: why it was cancelled; "" while it is not.
        ended: whether its trajectory is out of its hands.
        oldest: version of its oldest live token; -1 while there is none.
        past: what an interrupted run had done, by agent.
        tries: retries, by kind of failure.
        failures: events of tries that failed.
        main: the `RolloutCtx` of its main agent.
        resting: whether its task rests before it tries again.
    """

    __slots__ = (
        "agents", "began", "called_off", "ended", "failures", "group", "main", "name", "nodes", "number", "oldest",
        "past", "priority", "resting", "seed", "task", "trajectory", "tries", "verdict",
    )  # fmt: skip

    def __init__(self, group: Any, number: int, *, name: str, seed: int, priority: int) -> None:
        self.group, self.number, self.name, self.seed, self.priority = group, number, name, seed, priority
        self.task: asyncio.Task[None] | None = None
        self.trajectory: Trajectory | None = None
        self.main: Any = None
        self.began = 0.0
        self.agents, self.oldest = 1, -1
        self.called_off, self.ended, self.resting = "", False, False
        self.verdict: Verdict | None = None
        self.nodes: dict[Sampled, int] | None = None
        self.past: dict[str, AgentPast] = FRESH
        self.tries: Counter[str] | None = None
        self.failures: list[Event] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing must be begun in it any more."""
        return self.ended or self.called_off != ""
