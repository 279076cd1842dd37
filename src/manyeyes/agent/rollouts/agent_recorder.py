"""`AgentRecorder`: what the text loop tells (`agent.recording.Recorder`), written into the trajectory of the attempt.

    answered    a turn that was sampled is a node behind the turn that it continues; any other answer is an event
    summarised  the same; the history begins anew with it
    began       the first time nothing, then a "reset"

Report: App. D (trajectories).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.chat_model import ModelError, Reply, Stop
from manyeyes.agent.context import Shown
from manyeyes.agent.record import plain_of
from manyeyes.agent.rollouts.agent_family import AgentFamily
from manyeyes.agent.rollouts.past import keep_picture
from manyeyes.agent.token_chat_sampled import Sampled
from manyeyes.core.messages import Message
from manyeyes.core.trajectory import NOBODY, UNROUTED, Event, Node


class AgentRecorder(AgentFamily):
    """See the module, and `agent.recording.Recorder`."""

    __slots__ = ()

    def began(self, messages: Sequence[Message]) -> None:
        """See `Recorder.began`."""
        if self.turns:
            self.event("reset", messages=len(messages))

    def asked(self, model: str, *, paused: float) -> None:
        """See `Recorder.asked`: the turn says when."""

    def answered(self, reply: Reply) -> None:
        """See `Recorder.answered`."""
        if reply.sampled is not None:
            self._add_sampled(reply, reply.sampled)
            return
        if self.replayed != NOBODY:
            self.turns, self.replayed = self.turns + 1, NOBODY
            return
        data: dict[str, Any] = {"message": plain_of(reply.message, keep_picture), "stop": reply.stop}
        data["usage"] = [reply.usage.prompt, reply.usage.completion, reply.usage.cached, reply.usage.cost]
        self.trajectory.events.append(Event("reply", self.asked_at, reply.seconds, self.number, NOBODY, data))
        self.turns += 1
        self.host.stats.turns += 1

    def observed(self, messages: Sequence[Message]) -> None:
        """See `Recorder.observed`: the calls are events already."""

    def told(self, message: Message) -> None:
        """See `Recorder.told`."""
        self.event("told", message=plain_of(message, keep_picture))

    def shown(self, shown: Shown, *, before: int) -> None:
        """See `Recorder.shown`."""
        self.event("hidden", strategy=shown.applied, before=before, left=len(shown.messages))

    def summarised(self, reply: Reply) -> None:
        """See `Recorder.summarised`."""
        self.answered(reply)
        self.event("summary", text=reply.message.text)

    def failed(self, error: ModelError) -> None:
        """See `Recorder.failed`."""
        self.failure = error
        self.event("model failed", kind=error.kind, status=error.status, why=str(error))

    async def may_ask_again(self, error: ModelError, *, opened: int) -> bool:
        """See `Recorder.may_ask_again`: nobody attends."""
        return False

    def unclosed(self, why: str) -> None:
        """See `Recorder.unclosed`."""
        self.event("unclosed", why=why)

    def steering(self) -> list[Message]:
        """See `Recorder.steering`: nobody attends."""
        return []

    @property
    def history(self) -> list[Message] | None:
        """See `Recorder.history`: a replayed attempt runs from its beginning."""
        return None

    @property
    def end(self) -> Stop:
        """See `Recorder.end`."""
        return "stop"

    def _add_sampled(self, reply: Reply, sampled: Sampled) -> None:
        """A turn behind the one that it continues; one whose parent is not of this attempt is a root with all of it."""
        known = self.attempt.nodes = {} if self.attempt.nodes is None else self.attempt.nodes
        if self.replayed != NOBODY:
            known[sampled], self.replayed = self.replayed, NOBODY
            self.stand_at(known[sampled])
            return
        parent = known.get(sampled.parent, NOBODY) if sampled.parent is not None else NOBODY
        rooted = sampled.parent is not None and parent == NOBODY
        before, media = (sampled.prompt_ids, sampled.all_media) if rooted else (sampled.added, sampled.media)
        node = Node(
            np.concatenate((before, sampled.ids)), len(before), sampled.logprobs, sampled.versions, parent, self.number,
            media, sampled.logprob_kind, "length" if reply.stop == "length" else "stop", sampled.fork,
            sampled.malformed, at=self.asked_at, seconds=reply.seconds or self.seconds - self.asked_at,
            routing=_routing(sampled, len(before)), draw=sampled.draw,
        )  # fmt: skip
        known[sampled] = self.add(node)


def _routing(sampled: Sampled, before: int) -> NDArray[np.uint16] | None:
    """Of all ids of a node, `before` of which stand before what was sampled."""
    known = sampled.routing
    if known is None or before == len(sampled.added):
        return known
    unknown = np.full((before - len(sampled.added), *known.shape[1:]), UNROUTED, np.uint16)
    return np.concatenate((unknown, known))
