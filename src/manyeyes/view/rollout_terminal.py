"""A rollout run in the terminal: how it stands, its trajectories as a table, and one of them turn by turn.

Report: App. D (monitoring).
"""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from manyeyes.agent.rollouts.snapshot import RolloutSnapshot
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import NOBODY, Node, Trajectory
from manyeyes.core.trajectory_store import TrajectorySummary
from manyeyes.view.wording import compact, figure, printable

BAR = 24
"""Characters of the longest bar."""
LONGEST_SAID = 240
"""Characters of a turn that are shown."""


def standing(snapshot: RolloutSnapshot | None, *, stored: int) -> RenderableType:
    """How a run stands."""
    if snapshot is None:
        return Text(f"no snapshot yet; {stored:,} trajectories are stored")
    s = snapshot
    lines = Table.grid(padding=(0, 2))
    for name, words in _facts(s, stored):
        lines.add_row(Text(name, style="dim"), Text(printable(words)))
    parts: list[RenderableType] = [lines]
    for title, counts in (("waiting for", s.waiting_for), ("seconds in", s.seconds_in), ("failures", s.failures)):
        if any(counts.values()):
            parts += [Text(""), bars(title, {str(key): float(value) for key, value in counts.items()})]
    return Group(*parts)


def bars(title: str, values: dict[str, float]) -> RenderableType:
    """A bar for each value."""
    most = max(values.values(), default=0.0) or 1.0
    table = Table.grid(padding=(0, 2))
    for key, value in sorted(values.items(), key=lambda pair: -pair[1]):
        table.add_row(
            Text(f"{title} {printable(key)}", style="dim"), Text("█" * round(BAR * value / most)), compact(value)
        )
    return table


def listing(found: Sequence[TrajectorySummary], *, count: int) -> RenderableType:
    """A table of trajectories."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("name")
    for name in ("reward", "ended", "turns", "agents", "tokens", "sampled", "version", "seconds"):
        table.add_column(name, justify="left" if name == "ended" else "right")
    for one in found:
        versions = sorted({one.first_version, one.last_version} - {-1})
        ended = f"{one.stop}: {one.failure}" if one.failure else f"{one.stop} (masked)" if one.masked else one.stop
        table.add_row(
            Text(printable(one.name)), "-" if one.reward is None else figure(one.reward), Text(printable(ended)),
            str(one.turns), str(one.agents), compact(one.tokens), compact(one.sampled),
            "-".join(map(str, versions)) or "-", figure(one.seconds),
        )  # fmt: skip
    left = count - len(found)
    return Group(table, Text(f"{count:,} found" + (f", {left:,} not shown" if left > 0 else ""), style="dim"))


def trajectory_lines(whole: Trajectory, tokenizer: Tokenizer | None) -> RenderableType:
    """One trajectory, turn by turn."""
    return Group(*_lines(whole, tokenizer))


def _facts(s: RolloutSnapshot, stored: int) -> Iterator[tuple[str, str]]:
    yield (
        "attempts",
        (
            f"{s.submitted:,} submitted, {s.queued:,} queued, {s.running:,} running, {s.finished:,} finished, "
            f"{s.failed:,} failed, {s.cancelled:,} cancelled"
        ),
    )
    yield "groups", f"{s.groups_done:,} of {s.groups:,}"
    yield "tokens", f"{s.turns:,} turns, {compact(s.tokens_given)} given, {compact(s.tokens_sampled)} sampled"
    yield "policy", f"version {s.version}, at most {s.concurrency_cap:,} attempts at a time"
    for part, (total, count) in s.rewards.items():
        if count:
            yield part, f"{figure(total / count)} on average of {count:,}"
    yield "event loop", f"{1000 * s.loop_lag.p99:.1f} ms late (p99 of a second)"
    yield "stored", f"{stored:,} trajectories, {s.dropped_records:,} records could not be kept"
    yield "time", f"{figure(s.seconds)} s"


def _lines(whole: Trajectory, tokenizer: Tokenizer | None) -> Iterator[RenderableType]:
    reward = "no reward" if whole.reward is None else f"reward {figure(whole.reward)}"
    parts = ", ".join(f"{part} {figure(value)}" for part, value in whole.rewards.items())
    yield Text(printable(f"{whole.name}  {whole.environment}  {whole.stop}  {reward}  {parts}"), style="bold")
    if whole.masked:
        yield Text(printable(f"masked: {whole.masked}"), style="yellow")
    for number, agent in enumerate(whole.agents):
        nodes = sum(node.agent == number for node in whole.nodes)
        depth = "  " * agent.name.count("/")
        words = f"{depth}{agent.name} {agent.role} ({agent.policy}): {nodes} turns, {agent.stop} {agent.reason}"
        yield Text(printable(words), style="cyan")
    for number, node in enumerate(whole.nodes):
        yield from _turn(whole, number, node, tokenizer)


def _turn(whole: Trajectory, number: int, node: Node, tokenizer: Tokenizer | None) -> Iterator[RenderableType]:
    after = "a root" if node.parent == NOBODY else f"after turn {node.parent}"
    flags = "".join(f"  {key}: {getattr(node, key)}" for key in ("fork", "malformed", "masked") if getattr(node, key))
    who, sampled = whole.agents[node.agent].name, len(node.sampled)
    yield Text(printable(f"turn {number}  {who}  {after}: {node.given} given, {sampled} sampled{flags}"), style="bold")
    said = _text(node, tokenizer)
    yield Text(printable(said if len(said) <= LONGEST_SAID else said[:LONGEST_SAID] + " …"))
    for event in whole.events:
        if event.node == number:
            name = event.data.get("name", "")
            yield Text(printable(f"  {event.kind} {name}  {event.seconds:.1f} s"), style="magenta")


def _text(node: Node, tokenizer: Tokenizer | None) -> str:
    ids = node.sampled.tolist()
    if tokenizer is None or any(not 0 <= token < tokenizer.n_vocab for token in ids):
        return " ".join(map(str, ids))
    return tokenizer.decode(ids)
