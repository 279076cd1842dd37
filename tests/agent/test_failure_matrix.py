"""Whatever befalls one of eight siblings, over real sockets: the others finish, and everybody is told how it ended."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.chat_model import Reply
from manyeyes.agent.environment import Ctx
from manyeyes.agent.fakes import FakeEndpoint, Fault
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.refusals import Busy
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Functions, ToolResult, Toolset
from manyeyes.core.journal import Event, Journal, read
from manyeyes.core.messages import Message, ToolCall, assistant, user
from manyeyes.swarm.orchestrator import SwarmConfig

from .virtual_time import VirtualLoop

N, VICTIM, RETRIES = 8, 3, 1


def policy(messages: Sequence[Message]) -> Message:
    """An orchestrator that starts N sub-agents and tells what came back; sub-agents that look up twice."""
    turn = sum(message.role == "assistant" for message in messages)
    last = messages[-1].text
    if "Kimi" not in messages[0].text:
        number = number_of(messages)
        if turn == 2:
            return assistant(f"found {number}: {last}")
        return assistant(f"looking {number} in a book", calls=(call("look_up", key=f"{number}-{turn}"),))
    if turn == 0:
        return assistant("", calls=(call("create_subagent", name="finder", system_prompt="You look up."),))
    if turn == 1:
        return assistant("", calls=tuple(call("assign_task", agent="finder", prompt=f"topic {i}") for i in range(N)))
    return assistant("\n".join(message.text.replace("\n", " ") for message in messages if message.role == "tool"))


def call(tool: str, **arguments: str) -> ToolCall:
    return ToolCall("c", tool, json.dumps(arguments))


def number_of(messages: Sequence[Message]) -> int:
    return int(messages[1].text.removeprefix("topic "))


async def look_up(key: str) -> str:
    """Look something up."""
    return f"value of {key}"


class Dying(Functions):
    """Tools that fail as those do whose process was killed, at one of their moments."""

    def __init__(self, *, opens: Any = None, calls: Any = None, closes: Any = None) -> None:
        super().__init__([look_up])
        self.opens, self.calls, self.closes = opens, calls, closes

    async def open(self) -> None:
        await come_to(self.opens)

    async def close(self) -> None:
        await come_to(self.closes)

    async def call(self, call: ToolCall) -> ToolResult:
        result = await come_to(self.calls)
        return await super().call(call) if result is None else result


async def come_to(end: Any) -> Any:
    if end is Ellipsis:
        await asyncio.sleep(3600)
    if isinstance(end, BaseException):
        raise end
    return end


@dataclass(frozen=True)
class Case:
    """What befalls the victim, from its second call on or in its tools, and what is told of it.

    Attributes:
        requests: of the victim's second call.
    """

    name: str
    stop: str
    told: str
    fault: Fault = ""
    requests: tuple[int, int] = (1, 1)
    tools: Callable[[], Toolset] = Dying

    @property
    def silence(self) -> float:
        """Seconds after which an endpoint counts as dead; short only where it is to be."""
        return 0.3 if self.fault in ("timeout", "silent", "ping") else 30.0


AGAIN = (1 + RETRIES, 1 + RETRIES)
LOST = ConnectionResetError("the sandbox is gone")
CASES = [
    Case("400", "error", "[finder: error: HTTP 400", "400"),
    Case("401", "error", "HTTP 401", "401"),
    Case("402", "error", "HTTP 402", "402"),
    Case("overflow", "context_overflow", "maximum context length", "overflow"),
    Case("429", "error", "HTTP 429", "429", (2, 20)),
    Case("500", "error", "HTTP 500", "500", AGAIN),
    Case("timeout", "error", "silent for", "timeout", AGAIN),
    Case("silent", "error", "silent for", "silent", AGAIN),
    Case("ping", "error", "without a word of an answer", "ping", AGAIN),
    Case("cut", "error", "looking 3 i", "cut", AGAIN),
    Case("garbage", "error", "no chat completion", "garbage", AGAIN),
    Case("malformed", "done", "the arguments of look_up are wrong", "malformed"),
    Case("tool crash", "done", "look_up failed: KeyError: 'x'", tools=lambda: Dying(calls=KeyError("x"))),
    Case("broken pipe", "done", "look_up failed: BrokenPipeError", tools=lambda: Dying(calls=BrokenPipeError("gone"))),
    Case("reset", "done", "the sandbox is gone", tools=lambda: Dying(calls=LOST)),
    Case("cancelled from within", "done", "cancelled from within", tools=lambda: Dying(calls=asyncio.CancelledError())),
    Case("exit", "done", "wanted to end the program", tools=lambda: Dying(calls=SystemExit(1))),
    Case("no result", "done", "look_up failed: AttributeError", tools=lambda: Dying(calls="just text")),
    Case("no JSON", "done", "look_up failed: TypeError", tools=lambda: Dying(calls=ToolResult.of("x", y=object()))),
    Case("open", "error", "[finder: error: ConnectionResetError", tools=lambda: Dying(opens=LOST)),
    Case("open hangs", "error", "not ready within", tools=lambda: Dying(opens=...)),
    Case("close", "done", "found 3: value of 3-1", tools=lambda: Dying(closes=LOST)),
    Case("close hangs", "done", "found 3: value of 3-1", tools=lambda: Dying(closes=...)),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manyeyes.agent.openai_chat.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("manyeyes.agent.refusals.DEFAULT_RETRY_AFTER", 0.02)


def swarm(folder: Path, server: FakeEndpoint, make_tools: Callable[[Ctx], Toolset], **settings: Any) -> Outcome:
    async def go() -> Outcome:
        async with asyncio.timeout(60), server:
            async with OpenAIChat(Endpoint(server.url, "fake", retries=RETRIES, **settings)) as model:
                with Journal(folder) as journal:
                    run = AgentRun(journal, model)
                    return await run.start(Task("t", "go"), SwarmConfig(make_tools).orchestrator())

    return asyncio.run(go())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_befalls_one_leaves_its_siblings_alone(case: Case, tmp_path: Path, monkeypatch) -> None:
    if "hangs" in case.name:
        monkeypatch.setattr(
            "manyeyes.agent.grace.OPENING" if "open" in case.name else "manyeyes.agent.grace.CLOSING", 0.3
        )
    requests = Counter[tuple[int, int]]()

    def fault(number: int, messages: Sequence[Message]) -> Fault:
        if "Kimi" in messages[0].text:
            return ""
        turn = sum(message.role == "assistant" for message in messages)
        requests[number_of(messages), turn] += 1
        return case.fault if number_of(messages) == VICTIM and turn == 1 else ""

    def tools(ctx: Ctx) -> Toolset:
        return case.tools() if ctx.agent == f"main/{VICTIM}" else Functions([look_up])

    outcome = swarm(
        tmp_path, FakeEndpoint(policy, fault=fault), tools, patience=0.1, idle=case.silence, alive=case.silence
    )
    events = read(tmp_path).events
    assert outcome.stop == "done" and unfinished(events) == set()
    told = outcome.text.splitlines()[1:]
    assert len(told) == N and case.told in told[VICTIM].replace(server_of(told[VICTIM]), "")
    assert all(f"found {i}: value of {i}-1" in told[i] for i in range(N) if i != VICTIM)
    ends = {event.agent: event.data["outcome"] for event in events if event.kind == "agent.finished"}
    assert ends[f"main/{VICTIM}"]["stop"] == case.stop
    assert {end["stop"] for agent, end in ends.items() if agent != f"main/{VICTIM}"} == {"done"}
    if "open" not in case.name:
        assert ends[f"main/{VICTIM}"]["text"].startswith(("looking 3", "found 3"))
        least, most = case.requests
        assert least <= requests[VICTIM, 1] <= most
    left = [event.agent for event in events if event.kind == "tools.unclosed"]
    assert left == ([f"main/{VICTIM}"] if "close" in case.name else [])


def server_of(text: str) -> str:
    """The address that an error names."""
    at = text.find("http://")
    return text[at : text.find(": ", at + 7) + 2] if at >= 0 else "\0"


def unfinished(events: Sequence[Event]) -> set[str]:
    """Agents without an end."""
    begun = {event.agent for event in events if event.kind == "agent.created"}
    return begun - {event.agent for event in events if event.kind == "agent.finished"}


class Windows:
    """Admits so many calls in each window of seconds; says when the next begins."""

    def __init__(self, calls: int, seconds: float = 1.0) -> None:
        self.calls, self.seconds, self.pace, self.burst = calls, seconds, calls / seconds, calls
        self._window, self._used = -1, 0

    def refuses(self, now: float) -> float:
        window = int(now / self.seconds)
        self._window, self._used = window, 1 + (self._used if window == self._window else 0)
        return 0.0 if self._used <= self.calls else (window + 1) * self.seconds - now + 1e-3


class Bucket:
    """Admits so many calls a second, and a few at once; says what it says."""

    def __init__(self, pace: float, burst: int, says: float) -> None:
        self.pace, self.burst, self.says = pace, burst, says
        self._level, self._at = float(burst), 0.0

    def refuses(self, now: float) -> float:
        self._level, self._at = min(self.burst, self._level + (now - self._at) * self.pace), now
        if self._level >= 1.0:
            self._level -= 1.0
            return 0.0
        return self.says


class Room:
    """Admits so many calls at a time, and says that this is it."""

    pace = inf

    def __init__(self, burst: int) -> None:
        self.burst, self.inside = burst, 0

    def refuses(self, now: float) -> float:
        if self.inside == self.burst:
            return 1.0
        self.inside += 1
        return 0.0


Limit = Windows | Bucket | Room


class Stormy(OpenAIChat):
    """The client, with an endpoint behind it that takes `seconds` for an answer and a hundredth for a refusal."""

    def __init__(self, limit: Limit, seconds: float, clock: Callable[[], float]) -> None:
        super().__init__(Endpoint("http://x", "m", patience=1e9), limiter=Limiter(clock=clock))
        self.limit, self.seconds, self.clock = limit, seconds, clock
        self.served = self.wasted = 0

    async def _attempt(self, body: bytes, on_text: Any) -> Reply:
        if wait := self.limit.refuses(self.clock()):
            self.wasted += 1
            await asyncio.sleep(0.01)
            raise Busy("slow down", status=429, retry_after=wait, at_once=isinstance(self.limit, Room))
        await asyncio.sleep(self.seconds)
        if isinstance(self.limit, Room):
            self.limit.inside -= 1
        self.served += 1
        return Reply(assistant("yes"))


@pytest.mark.parametrize("seconds", [0.5, 2.0, 10.0])
@pytest.mark.parametrize("limit", [
    lambda: Windows(40), lambda: Windows(500, 60.0), lambda: Bucket(10, 10, 0.1), lambda: Bucket(10, 10, 1.0),
    lambda: Bucket(2, 20, 5.0), lambda: Room(32),
], ids=["40 a second", "500 a minute", "10/s says 0.1 s", "10/s says 1 s", "2/s says 5 s", "32 at once"])  # fmt: skip
def test_a_storm_of_refusals_leaves_the_goodput(limit: Callable[[], Limit], seconds: float) -> None:
    agents, calls = 100, 10
    loop = VirtualLoop()
    chat = Stormy(limit(), seconds, loop.time)

    async def agent() -> None:
        for _ in range(calls):
            await chat.complete([user("q")])

    async def storm() -> None:
        await asyncio.gather(*(agent() for _ in range(agents)))

    loop.run_until_complete(storm())
    took = loop.time()
    loop.close()
    pace, burst, total = chat.limit.pace, chat.limit.burst, agents * calls
    if isinstance(chat.limit, Room):
        ideal = total / burst * seconds
    else:
        ideal = max((total - burst) / pace, calls * seconds + max(0, agents - burst) / pace)
    assert chat.served == total and ideal / took >= 0.85, (ideal, took)
    assert chat.wasted <= agents + 0.15 * total


def test_a_storm_over_real_sockets_is_ridden_out(tmp_path: Path) -> None:
    server = FakeEndpoint(policy, rate=8, window=0.25)
    outcome = swarm(tmp_path, server, lambda ctx: Functions([look_up]))
    total = 3 + 3 * N
    assert outcome.stop == "done" and unfinished(read(tmp_path).events) == set() and server.served == total
    assert server.refused <= total
