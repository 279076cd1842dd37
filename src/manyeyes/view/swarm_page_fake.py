"""Journals of swarms that never ran, of any size and shape, for tests and pictures of the page.

Agents take drawn times to think, search and read, wait for a limiter, fail now and then, and may have sub-agents of
their own; their events name what they waited for, as those of `agent.run` do. Equal arguments give equal events.

Report: none.
"""

import heapq
import random
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from manyeyes.core.journal import BLOBS, EVENTS, Event

ROLES = (
    "Market Analyst", "Fact Checker", "Biology Researcher", "Travel Scout", "Patent Reader", "Code Reviewer",
    "Historian", "Price Hunter", "Video Frame Extractor", "Climate Data Collector", "Legal Reader", "Chemist",
    "Linguist", "Statistician", "Museum Guide", "Airport Researcher", "Telescope Operator", "Nutrition Expert",
    "News Summariser", "Map Maker",
)  # fmt: skip
TOOLS = ("search", "open", "open", "find", "ipython", "shell", "read_media")
COLUMNS = ("Name", "Place", "Founded", "Members")
BEGAN = 1_790_000_000.0

_Life = Generator["float | _Join", None, None]


class _Join:
    """Waits until so many others have ended."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.life: _Life | None = None


class _World:
    """A clock, and the events so far."""

    def __init__(self, seed: int, steps: int) -> None:
        self.draw, self.steps = random.Random(seed), steps
        self.now = BEGAN
        self.events: list[Event] = []
        self.waiting: list[tuple[float, int, _Life]] = []
        self.last: dict[str, int] = {}

    def add(self, kind: str, agent: str = "", after: Sequence[int] = (), **data: Any) -> int:
        self.events.append(Event(len(self.events), kind, round(self.now, 4), agent, tuple(after), data))
        self.last[agent] = len(self.events) - 1
        return self.last[agent]

    def start(self, life: _Life) -> None:
        heapq.heappush(self.waiting, (self.now, len(self.waiting) + len(self.events) * 1000, life))

    def run(self) -> None:
        order = 0
        while self.waiting:
            self.now, _, life = heapq.heappop(self.waiting)
            for wish in life:
                if isinstance(wish, _Join):
                    wish.life = life
                    break
                order += 1
                heapq.heappush(self.waiting, (self.now + wish, 10**9 + order, life))
                break


def fake_events(
    agents: int, *, steps: int = 5, seed: int = 0, rounds: int = 1, depth: int = 1, ended: bool = True
) -> list[Event]:
    """The events of an orchestrator that started so many sub-agents, in so many rounds.

    Args:
        agents: sub-agents of the orchestrator.
        steps: of each sub-agent, about.
        seed: of everything that is drawn.
        rounds: of the orchestrator, each with its share of agents.
        depth: 1: sub-agents have none of their own; 2: some have.
        ended: False cuts the run off in its middle.
    """
    world = _World(seed, steps)
    world.add("run.started", mode="swarm", model="fake")
    world.start(_agent(world, "main", "", (), [agents // rounds + (i < agents % rounds) for i in range(rounds)], depth))
    world.run()
    world.add("run.finished", after=(world.last["main"],), stop="done")
    return world.events if ended else world.events[: len(world.events) // 2]


def write_journal(folder: Path, events: Sequence[Event], *, task: str = "a task that nobody gave") -> Path:
    """A run's folder with these events."""
    (folder / BLOBS).mkdir(parents=True, exist_ok=True)
    (folder / EVENTS).write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    (folder / "config.json").write_bytes(msgspec.json.encode({"task": task, "mode": "swarm", "model": "fake"}))
    return folder


def _agent(
    world: _World,
    name: str,
    role: str,
    after: tuple[int, ...],
    groups: list[int],
    depth: int,
    ended: Callable[[], None] = lambda: None,
) -> _Life:
    """One agent's life; `groups` are the sizes of its rounds of sub-agents."""
    draw = world.draw
    call = "" if not after else world.events[after[0]].data["place"]
    newest = world.add("agent.created", name, after, role=role, task=name, prompt=f"Work of {role or 'all'}", call=call)
    newest = world.add(
        "agent.began", name, (newest,), messages=[{"role": "user", "content": f"Work of {role or 'all'}"}]
    )
    turns = len(groups) if role == "" else max(1, len(groups), world.steps + draw.randint(-1, 2))
    failed = role != "" and draw.random() < 0.03
    for turn in range(turns + 1):
        begun = world.add("llm.started", name, (newest,), model="fake", turn=turn)
        waited = draw.choice((0.0, 0.0, 0.0, draw.uniform(0.02, 0.4)))
        yield draw.uniform(0.15, 0.7) + waited
        calls = [] if turn == turns else [draw.choice(TOOLS)] * draw.choice((1, 1, 2))
        if turn < len(groups):
            calls = ["assign_task"] * groups[turn]
        newest = world.add("llm.finished", name, (begun,), **_answer(world, name, turn, calls, waited))
        if turn == turns:
            break
        if failed and turn == turns // 2:
            newest = world.add("llm.failed", name, (newest,), turn=turn, cause="endpoint", status=500, why="no answer")
            break
        ends = yield from _calls(world, name, newest, turn, calls, depth)
        newest = world.add("round.finished", name, (newest, *ends), results=[])
    text = "" if failed else _table(world, name)
    outcome = {"stop": "error" if failed else "done", "reason": "no answer" if failed else "", "text": text}
    world.add("agent.finished", name, (newest,), outcome=outcome | {"steps": turns, "turns": turns + 1})
    ended()


def _calls(
    world: _World, name: str, newest: int, turn: int, calls: list[str], depth: int
) -> Generator[Any, None, list[int]]:
    """The calls of one answer, at once."""
    ends: list[int] = []
    places = [f"{turn}.{position}" for position in range(len(calls))]
    begun = [
        world.add("tool.started", name, (newest,), arguments='{"a": 1}', place=place, id=place, name=tool)
        for place, tool in zip(places, calls, strict=True)
    ]
    began, over = world.now, _Join(len(calls))

    def finish(place: str, tool: str, waits: tuple[int, ...]) -> None:
        page = {"page": f"https://pages.example/{name}/{place}", "title": f"Page {place}"} if tool == "open" else {}
        result = {"parts": [f"What {tool} found"], "failure": "", "data": page, "steps": 1}
        seconds = round(world.now - began, 4)
        ends.append(
            world.add("tool.finished", name, waits, seconds=seconds, result=result, place=place, id=place, name=tool)
        )

    if calls[0] == "assign_task":
        _delegate(world, name, list(zip(places, begun, strict=True)), depth, over, finish)
        yield over
    else:
        yield world.draw.uniform(0.05, 0.5)
        for place, tool, start in zip(places, calls, begun, strict=True):
            finish(place, tool, (start,))
    return ends


def _delegate(
    world: _World,
    name: str,
    begun: list[tuple[str, int]],
    depth: int,
    over: _Join,
    finish: Callable[[str, str, tuple[int, ...]], None],
) -> None:
    """Start an agent for each call; each ends its call, and the last of them the wait of all."""
    first, known = world.draw.randrange(len(ROLES)), _children(world, name)
    for number, (place, start) in enumerate(begun):
        child = f"{name}/{known + number}"

        def ended(place: str = place, start: int = start, child: str = child) -> None:
            finish(place, "assign_task", (start, world.last[child]))
            over.count -= 1
            if over.count == 0 and over.life is not None:
                world.start(over.life)

        role = ROLES[(first + int(number**0.7)) % len(ROLES)]
        groups = [world.draw.randint(1, 3)] if depth > 1 and world.draw.random() < 0.5 else []
        world.start(_agent(world, child, role, (start,), groups, depth - 1, ended))


def _children(world: _World, name: str) -> int:
    return sum(event.kind == "agent.created" and event.agent.rpartition("/")[0] == name for event in world.events)


def _answer(world: _World, name: str, turn: int, calls: list[str], waited: float) -> dict[str, Any]:
    draw, facts = world.draw, ""
    if "/" in name and turn:
        url, row = f"https://pages.example/{name}/{turn}", f"Item {name.replace('main/', '').replace('/', '.')}"
        column = COLUMNS[1 + (turn - 1) % 3]
        facts = f"\n- fact | {row} | {column} | {_value(name, column)} | 2025-0{draw.randint(1, 9)}-01 | {url}"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": f"Turn {turn} of {name}.",
        "reasoning": f"Let me see.{facts}",
    }
    message["calls"] = [[f"{turn}.{position}", tool, '{"a": 1}'] for position, tool in enumerate(calls)]
    prompt = 400 + 900 * turn + draw.randint(0, 300)
    usage = [prompt, draw.randint(20, 200), 0, round(prompt * 6e-7, 7)]
    seconds = round(draw.uniform(0.15, 0.7), 4)
    return {
        "turn": turn,
        "message": message,
        "usage": usage,
        "seconds": seconds,
        "waited": round(waited, 4),
        "attempts": 1,
    }


def _value(name: str, column: str) -> str:
    return f"{column} of {name.rpartition('/')[2]}"


def _table(world: _World, name: str) -> str:
    children = [name] if "/" in name else [agent for agent in world.last if agent.count("/") == 1]
    rows = [
        (f"Item {one.removeprefix('main/').replace('/', '.')}", *(_value(one, column) for column in COLUMNS[1:]))
        for one in children
    ]
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
