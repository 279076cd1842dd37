"""A swarm in the terminal: counters, a mark for each agent where they are many, then the tree with a line for each.

    12 s | 100 sub-agents, 31 at work | 28 model calls under way, 12 waiting | critical steps 9 of 410 | x7.4 faster …
    ●●◆●✔✔✔●◆●●✘✔✔✔●●●◆◆●●●●✔✔✔✔●●
    ▶ main              assign_task
      round 1           100 agents, 69 ended
      ◆ Fact Checker    search

Report: §3.
"""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from manyeyes.agent.limiter import Limiter
from manyeyes.view.swarm_state import AgentState, SwarmState
from manyeyes.view.wording import compact, printable

STYLES = {
    "thinking": "cyan", "tool": "yellow", "delegating": "magenta", "waiting": "dim", "finished": "green",
    "failed": "red", "cancelled": "red",
}  # fmt: skip
MARKS = {
    "thinking": "●", "tool": "◆", "delegating": "▶", "waiting": "·", "finished": "✔", "failed": "✘", "cancelled": "■",
}  # fmt: skip
MOST_LINES = 24
LONGEST_ROLE = 40
"""Characters."""
MOST_MARKS = 600
"""Agents in the grid; a thousand marks would push the tree off the screen."""


def swarm_lines(state: SwarmState, now: float, *, limiter: Limiter | None = None) -> RenderableType:
    """What stands in the terminal.

    Args:
        now: Unix seconds.
        limiter: whose queue is told; None tells none.
    """
    table = Table.grid(padding=(0, 1))
    chosen = shown(state)
    for row in _rows(state, chosen, now):
        table.add_row(*row)
    left = len(state.agents) - len(chosen)
    many = [grid(state)] if left else []
    more = [Text(f"  … {left} more agents", style="dim")] if left else []
    return Group(counters(state, now, limiter=limiter), *many, table, *more)


def counters(state: SwarmState, now: float, *, limiter: Limiter | None = None) -> Text:
    """The run in one line."""
    usage = state.usage
    parts = [
        f"{state.seconds(now):.0f} s",
        f"{max(0, len(state.agents) - 1)} sub-agents, {state.alive} agents at work",
        f"{state.thinking} model calls under way{_queue(limiter)}",
        f"critical steps {state.steps.critical} of {state.steps.total}",
        f"{compact(usage.prompt)} tokens in, {compact(usage.completion)} out",
    ]
    if (times := state.speed_up(now)) >= 1.05:
        parts.insert(4, f"x{times:.1f} faster than one by one")
    if usage.cost:
        parts.append(f"${usage.cost:.2f}")
    if state.paused_for:
        parts.append(f"paused: {one_line(state.paused_for, 60)}")
    return Text(" | ".join(parts), style="bold")


def grid(state: SwarmState) -> Text:
    """A mark for each agent, in the order of their creation; it wraps as text does."""
    agents = list(state.agents.values())
    found = Text()
    for agent in agents[:MOST_MARKS]:
        found.append(MARKS[agent.activity], style=STYLES[agent.activity])
    if len(agents) > MOST_MARKS:
        found.append(f" +{len(agents) - MOST_MARKS}", style="dim")
    return found


def shown(state: SwarmState) -> list[AgentState]:
    """The main agent, those at work, then those that ended last, as many as fit; in the order of the tree."""
    agents = list(state.agents.values())
    if len(agents) > MOST_LINES:
        agents = sorted(agents, key=lambda agent: (agent.depth > 0, not agent.alive, -agent.since))[:MOST_LINES]
    return sorted(agents, key=lambda agent: [int(part) if part.isdigit() else -1 for part in agent.name.split("/")])


def one_line(text: str, most: int) -> str:
    """The beginning of a text that a model wrote, as one line: it names its agents as it likes."""
    return " ".join(printable(text[: 4 * most]).split())[:most]


def _queue(limiter: Limiter | None) -> str:
    """What the limiter holds back, and why."""
    if limiter is None or not (limiter.queued or limiter.state != "open"):
        return ""
    why = {"open": "waiting", "waiting": "waiting: rate-limited", "paused": "waiting: out of quota"}[limiter.state]
    return f", {limiter.queued} {why}"


def _rows(state: SwarmState, chosen: list[AgentState], now: float) -> Iterator[tuple[Text, ...]]:
    """A line for each agent, and one above the first of those that one answer started together."""
    told: set[tuple[str, str]] = set()
    for agent in chosen:
        if agent.round and agent.round not in told and state.rounds.get(agent.round, 0) > 1:
            told.add(agent.round)
            yield _round(state, agent)
        yield _cells(agent, state.last if state.paused_for else now)


def _round(state: SwarmState, agent: AgentState) -> tuple[Text, ...]:
    together = [one for one in state.agents.values() if one.round == agent.round]
    ended = sum(not one.alive for one in together)
    indent = "  " * agent.depth
    return Text(indent + "┌", style="dim"), Text(f"{len(together)} at once", style="dim"), Text(f"{ended} ended", "dim")


def _cells(agent: AgentState, now: float) -> tuple[Text, ...]:
    style = STYLES[agent.activity]
    doing = ", ".join(sorted(set(agent.doing.values()))) or agent.reason or agent.activity
    quiet = now - agent.since
    waits = f" for {quiet:.0f} s" if agent.alive and quiet > 10 else ""
    cost = f" ${agent.usage.cost:.2f}" if agent.usage.cost >= 0.005 else ""
    limited = f" ({agent.waited:.0f} s limited)" if agent.waited >= 1 else ""
    return (
        Text("  " * agent.depth + MARKS[agent.activity], style=style),
        Text(one_line(agent.role, LONGEST_ROLE) or agent.name, style="bold" if agent.alive else "dim"),
        Text(one_line(doing, 48) + waits, style=style),
        Text(f"{agent.turns} turns, {agent.calls} calls", style="dim"),
        Text(f"{agent.usage.total:,} tok{cost}", style="dim"),
        Text(f"{agent.seconds(now):.0f} s{limited}", style="dim"),
    )
