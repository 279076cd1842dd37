"""`Collection`: records of one origin, numbered from 0; the seam between data that exists and the plan that orders it.

A collection knows nothing of tokens, epochs or augmentation. `record(i)` is a pure function of i: the same call gives
an equal record on every machine, so a run may ask for any record, in any order, from any thread.

Report: App. B.2 (four text domains), B.3 (seven kinds of visual data), C.1.
"""

from typing import Literal, Protocol, TypeAlias

from manyeyes.data.record import Record

Domain: TypeAlias = Literal["vision", "text"]
Split: TypeAlias = Literal["train", "test"]

VISUAL_KINDS = ("caption", "interleaved", "ocr", "knowledge", "perception", "video", "agent")
"""Report B.3."""
TEXT_KINDS = ("web", "code", "maths", "knowledge_text")
"""Report B.2."""
DIALOGUE = "dialogue"
"""Conversations for supervised fine-tuning (report §4.4.1), in either domain; opened as `data.dialogue.Dialogues`."""


class Collection(Protocol):
    """What every source of records offers; generators and readers alike."""

    @property
    def name(self) -> str:
        """Unique in the registry, the first part of each record's name."""
        ...

    @property
    def domain(self) -> Domain:
        """ "vision" when its records carry media; the mixture's vision ratio counts by this word."""
        ...

    @property
    def kind(self) -> str:
        """One of `VISUAL_KINDS` or `TEXT_KINDS`."""
        ...

    def __len__(self) -> int: ...

    def record(self, index: int) -> Record:
        """Record number `index`, 0 <= index < len(self). Pixels stay lazy."""
        ...
