"""`TrajectorySummary`: what a list of trajectories shows of one, without its tokens.

Report: none.
"""

import math
from typing import Any

import msgspec

from manyeyes.core.errors import ManyeyesError
from manyeyes.core.trajectory import AgentSpan, Trajectory

LONGEST_REASON = 8192
"""Characters."""
LONGEST_LINE = 2**20
"""Bytes of a summary: lists hold many of them."""


class WireError(ManyeyesError):
    """A trajectory that has no bytes, or bytes that are no trajectory."""


class TrajectorySummary(msgspec.Struct, frozen=True, array_like=True):
    """What a list of trajectories shows.

    Attributes:
        name, task, environment, stop, masked, reward, rewards: as in the trajectory.
        reason: the main agent's.
        failure: cause of the failure that ended it; "" for none.
        tokens, sampled: ids of all nodes, and those that a policy chose.
        turns: nodes in which something was sampled.
        agents, media: how many.
        first_version, last_version: of its sampled tokens; -1 where nothing was sampled.
        seconds: how long it took.
        stored: when it was stored, Unix seconds.
        frozen: sampled tokens of frozen agents.

    Example:
        >>> summary_of(Trajectory("maze/1/0", "maze/1", stop="done", reward=1.0), stored=0.0).reward
        1.0
    """

    name: str
    task: str
    environment: str
    stop: str
    reason: str
    failure: str
    masked: str
    reward: float | None
    rewards: dict[str, float]
    tokens: int
    sampled: int
    turns: int
    agents: int
    media: int
    first_version: int
    last_version: int
    seconds: float
    stored: float
    frozen: int = 0


def summary_of(trajectory: Trajectory, *, stored: float) -> TrajectorySummary:
    """What a list shows of it."""
    nodes, agents = trajectory.nodes, trajectory.agents
    main = agents[0] if agents else AgentSpan()
    sampled = [len(node.ids) - node.given for node in nodes]
    spans = [(int(n.versions.min()), int(n.versions.max())) for n in nodes if len(n.versions)]
    frozen = sum(s for s, n in zip(sampled, nodes, strict=True) if agents[n.agent].policy == "frozen")
    return TrajectorySummary(
        trajectory.name, trajectory.task, trajectory.environment, trajectory.stop, main.reason[:LONGEST_REASON],
        _failure(trajectory), trajectory.masked[:LONGEST_REASON],
        None if trajectory.reward is None else float(trajectory.reward),
        {part: float(value) for part, value in trajectory.rewards.items()},
        trajectory.tokens, sum(sampled), sum(map(bool, sampled)), len(agents), sum(len(n.media) for n in nodes),
        min((low for low, _ in spans), default=-1), max((high for _, high in spans), default=-1),
        seconds_of(trajectory), stored, frozen,
    )  # fmt: skip


def summary_line(summary: TrajectorySummary) -> tuple[TrajectorySummary, bytes]:
    """A summary as bytes, and as those bytes say it: a lone surrogate in a text becomes a question mark.

    Raises:
        WireError: the name holds one; it must be what is asked for later. Or names are so long that it is no summary.
    """
    sound, line = _encoded(summary)
    if len(line) > LONGEST_LINE:
        raise WireError(
            f"{sound.name[:80]}: names of task, environment and rewards fill {len(line):,} bytes, at most "
            f"{LONGEST_LINE:,} may be; shorten them"
        )
    return sound, line


def _encoded(summary: TrajectorySummary) -> tuple[TrajectorySummary, bytes]:
    try:
        return summary, _ENCODE(summary)
    except UnicodeEncodeError:
        fields = {name: _sound(getattr(summary, name)) for name in summary.__struct_fields__}
        if fields["name"] != summary.name:
            raise WireError(f"{fields['name']}: a name must be text that can be written as UTF-8") from None
        sound = TrajectorySummary(**fields)
        return sound, _ENCODE(sound)


def seconds_of(trajectory: Trajectory) -> float:
    """How long it took: to the end of the main agent, or of the last that is known."""
    if trajectory.agents and math.isfinite(trajectory.agents[0].ended):
        return float(trajectory.agents[0].ended)
    ends = [node.at + node.seconds for node in trajectory.nodes] + [e.at + e.seconds for e in trajectory.events]
    return float(max(ends, default=0.0))


def _failure(trajectory: Trajectory) -> str:
    """The cause that the last failure names, where one ended it."""
    if trajectory.stop != "failed":
        return ""
    causes = (str(e.data.get("cause", "")) for e in reversed(trajectory.events) if e.kind == "failed")
    return next(causes, "") or "unknown"


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return {_sound(key): one for key, one in value.items()} if isinstance(value, dict) else value


_ENCODE = msgspec.msgpack.Encoder().encode
