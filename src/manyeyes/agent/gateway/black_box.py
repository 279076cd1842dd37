"""`BlackBox`: an agent that only speaks a standard LLM API, as an attempt of a rollout.

    async def solve(place):                         any program: a client, a framework, a command
        client = AsyncOpenAI(base_url=place.openai_url, api_key=place.key)
        ...
        return last_words

    manager.submit(GroupRequest("0", task, BlackBox(gateway, solve, judge=judge), size=8))

The attempt opens a session of the gateway, hands over its address and key, and takes what the session has captured as
its own turns: the same `Trajectory` as that of a white box. What the program does beside its calls (tools, sandboxes)
is its own; it ends when the attempt does.

Report: App. D (black-box agents behind the gateway, in the same rollouts).
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from manyeyes.agent.gateway.gateway import Gateway
from manyeyes.agent.gateway.sessions import Wanted
from manyeyes.agent.judge import Case, Judge
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.ticker import ticks
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.trajectory import NOBODY, Trajectory

LONGEST_NAME = 100
"""Characters of a session's name; two attempts never share one, for their number stands at its end."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a black box is told.

    Attributes:
        url: of its session; the key opens nothing else.
        task: what is to be done; its truth is left out.
    """

    url: str
    key: str
    task: Task

    @property
    def openai_url(self) -> str:
        """Base address for clients of OpenAI's API (chat and responses)."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """Base address for clients of Anthropic's API."""
        return self.url


Program = Callable[[Place], Awaitable[str]]
"""Runs the agent to its end and gives its last words."""


class BlackBox:
    """See the module; an `Episode`.

    Args:
        gateway: without `on_finished`, as attempts are kept by the manager.
        program: the agent.
        judge: what an attempt was worth; None where nobody asks.
        name: of the environment.
    """

    def __init__(self, gateway: Gateway, program: Program, *, judge: Judge | None = None, name: str = "") -> None:
        self.gateway, self.program, self.judge, self.name = gateway, program, judge, name

    async def run(self, ctx: RolloutCtx) -> Outcome:
        """See `Episode.run`. What the program raises ends the attempt as failed."""
        id = _session_of(ctx)
        self.gateway.begin(Wanted(id, task=ctx.task.id, environment=self.name, policy=ctx.policy, seed=ctx.turn_seed()))
        place = Place(f"{self.gateway.url}/s/{id}", self.gateway.key_of(id), replace(ctx.task, truth=None))
        began = ctx.seconds
        try:
            text = await ctx.waiting("model", self.program(place), ticks=ticks(ctx.seconds_left))
        finally:
            if (captured := self.gateway.end(id)) is not None:
                take_over(ctx, captured, began=began)
        outcome = Outcome("done", text, turns=ctx.turns)
        if self.judge is not None and ctx.depth == 0:
            judge, case = self.judge, Case(ctx.task, outcome, ctx.trajectory, ctx.trajectory.variant, ctx)
            await ctx.judged(lambda: judge(case))
        return outcome


def take_over(ctx: RolloutCtx, captured: Trajectory, *, began: float) -> None:
    """Put a session's agents, turns and events into an attempt, behind what it has.

    Args:
        began: when the session did, in seconds of the attempt.
    """
    whole = ctx.trajectory
    agents, nodes = len(whole.agents) - 1, len(whole.nodes)  # the session's main agent is the one of `ctx`

    def agent_of(number: int) -> int:
        return ctx.number if number == 0 else number + agents if number > 0 else NOBODY

    def node_of(number: int) -> int:
        return number + nodes if number >= 0 else NOBODY

    for span in captured.agents[1:]:
        path = f"{ctx.agent}/{span.name.partition('/')[2] or span.name}"
        whole.agents.append(
            replace(
                span,
                name=path,
                parent=agent_of(span.parent),
                node=node_of(span.node),
                began=span.began + began,
                ended=span.ended + began,
            )  # fmt: skip
        )
    for node in captured.nodes:
        masked = node.masked or captured.masked
        ctx.add(
            replace(node, parent=node_of(node.parent), agent=agent_of(node.agent), at=node.at + began, masked=masked)
        )
    for event in captured.events:
        whole.events.append(event._replace(at=event.at + began, agent=agent_of(event.agent), node=node_of(event.node)))


def _session_of(ctx: RolloutCtx) -> str:
    """A session's name from an attempt's, and from how often it was tried."""
    tried = sum((ctx.attempt.tries or {}).values())
    whole = f"{ctx.attempt.name}/{ctx.agent}/{tried}".removesuffix("/main/0")
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", whole).lstrip(".-")
    return plain[-LONGEST_NAME:].lstrip(".-")
