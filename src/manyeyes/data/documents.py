"""`DocumentSource`: long texts split over samples without losing or repeating a target.

A document's ids x_0 … x_{n-1} are cut at multiples of L - 1 into parts of at most L tokens; neighbours share one
token, whose weight is 0 where it opens a part. So every token but the first is predicted exactly once, and lengths are
known at once. Ids are kept in memory (4 bytes a token; 2 below 65,536 entries of vocabulary).

Report: App. C.1 (packing from lengths known beforehand).
"""

import bisect

import numpy as np

from manyeyes.core.chat import render_document
from manyeyes.core.errors import DataError
from manyeyes.core.media import MediaRules
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.collection import Collection
from manyeyes.data.rendered import text_of


class DocumentSource:
    """Every document of a text collection, in parts; tokenized once, at construction.

    Args:
        collection: its records are text documents.
        tokenizer: of the model that learns.
        part_length: longest sample, in tokens.

    Raises:
        DataError: a record is a conversation or carries media.
    """

    def __init__(self, collection: Collection, tokenizer: Tokenizer, *, part_length: int) -> None:
        if part_length < 16:
            raise DataError(f"{collection.name}: part_length must be at least 16 tokens, got {part_length}")
        self.collection = collection
        self.name: str = collection.name
        self.domain: str = collection.domain
        self._dtype = np.uint16 if tokenizer.n_vocab <= 1 << 16 else np.int32
        self._step = part_length - 1
        self._ids = [self._tokens(index, tokenizer) for index in range(len(collection))]
        counts = [-(-(len(ids) - 1) // self._step) for ids in self._ids]
        self._ends = np.cumsum(counts).tolist()

    def _tokens(self, index: int, tokenizer: Tokenizer) -> np.ndarray:
        record = self.collection.record(index)
        if not record.is_document or record.media:
            raise DataError(f"{record.name}: expected a text document; use RecordSource for other records")
        text = "".join(text_of(piece, record) for piece in record.turns[0].pieces)
        return render_document([text], tokenizer, rules=MediaRules()).ids.astype(self._dtype)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def tokens(self) -> int:
        """Targets in one epoch: all tokens but the first of each document."""
        return sum(len(ids) - 1 for ids in self._ids)

    def _part(self, index: int) -> tuple[int, int]:
        """(document, part of it)."""
        document = bisect.bisect_right(self._ends, index)
        return document, index - (self._ends[document - 1] if document else 0)

    def length(self, index: int, epoch: int) -> int:
        """Tokens of that part; the same in every epoch."""
        document, part = self._part(index)
        return min(len(self._ids[document]) - part * self._step, self._step + 1)

    def sample(self, index: int, epoch: int) -> Sample:
        """The part: every token weighs 1 but the first."""
        document, part = self._part(index)
        start = part * self._step
        ids = self._ids[document][start : start + self._step + 1].astype(np.int32)
        weights = np.ones(len(ids), np.float32)
        weights[0] = 0
        return Sample(ids=ids, weights=weights, name=f"{self.name}/{epoch}/{document}.{part}")
