"""What a synthesis that was interrupted knows: replies, whole candidates, and what stages found of them.

    teacher.answered      one reply of a teacher to what it was shown, written before anything follows from it
    candidate.proposed    a conversation is whole; by all that it follows from
    stage.found           a verdict; by what the stage looked at and what it asks. Findings without one are not written

Nothing of it is asked for again, whatever ended the process, and nothing is taken for what it is not: where the words
of a seed, an instruction, a truth or a grader are others, they are other questions. Journals of earlier versions do not
say what was asked, and so nothing in them is known.

Report: §4.4.1; App. D (trajectories as events).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from manyeyes.agent.chat_model import Reply, Usage
from manyeyes.agent.record import message_of, plain_of
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.mark import mark_of
from manyeyes.agent.synthesis.memory import Heard, Memory
from manyeyes.agent.synthesis.proposing import CUT_OFF
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import Finding, Stage
from manyeyes.core.journal import Event, Journal, read_blob
from manyeyes.core.messages import Message, Tool

ANSWERED, PROPOSED, FOUND = "teacher.answered", "candidate.proposed", "stage.found"


class Asked(NamedTuple):
    """What a candidate follows from: its mark, and how long an answer may be."""

    mark: str
    longest: int | None


@dataclass(slots=True)
class Remembered:
    """See the module; kept up to date by its own writing, so what is used is what was written, without secrets."""

    journal: Journal
    replies: dict[tuple[str, str], Heard] = field(default_factory=dict)
    proposed: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    found: dict[tuple[str, str], Finding] = field(default_factory=dict)

    @classmethod
    def of(cls, journal: Journal, past: Iterable[Event]) -> "Remembered":
        """What the events of a journal say."""
        known = cls(journal)
        for event in past:
            known._take(event)
        return known

    def candidate(self, key: str, seed: Seed, asked: Asked) -> Candidate | None:
        """A candidate that is whole, or was cut off at this very length; None where there is none."""
        data = self.proposed.get((key, asked.mark))
        if data is None or (data["fault"] == CUT_OFF and data["longest"] != asked.longest):
            return None
        messages = tuple(self._message(plain) for plain in data["messages"])
        tools = tuple(Tool(*tool) for tool in data["tools"])
        return Candidate(seed, data["teacher"], data["attempt"], messages, tools, data["fault"], Usage(**data["usage"]))

    def memory(self, key: str) -> Memory:
        """Of what was said for one candidate."""
        return _OfOne(self, key)

    def propose(self, candidate: Candidate, asked: Asked) -> Candidate:
        """A conversation is whole; the candidate as it is remembered."""
        event = self.journal.append(
            PROPOSED,
            agent=candidate.key,
            asked=asked.mark,
            longest=asked.longest,
            teacher=candidate.teacher,
            attempt=candidate.attempt,
            messages=[plain_of(message, self.journal.blob) for message in candidate.messages],
            tools=[[tool.name, tool.description, tool.parameters] for tool in candidate.tools],
            fault=candidate.fault,
            usage=asdict(candidate.usage),
        )
        self._take(event)
        return replace(candidate, messages=tuple(self._message(plain) for plain in event.data["messages"]))

    def finding(self, candidate: Candidate, stage: Stage) -> Finding | None:
        """A verdict on this candidate by these rules."""
        return self.found.get((candidate.key, _judged(candidate, stage)))

    def find(self, candidate: Candidate, stage: Stage, finding: Finding) -> None:
        """A stage came to a verdict; one without is not kept."""
        if finding.passed is not None:
            judged = _judged(candidate, stage)
            told = finding._asdict()
            self._take(self.journal.append(FOUND, agent=candidate.key, stage=stage.name, judged=judged, **told))

    def answered(self, key: str, shown: str, reply: Reply) -> Message:
        """A teacher said something; the message as it is remembered."""
        message = plain_of(reply.message, self.journal.blob)
        event = self.journal.append(ANSWERED, agent=key, shown=shown, message=message, usage=asdict(reply.usage))
        self._take(event)
        return self._message(event.data["message"])

    def _take(self, event: Event) -> None:
        data = event.data
        if event.kind == ANSWERED and "shown" in data:
            heard = Heard(self._message(data["message"]), Usage(**data["usage"]))
            self.replies[event.agent, data["shown"]] = heard
        elif event.kind == PROPOSED and "asked" in data:
            self.proposed[event.agent, data["asked"]] = dict(data)
        elif event.kind == FOUND and "judged" in data:
            finding = Finding(data["passed"], data["why"], data["score"], data["notes"])
            self.found[event.agent, data["judged"]] = finding

    def _message(self, plain: dict[str, Any]) -> Message:
        return message_of(plain, lambda name: read_blob(self.journal.folder, name))


class _OfOne(Memory):
    """What was said for one candidate."""

    def __init__(self, known: Remembered, key: str) -> None:
        self._known, self._key = known, key

    def recall(self, shown: str) -> Heard | None:
        return self._known.replies.get((self._key, shown))

    def note(self, shown: str, reply: Reply) -> Message:
        return self._known.answered(self._key, shown, reply)


def _judged(candidate: Candidate, stage: Stage) -> str:
    """Mark of what a verdict rests on."""
    return mark_of(candidate.mark, stage.name, stage.mark)
