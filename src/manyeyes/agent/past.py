"""`Past`: what a journal knows of each agent, folded from its events; what a resumed run begins with.

    a finished agent                  is not run again
    an answer without its results     is acted on: finished calls keep their results, others are made or "interrupted"
    a round with a lost sub-agent     is undone, so that the sub-agent goes on

A sub-agent is lost when the endpoint failed it (no quota, no server). If nothing has followed from that yet, which is
so when the whole run came to a stop for the same reason, a resume gives it another try with all that it knew, instead
of an orchestrator that has to begin its work anew.

Report: App. D (trajectory tree).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from manyeyes.agent.chat_model import Stop, Usage
from manyeyes.agent.record import Fetch, message_of, outcome_from, result_from, tool_message
from manyeyes.agent.task import Outcome
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.journal import Event
from manyeyes.core.messages import Message, TextPart

TRANSIENT = ("quota", "endpoint")
"""Failures of a model call that say nothing about the call."""


@dataclass
class Past:
    """One agent.

    Attributes:
        prompt: its task, for one that was created and never began.
        history: since its last restart.
        results: of finished calls, by place: number of the answer and position in it (ids of calls may repeat).
        started: places of calls that were begun.
        children: by the place of the call that started them.
        notes: what finished calls left behind (`ToolResult.data`), by place, restarts included.
        turns, steps, usage, seconds: spent so far; pauses and the time that no process ran do not count.
        end: of the last answer.
        asked: whether an answer was being waited for.
        unread: what a person said to it that it has not read.
        failure: why the last call of the model gave no answer; "" when it did.
        round: places of the calls whose results end the history.
        outcome: where it is over.
        last: number of its newest event.
    """

    prompt: str = ""
    history: list[Message] = field(default_factory=list)
    results: dict[str, ToolResult] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    children: dict[str, str] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    turns: int = 0
    steps: int = 0
    usage: Usage = Usage()
    seconds: float = 0.0
    end: Stop = "stop"
    asked: bool = False
    unread: list[str] = field(default_factory=list)
    failure: str = ""
    round: list[str] = field(default_factory=list)
    outcome: Outcome | None = None
    last: int = 0

    @property
    def interrupted(self) -> set[str]:
        """Places of calls that were begun, of which nobody knows what became of them."""
        return self.started - self.results.keys() - self.children.keys()

    @property
    def lost(self) -> bool:
        """Whether it ended because the endpoint failed it."""
        return self.outcome is not None and self.outcome.stop == "error" and self.failure in TRANSIENT


def settled(found: dict[str, Past]) -> int:
    """Sub-agents that a resumed run does not start again: the calls that they belong to have their results.

    Args:
        found: as `fold` gives it, parents before their children.
    """
    places = {child: place for past in found.values() for place, child in past.children.items()}
    done: set[str] = set()
    for name, place in places.items():
        above = found[name.rpartition("/")[0]]
        if place in above.results or above.outcome is not None or name.rpartition("/")[0] in done:
            done.add(name)
    return len(done)


def fold(events: Sequence[Event], fetch: Fetch) -> dict[str, Past]:
    """What every agent had done when the events end, parents before their children."""
    found: dict[str, Past] = {}
    began: dict[str, float] = {}
    now = 0.0
    for event, now in zip(events, _worked(events), strict=True):
        if not event.agent:
            continue
        past = found.setdefault(event.agent, Past())
        past.last = event.seq
        began.setdefault(event.agent, now)
        if event.kind == "agent.resumed":
            _undo_lost_round(found, past)  # as the process that wrote this did
        _take(past, event, fetch)
        if event.kind == "agent.created" and event.data.get("call"):
            parent = event.agent.rpartition("/")[0]
            found[parent].children[event.data["call"]] = event.agent
    for name, past in found.items():
        _undo_lost_round(found, past)
        past.seconds = now - began[name]
    return found


def _worked(events: Sequence[Event]) -> Iterator[float]:
    """For each event, the seconds that the run had been at work: neither paused nor without a process."""
    worked, before, paused = 0.0, events[0].time if events else 0.0, False
    for event in events:
        if not paused and event.kind not in ("run.resumed", "agent.resumed"):
            worked += event.time - before
        before = event.time
        paused = event.kind == "run.paused" or (paused and event.kind not in ("run.continued", "run.resumed"))
        yield worked


def _undo_lost_round(found: dict[str, Past], past: Past) -> None:
    """Let sub-agents go on that the endpoint failed, if nothing has followed from their results."""
    nothing_followed = past.round or (past.history and past.history[-1].role == "assistant")
    newest = f"{past.turns - 1}."
    children = {place: found[name] for place, name in past.children.items() if place.startswith(newest)}
    lost = {place: child for place, child in children.items() if child.lost}
    if past.outcome is not None or not nothing_followed or not lost:
        return
    past.history = past.history[: len(past.history) - len(past.round)]
    past.steps -= sum(past.results[place].steps for place in past.round if place in past.results)
    past.round = []
    for place, child in lost.items():
        child.outcome = None
        past.results.pop(place, None)
        past.notes.pop(place, None)


def _take(past: Past, event: Event, fetch: Fetch) -> None:
    data = event.data
    match event.kind:
        case "agent.created":
            past.prompt = data["prompt"]
        case "agent.resumed":
            past.asked = False
        case "agent.began":
            past.history, past.round = [message_of(plain, fetch) for plain in data["messages"]], []
        case "agent.told":
            past.history.append(told := message_of(data["message"], fetch))
            past.round = []
            if told.text in past.unread:
                past.unread.remove(told.text)
        case "agent.addressed":
            past.unread.append(data["text"])
        case "llm.started":
            past.asked = True
        case "llm.failed":
            past.asked, past.failure = False, data["cause"]
        case "llm.finished":
            past.history.append(message_of(data["message"], fetch))
            past.turns, past.usage = past.turns + 1, past.usage + Usage(*data["usage"])
            past.end = data.get("end", "stop")
            past.asked, past.failure, past.round = False, "", []
        case "context.summarised":
            past.asked, past.usage = False, past.usage + Usage(*data["usage"])
        case "tool.started":
            past.started.add(data["place"])
        case "tool.finished":
            past.results[data["place"]] = result_from(data["result"], fetch)
            if data["result"]["data"]:
                past.notes[data["place"]] = data["result"]["data"]
        case "round.finished":
            _observe(past, data["results"])
        case "agent.finished":
            past.outcome, past.asked = outcome_from(data["outcome"]), False
        case _:
            pass


def _observe(past: Past, results: list[list[Any]]) -> None:
    """The calls of a round are over."""
    past.round = [place for place, _, _ in results]
    for place, call, unmade in results:
        result = past.results[place] if unmade is None else ToolResult((TextPart(unmade),), "refused", steps=0)
        past.steps += result.steps
        past.history.append(tool_message(call, result))
