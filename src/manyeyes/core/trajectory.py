"""`Trajectory`: what happened in one rollout, event by event and token for token, with every agent that took part.

    node      what one turn adds: ids that were given (template, world), then ids that were sampled
    branch    a walk from a leaf to its root: its ids, end to end, are exactly what the sampler saw
    agent     one participant: the main one, or one that another agent started, live or frozen
    event     what else happened: a tool's call, a judge's verdict, a restart, a suspension

Context resets, retries, drift and sub-agents are other leaves or other roots of the same forest; nothing is stored
twice. A sampled token carries loss once, in the first branch that holds it; given tokens and those of frozen agents
weigh 0. Ids, log-probabilities and versions are typed arrays: 12 bytes a sampled token, 4 a given one.

Report: §3 (frozen sub-agents are part of the world), App. D (token in, token out; partial and recursive rollouts).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Media
from manyeyes.core.sample import Sample
from manyeyes.core.sampler import UNROUTED, Draw, LogprobKind

Policy = Literal["live", "frozen"]
"""live: trained by what it does here; frozen: part of the world, its tokens never carry loss."""
MAIN = "main"
NOBODY = -1
"""No parent, no agent, no node."""
UNVERSIONED = -1
"""The version of a token that nobody sampled."""


class TrajectoryError(ValueError):
    """A node that cannot stand where it is put."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """What one turn adds to the stream of its parent.

    Attributes:
        ids: int32 [n]: what was given, then what was sampled.
        given: so many of `ids` were given.
        logprobs: float32 [n - given], of the sampled ones; NaN where the sampler could not tell.
        versions: int32 [n - given], of the policy that sampled each.
        parent: number of the node whose stream this one continues; `NOBODY` for a root.
        agent: number of the agent.
        media: one item for each run of `<|media_pad|>` in `ids`, in order.
        logprob_kind: which distribution `logprobs` are of.
        stop: why sampling ended, as the sampler said; "" where nothing was sampled.
        fork: why this does not continue the turn before it; "" when it does.
        malformed: why the sampled ids are no assistant turn; "" when they are one.
        masked: why its tokens must not be trained on (capture with a hole, say); "" when they may be.
        at, seconds: when it was asked, since the trajectory began, and how long it took.
        routing: uint16 [n, layers, experts a token], 65535 where unknown; None where nobody asked for it.
        draw: what the sampled ids were drawn from; None where nobody knows.

    Example:
        >>> Node(np.array([1, 2, 7], np.int32), 2, np.array([-0.5], np.float32), np.array([3], np.int32)).sampled
        array([7], dtype=int32)
    """

    ids: NDArray[np.int32]
    given: int
    logprobs: NDArray[np.float32]
    versions: NDArray[np.int32]
    parent: int = NOBODY
    agent: int = 0
    media: tuple[Media, ...] = ()
    logprob_kind: LogprobKind = "sampled"
    stop: str = ""
    fork: str = ""
    malformed: str = ""
    masked: str = ""
    at: float = 0.0
    seconds: float = 0.0
    routing: NDArray[np.uint16] | None = None
    draw: Draw | None = None

    def __post_init__(self) -> None:
        sampled = len(self.ids) - self.given
        if not 0 <= self.given <= len(self.ids) or len(self.logprobs) != sampled or len(self.versions) != sampled:
            raise TrajectoryError(
                f"a node of {len(self.ids)} ids, {self.given} of them given, needs {sampled} log-probabilities and "
                f"versions, got {len(self.logprobs)} and {len(self.versions)}"
            )
        if self.routing is not None and (self.routing.ndim != 3 or len(self.routing) != len(self.ids)):
            raise TrajectoryError(
                f"routing of a node of {len(self.ids)} ids must be [{len(self.ids)}, layers, experts a token], got "
                f"{list(self.routing.shape)}"
            )

    @property
    def sampled(self) -> NDArray[np.int32]:
        """The ids that the policy chose."""
        return self.ids[self.given :]

    @property
    def nbytes(self) -> int:
        """Of its arrays, media and routing left out."""
        return self.ids.nbytes + self.logprobs.nbytes + self.versions.nbytes


@dataclass(slots=True)
class AgentSpan:
    """One agent's part in a rollout.

    Attributes:
        name: its path, such as "main" or "main/0".
        role: for people: "orchestrator", "searcher".
        parent: number of the agent that started it; `NOBODY` for the main one.
        node: number of the parent's node whose tool call it belongs to; `NOBODY` where there is none.
        call: id of that call.
        policy: whether its tokens may carry loss.
        task: id of its task.
        began, ended: seconds since the trajectory began; `ended` is NaN while it runs.
        stop, reason, text: how it ended, as in an `Outcome`.
    """

    name: str = MAIN
    role: str = ""
    parent: int = NOBODY
    node: int = NOBODY
    call: str = ""
    policy: Policy = "live"
    task: str = ""
    began: float = 0.0
    ended: float = float("nan")
    stop: str = ""
    reason: str = ""
    text: str = ""


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        kind: "tool", "reset", "hidden", "judge", "suspended", "resumed", "note", "failed", ...
        at: seconds since the trajectory began.
        seconds: how long it took.
        agent, node: numbers, `NOBODY` where it belongs to none.
        data: plain JSON: a tool's name, arguments and result; a judge's words.
    """

    kind: str
    at: float = 0.0
    seconds: float = 0.0
    agent: int = NOBODY
    node: int = NOBODY
    data: dict[str, Any] = {}


class Path(NamedTuple):
    """A branch, end to end; arrays of equal length T.

    Attributes:
        ids: int32 [T].
        sampled: bool [T].
        logprobs: float32 [T], 0 where nothing was sampled.
        versions: int32 [T], `UNVERSIONED` where nothing was sampled.
        nodes: int32 [T], number of the node that each id belongs to.
        media: one item for each run of `<|media_pad|>`.
    """

    ids: NDArray[np.int32]
    sampled: NDArray[np.bool_]
    logprobs: NDArray[np.float32]
    versions: NDArray[np.int32]
    nodes: NDArray[np.int32]
    media: tuple[Media, ...]


@dataclass(slots=True)
class Trajectory:
    """One rollout.

    Attributes:
        name: unique in a run: "maze/17/3" is the fourth attempt at task "maze/17".
        task: id of the task.
        environment: its name.
        agents: the main one first; `nodes` and `events` name them by number.
        nodes: in the order in which they were finished.
        events: in the order in which they happened.
        rewards: named parts of the verdict.
        reward: what the trainer sees; None until it is judged.
        variant: what prompt modules drew for this rollout, so that it can be drawn again.
        masked: why nothing of it must be trained on; "" when it may be.
        stop: of the main agent, or "failed" where infrastructure ended it.

    Example:
        >>> whole = Trajectory("t/0/0", "t/0")
        >>> one, two = np.array([1, 7], np.int32), np.array([2, 8], np.int32)
        >>> lp, v = np.array([-0.1], np.float32), np.zeros(1, np.int32)
        >>> root = whole.add(Node(one, 1, lp, v))
        >>> _ = whole.add(Node(two, 1, lp, v, parent=root)), whole.add(Node(two, 1, lp, v, parent=root))
        >>> [sample.ids.tolist() for sample in whole.to_samples(1.0)]
        [[1, 7, 2, 8], [1, 7, 2, 8]]
        >>> [sample.weights.tolist() for sample in whole.to_samples(1.0)]
        [[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    """

    name: str
    task: str
    environment: str = ""
    agents: list[AgentSpan] = field(default_factory=lambda: [AgentSpan()])
    nodes: list[Node] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    rewards: dict[str, float] = field(default_factory=dict)
    reward: float | None = None
    variant: dict[str, Any] = field(default_factory=dict)
    masked: str = ""
    stop: str = ""

    def add(self, node: Node) -> int:
        """Put a finished turn where it belongs.

        Returns:
            Its number.

        Raises:
            TrajectoryError: its parent or its agent is not there.
        """
        if not NOBODY <= node.parent < len(self.nodes):
            raise TrajectoryError(f"{self.name}: node {len(self.nodes)} names parent {node.parent}, which is not there")
        if not 0 <= node.agent < len(self.agents):
            raise TrajectoryError(f"{self.name}: node {len(self.nodes)} names agent {node.agent}, which is not there")
        self.nodes.append(node)
        return len(self.nodes) - 1

    @property
    def leaves(self) -> list[int]:
        """Numbers of the nodes that no node continues, in order."""
        continued = {node.parent for node in self.nodes}
        return [number for number in range(len(self.nodes)) if number not in continued]

    def branch(self, leaf: int) -> list[int]:
        """Numbers of the nodes from the root to this one."""
        return list(self._upwards(leaf))[::-1]

    def path(self, leaf: int) -> Path:
        """A branch, end to end."""
        numbers = self.branch(leaf)
        nodes = [self.nodes[number] for number in numbers]
        lengths = [len(node.ids) for node in nodes]
        return Path(
            np.concatenate([node.ids for node in nodes]),
            np.concatenate([np.arange(len(node.ids)) >= node.given for node in nodes]),
            np.concatenate([part for n in nodes for part in (np.zeros(n.given, np.float32), n.logprobs)]),
            np.concatenate([part for n in nodes for part in (np.full(n.given, UNVERSIONED, np.int32), n.versions)]),
            np.repeat(np.array(numbers, np.int32), lengths),
            tuple(item for node in nodes for item in node.media),
        )

    def trainable(self, number: int) -> bool:
        """Whether a node's sampled tokens may carry loss."""
        node = self.nodes[number]
        return not (self.masked or node.masked) and self.agents[node.agent].policy == "live"

    def to_samples(self, advantage: float | Sequence[float] | NDArray[np.floating] = 0.0) -> list[Sample]:
        """What the trainer learns from: a sample for each branch that holds a sampled token of its own.

        Args:
            advantage: of the whole rollout, or of each agent by number.

        Raises:
            TrajectoryError: there are more or fewer advantages than agents.
        """
        of_agent = np.asarray(advantage, np.float32)
        if of_agent.ndim and of_agent.shape != (len(self.agents),):
            raise TrajectoryError(
                f"{self.name}: give one advantage, or one for each of its {len(self.agents)} agents; got "
                f"{list(of_agent.shape)}"
            )
        agent_of_node = np.array([node.agent for node in self.nodes], np.int64)
        of_node = np.broadcast_to(of_agent, len(self.agents))[agent_of_node]
        done: set[int] = set()
        samples = []
        for leaf in self.leaves:
            fresh = [n for n in self.branch(leaf) if n not in done and self.trainable(n) and len(self.nodes[n].sampled)]
            if fresh:
                done.update(fresh)
                samples.append(self._sample(leaf, fresh, of_node))
        return samples

    def _sample(self, leaf: int, fresh: list[int], of_node: NDArray[np.float32]) -> Sample:
        path = self.path(leaf)
        learns = path.sampled & np.isin(path.nodes, fresh) & np.isfinite(path.logprobs)
        learns[0] = False  # nothing stands before the first id that it could be predicted from
        return Sample(
            path.ids,
            learns.astype(np.float32),
            path.media,
            f"{self.name}#{leaf}",
            np.where(learns, path.logprobs, np.float32(0.0)),
            np.where(learns, of_node[path.nodes], np.float32(0.0)),
            np.where(path.sampled, path.versions, UNVERSIONED).astype(np.int32),
            self._routing(leaf),
        )

    def _routing(self, leaf: int) -> NDArray[np.uint16] | None:
        """As the sampler routed, where any node of the branch knows."""
        nodes = [self.nodes[number] for number in self.branch(leaf)]
        known = next((node.routing.shape[1:] for node in nodes if node.routing is not None), None)
        if known is None:
            return None
        blank = [np.full((len(node.ids), *known), UNROUTED, np.uint16) for node in nodes]
        return np.concatenate([n.routing if n.routing is not None else b for n, b in zip(nodes, blank, strict=True)])

    def _upwards(self, number: int) -> Iterator[int]:
        while number != NOBODY:
            yield number
            number = self.nodes[number].parent

    @property
    def tokens(self) -> int:
        """Ids of all nodes; what branches share is counted once."""
        return sum(len(node.ids) for node in self.nodes)

    @property
    def sampled_tokens(self) -> int:
        """Ids that a policy chose."""
        return sum(len(node.ids) - node.given for node in self.nodes)

    @property
    def finished(self) -> bool:
        """Whether the main agent has ended."""
        return bool(self.stop)
