"""A swarm in the terminal: counters in one line, then a line for each agent, those at work first.

Report: §3.
"""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from manyeyes.view.swarm_state import AgentState, SwarmState
from manyeyes.view.wording import printable

STYLES = {
    "thinking": "cyan", "tool": "yellow", "delegating": "magenta", "waiting": "dim", "finished": "green",
    "failed": "red", "cancelled": "red",
}  # fmt: skip
MARKS = {
    "thinking": "●", "tool": "◆", "delegating": "▶", "waiting": "·", "finished": "✔", "failed": "✘", "cancelled": "■",
}  # fmt: skip
MOST_LINES = 24


def swarm_lines(state: SwarmState, now: float) -> RenderableType:
    """What stands in the terminal.

    Args:
        now: Unix seconds.
    """
    table = Table.grid(padding=(0, 1))
    chosen = shown(state)
    for agent in chosen:
        table.add_row(*_cells(agent, now))
    left = len(state.agents) - len(chosen)
    more = [Text(f"  … {left} more agents", style="dim")] if left else []
    return Group(counters(state, now), table, *more)


def counters(state: SwarmState, now: float) -> Text:
    """The run in one line."""
    took = (state.last if state.stop else now) - state.began
    usage = state.usage
    parts = [
        f"{took:.0f} s",
        f"{len(state.agents) - 1} sub-agents, {state.alive} agents at work",
        f"{state.thinking} model calls under way",
        f"critical steps {state.steps.critical} of {state.steps.total}",
        f"{usage.total:,} tokens",
    ]
    if usage.cost:
        parts.append(f"${usage.cost:.2f}")
    return Text(" | ".join(parts), style="bold")


def shown(state: SwarmState) -> list[AgentState]:
    """Those at work, then those that ended last, as many as fit; in the order of the tree."""
    agents = list(state.agents.values())
    if len(agents) > MOST_LINES:
        agents = sorted(agents, key=lambda agent: (not agent.alive, -agent.since))[:MOST_LINES]
    return sorted(agents, key=lambda agent: [int(part) if part.isdigit() else -1 for part in agent.name.split("/")])


def _cells(agent: AgentState, now: float) -> tuple[Text, ...]:
    style = STYLES[agent.activity]
    doing = ", ".join(sorted(set(agent.doing.values()))) or agent.reason or agent.activity
    quiet = now - agent.since
    waits = f" for {quiet:.0f} s" if agent.alive and quiet > 10 else ""
    took = (agent.ended or now) - agent.began
    return (
        Text("  " * agent.depth + MARKS[agent.activity], style=style),
        Text(printable(agent.role) or agent.name, style="bold" if agent.alive else "dim"),
        Text(printable(doing)[:48] + waits, style=style),
        Text(f"{agent.turns} turns, {agent.calls} calls", style="dim"),
        Text(f"{agent.usage.total:,} tok", style="dim"),
        Text(f"{took:.0f} s", style="dim"),
    )
