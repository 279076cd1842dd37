"""What going on with an interrupted run will take, from its journal alone, so that a person can be asked first.

    asked right away      every unfinished agent that was waiting for an answer, or had the results to ask with
    made again            tools that may be called twice; the others come back to their agents as "interrupted"

Report: §3; App. D.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from manyeyes.agent.chat_model import Usage
from manyeyes.agent.context import estimated_tokens
from manyeyes.agent.past import Past, fold
from manyeyes.agent.record import Fetch
from manyeyes.core.journal import Event
from manyeyes.core.messages import user


@dataclass(frozen=True, slots=True)
class ResumeCost:
    """What a resume begins with.

    Attributes:
        agents: that are not finished, the main agent included.
        calls: of the model that are made right away.
        again: those of them that were under way, whose answers are paid for a second time.
        prompt_tokens: of these calls, estimated.
        interrupted: tool calls that were under way, sub-agents not counted.
        spent: so far, as recorded.
        cost: US dollars of these calls, estimated; 0 where no price is known.

    Example:
        >>> print(ResumeCost(3, 2, 1, 41_000, 1, Usage(900_000, 34_567, cost=1.2), 0.08))
        3 agents are not finished; 2 model calls are made right away (about 41,000 tokens, $0.08), 1 of them again; \
1 tool call was interrupted. Spent so far: 934,567 tokens, $1.20
    """

    agents: int
    calls: int
    again: int
    prompt_tokens: int
    interrupted: int
    spent: Usage
    cost: float

    def __str__(self) -> str:
        dollars, spent = (f", ${money:.2f}" if money else "" for money in (self.cost, self.spent.cost))
        return (
            f"{_counted(self.agents, 'agent is', 'agents are')} not finished; "
            f"{_counted(self.calls, 'model call is', 'model calls are')} made right away "
            f"(about {self.prompt_tokens:,} tokens{dollars}), {self.again} of them again; "
            f"{_counted(self.interrupted, 'tool call was', 'tool calls were')} interrupted. "
            f"Spent so far: {self.spent.total:,} tokens{spent}"
        )


def cost_of_resuming(events: Sequence[Event], fetch: Fetch, *, price: tuple[float, float] = (0.0, 0.0)) -> ResumeCost:
    """What it takes to go on; nothing in a run that is over or never began.

    Args:
        events: of the whole journal.
        fetch: the content of a blob by its name.
        price: US dollars per million tokens, in and out.
    """
    agents = fold(events, fetch)
    spent = sum((agent.usage for agent in agents.values()), Usage())
    answers = sum(agent.turns for agent in agents.values())
    going_on = [agent for agent in agents.values() if agent.outcome is None]
    asking = [agent for agent in going_on if _asks(agent)]
    tokens = sum(map(_prompt_tokens, asking))
    each = spent.completion / answers if answers else 0.0
    return ResumeCost(
        agents=len(going_on),
        calls=len(asking),
        again=sum(agent.asked for agent in asking),
        prompt_tokens=tokens,
        interrupted=sum(len(agent.interrupted) for agent in going_on),
        spent=spent,
        cost=(tokens * price[0] + len(asking) * each * price[1]) / 1e6,
    )


def paused_seconds(events: Sequence[Event]) -> float:
    """How long a run was paused, not counting the time that its process was gone."""
    total, since, newest = 0.0, None, 0.0
    for event in events:
        if event.kind in ("run.continued", "run.resumed") and since is not None:
            total += (newest if event.kind == "run.resumed" else event.time) - since
            since = None
        elif event.kind == "run.paused" and since is None:
            since = event.time
        newest = event.time
    return total + (newest - since if since is not None else 0.0)


def _asks(agent: Past) -> bool:
    """Whether its next deed is to ask the model."""
    return not agent.history or agent.history[-1].role != "assistant"


def _prompt_tokens(agent: Past) -> int:
    return sum(map(estimated_tokens, agent.history or [user(agent.prompt)]))


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
