"""`DialogueSource`: dialogues as the planner's source, rendered as the model would have sampled them.

    instant dialogues    everything that assistants say is learned
    thinking dialogues   the open turn is learned, with its reasoning; closed turns are only given

In thinking mode the template drops the reasoning of closed turns. What was said there came after a thought that is no
longer to be seen, so learning it would teach to answer without one. A collection that wants each turn of a thinking
dialogue to be learned brings it once for each turn, as `data.dialogue_file` does. Nothing is cut or augmented: a
dialogue that is longer than a row is a `RecordError`.

Report: §4.4.1; the rules on reasoning are those of the released chat template.
"""

import dataclasses
from functools import lru_cache

import numpy as np

from manyeyes.core.chat import Rendered, render
from manyeyes.core.errors import DataError, ManyeyesError
from manyeyes.core.media import MediaRules
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.collection import Domain
from manyeyes.data.dialogue import Dialogue, Dialogues
from manyeyes.data.source import TEXT, RecordError
from manyeyes.data.text_only import require_text

RECENT = 4_096
"""Renderings that are kept (8 bytes a token): what was measured is read soon after, and small collections often."""


class DialogueSource:
    """One collection of dialogues, ready for the planner.

    Args:
        collection: where dialogues come from.
        tokenizer: of the model that learns.
        rules: how pictures become patches.
        part_length: longest sample, in tokens (the row length of the stage).
        domain: "text" for dialogues that never bring media; one that does so all the same ends the run.

    Raises:
        DataError: a row is shorter than any dialogue could be.
    """

    def __init__(
        self,
        collection: Dialogues,
        tokenizer: Tokenizer,
        *,
        rules: MediaRules,
        part_length: int,
        domain: Domain = "text",
    ) -> None:
        if part_length < 16:
            raise DataError(f"{collection.name}: part_length must be at least 16 tokens, got {part_length}")
        self.collection = collection
        self.name: str = collection.name
        self.domain: str = domain
        self._tokenizer, self._rules, self._part_length = tokenizer, rules, part_length
        self._recent = lru_cache(RECENT)(self._rendered)

    def __len__(self) -> int:
        return len(self.collection)

    def length(self, index: int, epoch: int) -> int:
        """Tokens of the sample, the same in every epoch. Raises RecordError, NotTextOnly."""
        return self._recent(index).length

    def sample(self, index: int, epoch: int) -> Sample:
        """The sample. Raises RecordError, NotTextOnly; OSError when storage failed."""
        out = self._recent(index)
        try:
            return out.sample(f"{self.name}/{epoch}/{index}")
        except OSError:
            raise
        except ManyeyesError as error:
            raise RecordError(f"{self.name} dialogue {index}: {error}") from error

    def _rendered(self, index: int) -> Rendered:
        try:
            dialogue = self.collection.dialogue(index)
            out = rendered(dialogue, self._tokenizer, rules=self._rules)
        except (RecordError, OSError):
            raise
        except ManyeyesError as error:
            raise RecordError(f"{self.name} dialogue {index}: {error}") from error
        if self.domain == TEXT:
            require_text(f"{self.name}: {dialogue.name}", out.ids, self._tokenizer, media=out.visuals)
        if out.length > self._part_length:
            raise RecordError(f"{dialogue.name}: {out.length} tokens, a row holds {self._part_length}")
        return out


def rendered(dialogue: Dialogue, tokenizer: Tokenizer, *, rules: MediaRules) -> Rendered:
    """A dialogue as ids with the weights of what is learned; decodes no pixels.

    Raises:
        ChatError: it has no rendering, or does not end with an assistant.
        RecordError: a thinking dialogue whose open turn lacks reasoning.
    """
    out = render(
        dialogue.messages, tokenizer, rules=rules, tools=dialogue.tools, thinking=dialogue.thinking, as_sampled=True
    )
    if not dialogue.thinking:
        return out
    closed = closed_messages(dialogue)
    _require_reasoning(dialogue, closed)
    return _given(out, _length_of(dialogue, closed, tokenizer, rules)) if closed else out


def closed_messages(dialogue: Dialogue) -> int:
    """Messages before the last turn: all up to the last final answer that something follows."""
    before = dialogue.messages[:-1]
    final = [at for at, message in enumerate(before) if message.role == "assistant" and not message.tool_calls]
    return final[-1] + 1 if final else 0


def _length_of(dialogue: Dialogue, messages: int, tokenizer: Tokenizer, rules: MediaRules) -> int:
    """Tokens of the first messages, tools included: ids that only follow never change those before."""
    return render(dialogue.messages[:messages], tokenizer, rules=rules, tools=dialogue.tools).length


def _require_reasoning(dialogue: Dialogue, closed: int) -> None:
    for at, message in enumerate(dialogue.messages):
        if at >= closed and message.role == "assistant" and message.reasoning is None:
            raise RecordError(
                f"{dialogue.name}: message {at} answers in thinking mode without reasoning; give it some "
                '("" for a thought that is closed at once), or make the dialogue an instant one'
            )


def _given(out: Rendered, length: int) -> Rendered:
    """The first `length` tokens weigh nothing."""
    weights = out.weights.copy()
    weights[:length] = np.float32(0)
    return dataclasses.replace(out, weights=weights)
