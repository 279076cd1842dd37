"""`Past`: what an interrupted attempt had done; a new coroutine is fed with it until it stands where the old one stood.

    completions     of each agent, in order; the last one may be a part, which is continued
    tool results    by place: number of the answer and position in it
    replies         of models that are no samplers
    outcomes        of sub-agents that had ended, which are not run again

The episode runs from its beginning; whatever it asks of its `ctx` is answered from here, in no time, as long as there
is an answer. The trajectory is the one that it had; nothing is written into it twice. What is asked must follow from
what was told: an attempt that says something else than it said before is run anew.

Report: App. D (partial rollouts).
"""

import base64
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.chat_model import Reply, Usage
from manyeyes.agent.record import message_of, outcome_from, result_from
from manyeyes.agent.task import Outcome
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.sampler import Completion, SampleUsage
from manyeyes.core.trajectory import Event, Node, Trajectory

OF_ITS_TIME = ("tool", "reply", "suspended", "resumed", "overdue", "failed", "model failed", "judge failed", "hang")
"""Events of what happened once; all others follow from what an agent does, which writes them again when replayed."""


class Drifted(ManyeyesError):
    """An attempt says something else than it said before: it cannot be replayed."""


class Told(NamedTuple):
    """A completion as it was: what stood before it and behind the stream of its agent, when, and as which node."""

    completion: Completion
    given: NDArray[np.int32]
    at: float
    node: int


@dataclass
class AgentPast:
    """Of one agent.

    Attributes:
        number: of the agent.
        completions: that were finished and not replayed yet.
        part: of the one that was under way; None for none.
        results: of finished calls, by place.
        started: places of calls that were under way.
        replies: of a model that is no sampler.
        children: names by the place that they were started from.
        written: kinds of events that it wrote and writes again when it is replayed.
        outcome: where it had ended.
    """

    number: int = 0
    completions: deque[Told] = field(default_factory=deque)
    part: Completion | None = None
    results: dict[str, Event] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    replies: deque[Event] = field(default_factory=deque)
    children: dict[str, str] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    outcome: Outcome | None = None

    def delegated(self, place: str) -> bool:
        """Whether a call had started a sub-agent, which goes on itself."""
        return any(one.startswith(f"{place}#") for one in self.children)

    def wrote(self, kind: str) -> bool:
        """Whether an event stands in the trajectory already; each one once."""
        if kind not in self.written:
            return False
        self.written.remove(kind)
        return True

    def take_part(self) -> Completion | None:
        """The part of the completion that was under way, once."""
        part, self.part = self.part, None
        return part


Routed = tuple[bytes, int, int]
"""uint16 [tokens, layers, experts a token]: its bytes, layers, experts."""
Part = tuple[list[int], list[float], list[int], str, Routed | None]


class Suspended(msgspec.Struct, array_like=True):
    """An attempt that is under way, as a checkpoint holds it; agents by their names.

    Attributes:
        trajectory: so far, as `core.trajectory_wire` writes it.
        seconds: that it has run.
        parts: completions that are under way: ids, log-probabilities, versions, kind of the log-probabilities, routing.
        started: places of calls that are under way.
        tries: retries so far, by kind.
    """

    trajectory: bytes
    seconds: float
    parts: dict[str, Part] = {}
    started: dict[str, list[str]] = {}
    tries: dict[str, int] = {}


def past_of(trajectory: Trajectory, suspended: Suspended) -> dict[str, AgentPast]:
    """What each agent had done, by its name."""
    past = {span.name: AgentPast(number) for number, span in enumerate(trajectory.agents)}
    names = [span.name for span in trajectory.agents]
    for number, node in enumerate(trajectory.nodes):
        if len(node.sampled):
            told = Told(_completion(node), node.ids[: node.given], node.at, number)
            past[names[node.agent]].completions.append(told)
    for event in trajectory.events:
        if 0 <= event.agent < len(names):
            _take(past[names[event.agent]], event)
    for name, part in suspended.parts.items():
        past[name].part = completion_of(part)
    for name, places in suspended.started.items():
        past[name].started.update(places)
    return past


def part_of(completion: Completion) -> Part:
    """A completion that is under way, for a checkpoint."""
    routing = completion.routing
    routed = None if routing is None else (routing.tobytes(), *routing.shape[1:])
    return completion.ids, completion.logprobs, completion.versions, completion.logprob_kind, routed


def completion_of(part: Part) -> Completion:
    """What `part_of` was given."""
    ids, logprobs, versions, kind, routed = part
    routing = None if routed is None else np.frombuffer(routed[0], np.uint16).reshape(-1, *routed[1:])
    known = "raw" if kind == "raw" else "sampled"
    return Completion(ids, logprobs, versions, "handed_back", known, routing=routing)


def _completion(node: Node) -> Completion:
    sampled = node.sampled.tolist()
    stop: Any = node.stop or "stop"
    return Completion(
        sampled, node.logprobs.tolist(), node.versions.tolist(), stop, node.logprob_kind,
        usage=SampleUsage(0, 0, len(sampled)), seconds=node.seconds,
    )  # fmt: skip


def _take(past: AgentPast, event: Event) -> None:
    if event.kind not in OF_ITS_TIME:
        past.written.append(event.kind)
    match event.kind:
        case "tool":
            past.results[event.data["place"]] = event
        case "reply":
            past.replies.append(event)
        case "spawned":
            past.children[event.data["place"]] = event.data["agent"]
        case "ended" if event.data.get("outcome"):
            past.outcome = outcome_from(event.data["outcome"])
        case _:
            pass


def keep_picture(content: bytes) -> str:
    """The bytes of a picture as an event holds them."""
    return f"data:{_type_of(content)};base64,{base64.b64encode(content).decode()}"


def fetch_picture(url: str) -> bytes:
    """The bytes that `keep_picture` was given."""
    return base64.b64decode(url.partition(",")[2])


def result_of(event: Event) -> ToolResult:
    """A tool's result as its event has it."""
    return result_from(event.data["result"], fetch_picture)


def reply_of(event: Event) -> Reply:
    """A reply as its event has it."""
    usage = Usage(*event.data["usage"])
    return Reply(message_of(event.data["message"], fetch_picture), event.data["stop"], usage, seconds=event.seconds)


def _type_of(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if content.startswith(b"RIFF") else "image/jpeg"
