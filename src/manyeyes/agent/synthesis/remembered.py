"""What a synthesis that was interrupted knows: replies, whole candidates, and what stages found of them.

    teacher.answered      one reply of a teacher, written before anything follows from it
    candidate.proposed    a conversation is whole
    stage.found           a verdict; findings without one are not written, so that they are asked for again

Nothing of it is ever asked for again, whatever ended the process.
Report: §4.4.1; App. D (trajectories as events).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from manyeyes.agent.chat_model import Reply, Usage
from manyeyes.agent.record import message_of, plain_of
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import Finding
from manyeyes.core.journal import Event, Journal, read_blob
from manyeyes.core.messages import Message, Tool

ANSWERED, PROPOSED, FOUND = "teacher.answered", "candidate.proposed", "stage.found"


@dataclass(slots=True)
class Remembered:
    """See the module; kept up to date by its own writing."""

    journal: Journal
    replies: defaultdict[str, list[tuple[Message, Usage]]] = field(default_factory=lambda: defaultdict(list))
    proposed: dict[str, dict[str, Any]] = field(default_factory=dict)
    found: dict[tuple[str, str], Finding] = field(default_factory=dict)

    @classmethod
    def of(cls, journal: Journal, past: Iterable[Event]) -> "Remembered":
        """What the events of a journal say."""
        known = cls(journal)
        for event in past:
            known._take(event)
        return known

    def candidate(self, key: str, seed: Seed) -> Candidate | None:
        """A candidate that is whole; None where there is none yet."""
        if (data := self.proposed.get(key)) is None:
            return None
        messages = tuple(self._message(plain) for plain in data["messages"])
        tools = tuple(Tool(*tool) for tool in data["tools"])
        return Candidate(seed, data["teacher"], data["attempt"], messages, tools, data["fault"], Usage(**data["usage"]))

    def answered(self, key: str, reply: Reply) -> None:
        """A teacher said something."""
        message = plain_of(reply.message, self.journal.blob)
        self._take(self.journal.append(ANSWERED, agent=key, message=message, usage=_usage(reply.usage)))

    def propose(self, candidate: Candidate) -> None:
        """A conversation is whole."""
        self._take(
            self.journal.append(
                PROPOSED,
                agent=candidate.key,
                teacher=candidate.teacher,
                attempt=candidate.attempt,
                messages=[plain_of(message, self.journal.blob) for message in candidate.messages],
                tools=[[tool.name, tool.description, tool.parameters] for tool in candidate.tools],
                fault=candidate.fault,
                usage=_usage(candidate.usage),
            )
        )

    def find(self, candidate: Candidate, stage: str, finding: Finding) -> None:
        """A stage came to a verdict; one without is not kept."""
        if finding.passed is not None:
            self._take(self.journal.append(FOUND, agent=candidate.key, stage=stage, **finding._asdict()))

    def _take(self, event: Event) -> None:
        data = event.data
        if event.kind == ANSWERED:
            self.replies[event.agent].append((self._message(data["message"]), Usage(**data["usage"])))
        elif event.kind == PROPOSED:
            self.proposed[event.agent] = dict(data)
        elif event.kind == FOUND:
            finding = Finding(data["passed"], data["why"], data["score"], data["notes"])
            self.found[event.agent, data["stage"]] = finding

    def _message(self, plain: dict[str, Any]) -> Message:
        return message_of(plain, lambda name: read_blob(self.journal.folder, name))


def _usage(usage: Usage) -> dict[str, float]:
    return {"prompt": usage.prompt, "completion": usage.completion, "cached": usage.cached, "cost": usage.cost}
