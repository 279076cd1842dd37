"""`require_text`, `TextOnly`: no picture, clip or media token where there must be none; one that comes ends the run.

Zero-vision fine-tuning claims that visual skills come out of text alone. A single picture in its mixture would make the
claim untrue, so a text-only stage looks at every sample that it is given.

Report: §2.2 (zero-vision SFT), §4.4.1.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import DataError
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.source import Source


class NotTextOnly(DataError):
    """A picture, clip or media token where there must be none: never left out in silence, always raised."""


def require_text(where: str, ids: NDArray[np.int32], tokenizer: Tokenizer, *, media: Sequence[object] = ()) -> None:
    """Looks at one sample.

    Args:
        where: what the message calls the sample.
        media: its pictures and clips.

    Raises:
        NotTextOnly: it has media, or an id that belongs to media.
    """
    ours = (tokenizer.media_begin, tokenizer.media_content, tokenizer.media_pad, tokenizer.media_end)
    tokens = int(np.isin(ids, ours).sum())
    if media or tokens:
        raise NotTextOnly(
            f"{where} has {len(media)} pictures or clips and {tokens} media tokens, but belongs to text-only training; "
            "register its source as vision and give the mixture a vision ratio, or leave it out"
        )


class TextOnly:
    """A source whose every sample is looked at.

    Args:
        source: of any kind.
        tokenizer: that its ids belong to.
    """

    def __init__(self, source: Source, tokenizer: Tokenizer) -> None:
        self.source, self._tokenizer = source, tokenizer
        self.name: str = source.name
        self.domain: str = source.domain

    def __len__(self) -> int:
        return len(self.source)

    def length(self, index: int, epoch: int) -> int:
        """As the source says."""
        return self.source.length(index, epoch)

    def sample(self, index: int, epoch: int) -> Sample:
        """The source's sample. Raises NotTextOnly, and what the source raises."""
        sample = self.source.sample(index, epoch)
        require_text(sample.name, sample.ids, self._tokenizer, media=sample.media)
        return sample
