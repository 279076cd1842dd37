"""`Capture`: what the calls of a session leave behind, as the nodes, agents and events of one `Trajectory`.

    prompt of a call  =  stream of the node it begins with  +  what was given since

A prompt that begins with no known stream is a root. An answer that no client has received stays masked: nothing that
the agent did came of it. So does a call whose ids nobody told.

Report: App. D; §3 (agents that other agents start).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.gateway.dialect import Heard, Json
from manyeyes.agent.gateway.streams import Streams
from manyeyes.core.media import Media
from manyeyes.core.trajectory import NOBODY, AgentSpan, Event, Node, Policy, Trajectory

NOT_RECEIVED = "the client did not receive this answer"
NO_IDS = "the endpoint told no token ids"
NO_IDS_KEPT = np.zeros(0, np.int32)
NODE_BYTES = 512
"""What a node takes beside its arrays."""
TOLD_HOLES = 100
"""Captures that failed of which each is an event; of more the number is kept."""


class Verdict(NamedTuple):
    """What somebody who watched the session says of it."""

    reward: float | None = None
    parts: dict[str, float] = {}
    stop: str = ""
    masked: str = ""


@dataclass(slots=True, eq=False)
class Room:
    """Bytes that all captures of a gateway may take, and do."""

    most: int
    taken: int = 0


@dataclass(slots=True, eq=False)
class Capture:
    """See the module.

    Attributes:
        whole: the trajectory so far, its nodes as if all answers had been received.
        most: bytes that it may take.
        room: that it shares with others.
        bytes: that it takes.
        holes: calls that left no node.
        over: it was handed on: what comes later is nobody's.
    """

    whole: Trajectory
    most: int
    room: Room
    clock: Callable[[], float] = time.monotonic
    bytes: int = 0
    holes: int = 0
    over: bool = False
    began: float = field(init=False)
    _streams: Streams = field(default_factory=Streams)
    _media: dict[int, tuple[Media, ...]] = field(default_factory=dict)
    _depth: dict[int, int] = field(default_factory=dict)
    _owed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self.clock() - self.began

    def agent(self, name: str, *, role: str = "", parent: int = NOBODY, policy: Policy = "live") -> int:
        """The number of a new agent. The turn that started it is taken to be its parent's last."""
        nodes = [number for number, node in enumerate(self.whole.nodes) if node.agent == parent]
        span = AgentSpan(name, role, parent, nodes[-1] if nodes else NOBODY, policy=policy, began=self.now)
        self.whole.agents.append(span)
        return len(self.whole.agents) - 1

    def add(self, heard: Heard, *, agent: int, at: float) -> int:
        """The node of a call; `NOBODY` when there is no room for it, or when the trajectory is over.

        Args:
            at: when it was asked, in seconds since the beginning.
        """
        if self.over:
            return NOBODY
        if self.bytes > self.most or self.room.taken > self.room.most:
            self.lost(agent, f"what is kept takes {self.bytes:,} bytes here and {self.room.taken:,} in all")
            return NOBODY
        prompt = heard.prompt
        number = self._blank(heard, agent, at) if prompt is None else self._node(heard, prompt, agent, at)
        if heard.text is not None:
            took = self.whole.nodes[number].seconds
            self.whole.events.append(Event("call", at, took, agent, number, heard.text))
            self._take(sum(len(text) for text in heard.text.values() if isinstance(text, str)))
        self._owed.add(number)
        return number

    def received(self, number: int) -> None:
        """A client has the whole answer."""
        self._owed.discard(number)

    def lost(self, agent: int, why: str) -> None:
        """A call was answered and could not be captured."""
        self.holes += 1
        if self.holes <= TOLD_HOLES:
            self.whole.events.append(Event("failed", self.now, 0.0, agent, NOBODY, {"what": "capture", "why": why}))

    def judge(self, verdict: Verdict) -> None:
        """Take a verdict; what it leaves out stays."""
        whole = self.whole
        whole.reward = whole.reward if verdict.reward is None else verdict.reward
        whole.rewards = whole.rewards | verdict.parts
        whole.masked, whole.stop = verdict.masked or whole.masked, verdict.stop or whole.stop
        data: Json = {"reward": verdict.reward, "parts": verdict.parts}
        whole.events.append(Event("judge", self.now, data=data))

    def trajectory(self) -> Trajectory:
        """As it stands; arrays are shared, lists are not."""
        whole = self.whole
        nodes = [
            replace(node, masked=node.masked or NOT_RECEIVED) if number in self._owed else node
            for number, node in enumerate(whole.nodes)
        ]
        agents = [replace(agent) for agent in whole.agents]
        return replace(whole, nodes=nodes, agents=agents, events=list(whole.events), rewards=dict(whole.rewards))

    def finished(self, stop: str, masked: str = "") -> Trajectory:
        """As it stands when every agent that has not ended ends now; what is kept here stays as it is.

        Args:
            masked: why nothing of it must be trained on, where nobody has said so.
        """
        whole = self.trajectory()
        whole.stop, whole.masked = whole.stop or stop, whole.masked or masked
        for agent in whole.agents:
            if math.isnan(agent.ended):
                agent.ended, agent.stop = self.now, agent.stop or whole.stop
        return whole

    def leave(self) -> None:
        """It is over, and its room is free again."""
        self.room.taken -= self.bytes
        self.bytes, self.over = 0, True

    def _node(self, heard: Heard, prompt: NDArray[np.int32], agent: int, at: float) -> int:
        place = self._streams.place(prompt, heard.media)
        self._owed.discard(place.parent)  # who goes on from an answer has it, whatever became of the connection
        depth = self._depth.get(place.parent, 0)
        fork = heard.fork or ("retold" if heard.told > depth else "")
        given = prompt[place.seen :]
        routing = None if heard.routing is None else heard.routing[place.seen :]
        heard = heard._replace(fork=fork, media=heard.media[place.media :], routing=routing)
        number = self._put(_node(heard, given, place.parent, agent, at, self.now))
        whole_media = self._media.get(place.parent, ()) + heard.media
        self._media[number], self._depth[number] = whole_media, depth + 1
        self._streams.add(number, place, len(prompt), heard.ids, whole_media)
        return number

    def _blank(self, heard: Heard, agent: int, at: float) -> int:
        """Of a call whose prompt nobody told token for token: what was sampled, never to be trained on."""
        heard = heard._replace(masked=heard.masked or NO_IDS)
        return self._put(_node(heard, NO_IDS_KEPT, NOBODY, agent, at, self.now))

    def _put(self, node: Node) -> int:
        routing = 0 if node.routing is None else node.routing.nbytes
        self._take(NODE_BYTES + node.nbytes + routing + sum(item.patches.nbytes for item in node.media))
        return self.whole.add(node)

    def _take(self, size: int) -> None:
        self.bytes, self.room.taken = self.bytes + size, self.room.taken + size


def _node(heard: Heard, given: NDArray[np.int32], parent: int, agent: int, at: float, now: float) -> Node:
    return Node(
        np.concatenate([given, heard.ids]), len(given), heard.logprobs, heard.versions, parent, agent, heard.media,
        heard.kind, heard.stop, heard.fork, heard.malformed, heard.masked, at, now - at, heard.routing,
        heard.draw,
    )  # fmt: skip
