"""`RecordSource`: a collection as the planner's source: augment with the record's own stream, render, remember nothing.

    sample(index, epoch) = render(augment(record(index), stream(seed, "data/augment/<name>", epoch, index)))

`length` does the same without touching a pixel. A record that is longer than a row is made to fit by the first of
these steps that suffices, always the same one for the same record: no augmentation; fewer question-answer pairs;
smaller pictures; for documents, a cut between two tokens after the last picture. What fits by none of them is a
`RecordError`. An `OSError` is none: it passes, and the loader tries again. Long text documents are not cut but split
without loss: see `data.documents`.

Report: App. C.1 (tokenization, loss masks and augmentation happen while training).
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from manyeyes.core import seeds
from manyeyes.core.chat import Rendered, render, render_document
from manyeyes.core.errors import DataError, ManyeyesError
from manyeyes.core.media import MediaRules
from manyeyes.core.messages import Message, Part, TextPart, part_of
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.augment import Augmentation, augment, size_of
from manyeyes.data.collection import Collection
from manyeyes.data.geometry import written
from manyeyes.data.record import Located, Oriented, Piece, Record, Shown, Turn
from manyeyes.data.source import RecordError

SMALLEST_PICTURE = 16
"""Patches to which a picture may be shrunk so that its record fits."""


class Fitted(NamedTuple):
    """A rendering that fits the row, and what it took: "whole", "plain", "fewer turns", "smaller pictures" or "cut"."""

    rendered: Rendered
    how: str


class RecordSource:
    """One collection, ready for the planner.

    Args:
        collection: where records come from.
        tokenizer: of the model that learns.
        rules: how pictures become patches.
        part_length: longest sample, in tokens (the row length of the stage).
        seed: of the run.
        augmentation: how often and how strongly records are changed; None never changes one (evaluation).
    """

    def __init__(
        self,
        collection: Collection,
        tokenizer: Tokenizer,
        *,
        rules: MediaRules,
        part_length: int,
        seed: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        if part_length < 16:
            raise DataError(f"{collection.name}: part_length must be at least 16 tokens, got {part_length}")
        self.collection = collection
        self.name: str = collection.name
        self.domain: str = collection.domain
        self._tokenizer, self._rules, self._part_length = tokenizer, rules, part_length
        self._stream, self._seed, self._augmentation = f"data/augment/{collection.name}", seed, augmentation

    def __len__(self) -> int:
        return len(self.collection)

    def record(self, index: int, epoch: int) -> Record:
        """The augmented record of that epoch."""
        record = self.collection.record(index)
        if self._augmentation is None or not record.allowed:
            return record
        return augment(record, seeds.stream(self._seed, self._stream, epoch, index), rules=self._augmentation)

    def length(self, index: int, epoch: int) -> int:
        """Tokens of the sample; decodes nothing. Raises RecordError."""
        return self.fitted(index, epoch).rendered.length

    def sample(self, index: int, epoch: int) -> Sample:
        """The sample with its pixels. Raises RecordError; OSError when storage failed."""
        rendered = self.fitted(index, epoch).rendered
        try:
            return rendered.sample(f"{self.name}/{epoch}/{index}")
        except OSError:
            raise
        except ManyeyesError as error:
            raise RecordError(f"{self.name} record {index}: {error}") from error

    def fitted(self, index: int, epoch: int) -> Fitted:
        """The rendering that `length` counts and `sample` decodes. Raises RecordError; OSError when storage failed."""
        try:
            record = self.record(index, epoch)
            whole = rendered(record, self._tokenizer, rules=self._rules)
            if whole.length <= self._part_length:
                return Fitted(whole, "whole")
            return self._made_to_fit(self.collection.record(index))
        except (RecordError, OSError):
            raise
        except ManyeyesError as error:
            raise RecordError(f"{self.name} record {index}: {error}") from error

    def _made_to_fit(self, record: Record) -> Fitted:
        shortest = 0
        for candidate, rules, how in self._attempts(record):
            out = rendered(candidate, self._tokenizer, rules=rules)
            if out.length <= self._part_length:
                return Fitted(out, how)
            if record.is_document and (cut := _cut(out, self._part_length, self._tokenizer.media_pad)):
                return Fitted(cut, "cut")
            shortest = out.length
        raise RecordError(f"{record.name}: {shortest} tokens at the least, a row holds {self._part_length}")

    def _attempts(self, record: Record) -> Iterator[tuple[Record, MediaRules, str]]:
        yield record, self._rules, "plain"
        start = 1 if record.turns[0].role == "system" else 0
        end = len(record.turns) - 2
        while end > start:
            record = dataclasses.replace(record, turns=record.turns[:end])
            yield record, self._rules, "fewer turns"
            end -= 2
        for rules in _smaller(self._rules) if record.media else ():
            yield record, rules, "smaller pictures"

    def survey(self, count: int, *, epoch: int = 0) -> Counter[str]:
        """How the first `count` records fit: counts by `Fitted.how`, "refused" for record errors, and "tokens"."""
        found: Counter[str] = Counter()
        for index in range(min(count, len(self))):
            try:
                fitted = self.fitted(index, epoch)
                found.update({fitted.how: 1, "tokens": fitted.rendered.length})
            except RecordError:
                found["refused"] += 1
        return found


def rendered(record: Record, tokenizer: Tokenizer, *, rules: MediaRules) -> Rendered:
    """A record as token ids with weights; pictures are measured, not decoded.

    Conversations are rendered in instant mode, in thinking mode when a turn carries reasoning.
    """
    if record.is_document:
        return render_document(_parts(record.turns[0], record), tokenizer, rules=rules)
    thinking = any(turn.reasoning is not None for turn in record.turns)
    return render(messages(record), tokenizer, rules=rules, thinking=thinking, as_sampled=thinking)


def messages(record: Record) -> list[Message]:
    """The turns of a conversation as messages; their geometry written out as text."""
    return [_message(turn, record) for turn in record.turns]


def _message(turn: Turn, record: Record) -> Message:
    if len(turn.pieces) == 1 and isinstance(turn.pieces[0], str):
        return Message(turn.role, turn.pieces[0], reasoning=turn.reasoning)  # pyright: ignore[reportArgumentType]
    parts = _parts(turn, record)
    content = parts[0].text if len(parts) == 1 and isinstance(parts[0], TextPart) else tuple(parts)
    return Message(turn.role, content, reasoning=turn.reasoning)  # pyright: ignore[reportArgumentType]


def _parts(turn: Turn, record: Record) -> list[Part]:
    """Pieces as parts; neighbouring text becomes one part, so that it is tokenized as one text."""
    parts: list[Part] = []
    text = ""
    for piece in turn.pieces:
        if isinstance(piece, Shown):
            parts += [TextPart(text)] if text else []
            parts.append(part_of(record.media[piece.media]))
            text = ""
        else:
            text += text_of(piece, record)
    return [*parts, TextPart(text)] if text or not parts else parts


def text_of(piece: Piece, record: Record) -> str:
    """What a piece reads: itself, coordinates from 0 to 1, or a direction; "" for a picture."""
    if isinstance(piece, str):
        return piece
    if isinstance(piece, Located):
        shape, media = record.geometry[piece.geometry]
        return written(shape, size_of(record.media[media]))
    return piece.word if isinstance(piece, Oriented) else ""


def _smaller(rules: MediaRules) -> Iterator[MediaRules]:
    limit = rules.in_patch_limit
    while limit > SMALLEST_PICTURE:
        limit //= 2
        frame = min(rules.in_patch_limit_each_frame, limit)
        yield dataclasses.replace(rules, in_patch_limit=limit, in_patch_limit_each_frame=frame)


def _cut(out: Rendered, length: int, media_pad: int) -> Rendered | None:
    """The first `length` tokens, if no media token is lost."""
    if (out.ids[length:] == media_pad).any():
        return None
    return dataclasses.replace(out, ids=out.ids[:length], weights=out.weights[:length])
