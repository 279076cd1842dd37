"""Picture-text pairs for the ViT stage, taken out of ordinary packs.

A caption document is `[BOS] <|media_begin|>image<|media_content|><|media_pad|>*n<|media_end|> text [EOS]`. SigLIP wants
the text alone, so the media block is cut and what is left becomes one padded row of a [N, L] array.

Report: §4.3 (SigLIP + caption loss, as CoCa).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Media
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer


class Pairs(NamedTuple):
    """N pictures (or clips of one chunk) and their texts.

    Attributes:
        ids_NL: int32, `[BOS] text [EOS]`, right-padded with the pad id.
        lengths_N: int64, tokens of each row.
        media: N items.
        matches_NN: bool, True where picture i may be described by text j: its own text, or one that reads the same.
    """

    ids_NL: NDArray[np.int32]
    lengths_N: NDArray[np.int64]
    media: tuple[Media, ...]
    matches_NN: NDArray[np.bool_]


def pairs_of(samples: list[Sample], tokenizer: Tokenizer) -> Pairs | None:
    """All samples that show exactly one picture and say something about it; None when there are none."""
    shown = [(sample.media[0], text_of(sample, tokenizer)) for sample in samples if len(sample.media) == 1]
    said = [(media, text) for media, text in shown if len(text) > 2]
    if not said:
        return None
    texts = [text for _, text in said]
    ids_NL = np.full((len(texts), max(map(len, texts))), tokenizer.pad, np.int32)
    for row, text in enumerate(texts):
        ids_NL[row, : len(text)] = text
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    which_N = np.array([numbers[text] for text in texts])
    lengths_N = np.array([len(text) for text in texts], np.int64)
    return Pairs(ids_NL, lengths_N, tuple(media for media, _ in said), which_N[:, None] == which_N[None, :])


def text_of(sample: Sample, tokenizer: Tokenizer) -> tuple[int, ...]:
    """A sample's ids without its media blocks."""
    inside_T = np.cumsum(sample.ids == tokenizer.media_begin) - np.cumsum(sample.ids == tokenizer.media_end)
    keep_T = (inside_T == 0) & (sample.ids != tokenizer.media_end)
    return tuple(int(i) for i in sample.ids[keep_T])
