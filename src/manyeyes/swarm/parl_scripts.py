"""Scripted agents that play through the real environment; what they say and what tools return becomes dialogues.

    serial      reads row after row itself, until it has all or has to answer
    parallel    makes an agent, assigns every row at once (or only some of them), merges what comes back
    idle        makes an agent, assigns it nothing that can be done, then goes on alone: spurious parallelism
    worker      what a sub-agent does with a prompt, whatever it is

A script is a generator: it yields the calls of an answer, is sent their results, and returns its last words. It knows
nothing but what results say.

Report: §3 (frozen sub-agents; serial collapse, spurious parallelism).
"""

import re
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np

from manyeyes.agent.environment import Environment
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import ToolResult, Toolset
from manyeyes.core.messages import Message, Tool, ToolCall, assistant
from manyeyes.core.seeds import stream
from manyeyes.core.trajectory import Policy
from manyeyes.data.synthesis.generator import between, pick
from manyeyes.data.synthesis.retrieval import filler
from manyeyes.swarm.orchestrator import ASSIGN, CREATE
from manyeyes.swarm.parl_budget import LAST_STEP
from manyeyes.swarm.parl_plan import KEYS, question
from manyeyes.swarm.parl_rows import read_rows, written_rows
from manyeyes.swarm.parl_tools import PUT, WRITE

Call = tuple[str, dict[str, Any]]
Script = Generator[list[Call], list[str], str]
NOTHING, DONE = "Nothing found.", "Done."
AGENT, SYSTEM = "a", "Look it up."
VAGUE = ("Help.", "Find it.", "Go on.", "Look at it.")
SENTENCES = 2
"""Of a section of a report, beside its fact."""
_ASKED = re.compile(r"(Find|Write) ([\w,]+) of \(([A-W])(?:-([A-W]))?\)\.")
_PAGE, _MORE = re.compile(r"Page (\d+)"), re.compile(r"More (\d+)")


def asked(prompt: str) -> tuple[list[str], str]:
    """Columns and keys of a task's words; none where it is no such task."""
    if (found := _ASKED.search(prompt)) is None:
        return [], ""
    return found[2].split(","), KEYS[KEYS.index(found[3]) : KEYS.index(found[4] or found[3]) + 1]


def asks_to_write(prompt: str) -> bool:
    """Whether a task's words ask for a report."""
    return (found := _ASKED.search(prompt)) is not None and found[1] == "Write"


def serial(prompt: str, *, put: bool = True) -> Script:
    """Look everything up oneself, one call at a time.

    Args:
        put: rows go where all agents share them; else into the answer.
    """
    columns, keys = asked(prompt)
    rows: dict[str, tuple[str, ...]] = {}
    for key in keys:
        facts, over = yield from _looked_up(key, columns)
        if not over and put and facts:
            (told,) = yield [_put_down(key, facts[columns[0]], prompt)]
            over = LAST_STEP in told
            rows[key] = ()
        elif not put and facts:
            rows[key] = tuple(facts.values())
        if over:
            break
    return (DONE if put else written_rows(rows)) if rows else NOTHING


def _looked_up(key: str, columns: Sequence[str]) -> Generator[list[Call], list[str], tuple[dict[str, str], bool]]:
    """What is known of a key in the end, and whether it is time to answer."""
    facts: dict[str, str] = {}
    (told,) = yield [("search", {"query": key})]
    for first in _PAGE.findall(told):
        page: str | None = first
        while page is not None and LAST_STEP not in told:
            (told,) = yield [("open", {"page": int(page)})]
            if page == first and not told.startswith(f"{key}\n") and not told.startswith(f"{key} "):
                break  # of something that only begins alike
            if (line := re.search(rf"^{key} (\d+)$", told, re.MULTILINE)) is not None:
                facts[columns[0]] = line[1]
            more = _MORE.search(told)
            page = more[1] if more else None
        if facts or LAST_STEP in told:
            break
    return facts, LAST_STEP in told


def _put_down(key: str, value: str, prompt: str) -> Call:
    if not asks_to_write(prompt):
        return PUT.name, {"key": key, "value": int(value)}
    draw = stream(0, f"swarm/parl/prose/{prompt}/{key}", int(value))
    return WRITE.name, {
        "section": key,
        "text": " ".join([f"{key} {value}.", *(filler(draw) for _ in range(SENTENCES))]),
    }


def parallel(prompt: str, *, together: int = 1, most: int | None = None, put: bool = True) -> Script:
    """Make one agent, assign all rows at once, merge.

    Args:
        together: rows of a task.
        most: rows that are assigned; the others are forgotten.
        put: sub-agents put their rows where all share them; else they are merged from what comes back.
    """
    columns, keys = asked(prompt)
    keys, writes = keys[:most], asks_to_write(prompt)
    parts = [keys[at : at + together] for at in range(0, len(keys), together)]
    results = yield [_made(), *((ASSIGN, _task(question(columns, part, writes=writes))) for part in parts)]
    if put:
        return DONE
    rows = dict(row for told in results[1:] for row in read_rows(told) if row[0] in keys)
    return written_rows(rows) or NOTHING


def _task(words: str) -> dict[str, str]:
    return {"agent": AGENT, "prompt": words}


def idle(prompt: str, *, words: Sequence[str], put: bool = True) -> Script:
    """Make an agent, assign it these words, then work alone."""
    yield [_made(), *((ASSIGN, _task(one)) for one in words)]
    return (yield from serial(prompt, put=put))


def worker(prompt: str, *, put: bool = True) -> Script:
    """A sub-agent: what it is asked, or an apology."""
    return (yield from serial(prompt, put=put))


def _made() -> Call:
    return CREATE, {"name": AGENT, "system_prompt": SYSTEM}


class Played(NamedTuple):
    """An episode of a script in an environment.

    Attributes:
        messages: the whole conversation.
        tools: that were declared.
        outcome: how it ended.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    outcome: Outcome


async def played(environment: Environment, task: Task, script: Script, *, ctx: "ScriptCtx | None" = None) -> Played:
    """Play a script to its end, or to the end of the episode."""
    ctx = ctx or ScriptCtx()
    async with environment.open(ctx) as session:
        messages = environment.prompt(task)
        calls = turns = 0
        told: list[str] | None = None
        while True:
            try:
                wanted = next(script) if told is None else script.send(told)
            except StopIteration as end:
                ended = Outcome("done", end.value, steps=calls, turns=turns + 1)
                return Played((*messages, assistant(end.value)), tuple(session.tools), ended)
            action = assistant(
                calls=tuple(ToolCall.of(name, said, index=calls + at) for at, (name, said) in enumerate(wanted))
            )
            step = await session.step(action)
            messages += [action, *step.observations]
            calls, turns, told = calls + len(wanted), turns + 1, [message.text for message in step.observations]
            if step.done:
                return Played(tuple(messages), tuple(session.tools), Outcome("done", "", steps=calls, turns=turns))


class ScriptCtx:
    """What a scripted agent may ask of whoever runs it: nobody; sub-agents are workers."""

    def __init__(self, agent: str = "main") -> None:
        self.agent = agent
        self.noted: list[dict[str, Any]] = []
        self._children = 0

    async def call(self, toolset: Toolset, call: ToolCall, *, position: int) -> ToolResult:
        """See `Ctx.call`."""
        return await toolset.call(call)

    async def spawn(self, task: Task, environment: Environment, *, role: str, policy: Policy = "frozen") -> Outcome:
        """See `Ctx.spawn`."""
        child = ScriptCtx(f"{self.agent}/{self._children}")
        self._children += 1
        ended = (await played(environment, task, worker(task.prompt), ctx=child)).outcome
        return Outcome("done", ended.text, steps=ended.steps, turns=ended.turns, data={"agent": child.agent})


class Shares(NamedTuple):
    """Of an orchestrator's scripts; all others are serial.

    Attributes:
        parallel: work in parallel.
        idle: start sub-agents for nothing.
        timid: of the parallel ones, those that assign three rows at most.
    """

    parallel: float
    idle: float
    timid: float = 0.0


def drawn_script(prompt: str, draw: np.random.Generator, shares: Shares) -> Script:
    """An orchestrator's script, most of them serial."""
    chance = draw.random()
    if chance < shares.parallel:
        return parallel(prompt, most=between(draw, 1, 3) if draw.random() < shares.timid else None)
    if chance < shares.parallel + shares.idle:
        return idle(prompt, words=[pick(draw, VAGUE) for _ in range(between(draw, 2, 5))])
    return serial(prompt)
