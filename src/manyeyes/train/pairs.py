"""Pairs of a picture or clip and its text for the ViT stage, taken out of ordinary packs.

A caption document is `[BOS] <|media_begin|>image<|media_content|><|media_pad|>*n<|media_end|> text [EOS]`; a clip has
one such block for each chunk, its timestamp before it. SigLIP wants the text alone, so the blocks (and timestamps) are
cut and what is left becomes one padded row of a [N, L] array. Conversations are no captions and are left out.

Report: §4.3 (SigLIP + caption loss, as CoCa).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Media
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer


class Pairs(NamedTuple):
    """N pictures or clips and their texts.

    Attributes:
        ids_NL: int32, `[BOS] text [EOS]`, right-padded with the pad id.
        lengths_N: int64, tokens of each row.
        media: the pictures, and the chunks of the clips, in order.
        media_N: how many of them belong to each text.
        matches_NN: bool, True where picture i may be described by text j: its own text, or one that reads the same.
    """

    ids_NL: NDArray[np.int32]
    lengths_N: NDArray[np.int64]
    media: tuple[Media, ...]
    media_N: tuple[int, ...]
    matches_NN: NDArray[np.bool_]

    @property
    def image_tokens(self) -> tuple[int, ...]:
        """Tokens that each picture or clip became."""
        tokens = iter([item.grid.tokens for item in self.media])
        return tuple(sum(next(tokens) for _ in range(count)) for count in self.media_N)


def pairs_of(samples: list[Sample], tokenizer: Tokenizer) -> Pairs | None:
    """All documents that show one picture or one clip and say something about it; None when there are none."""
    shown = [(sample.media, text_of(sample, tokenizer)) for sample in samples if shows_one(sample, tokenizer)]
    said = [(media, text) for media, text in shown if len(text) > 2]
    if not said:
        return None
    texts = [text for _, text in said]
    ids_NL = np.full((len(texts), max(map(len, texts))), tokenizer.pad, np.int32)
    for row, text in enumerate(texts):
        ids_NL[row, : len(text)] = text
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    which_N = np.array([numbers[text] for text in texts])
    return Pairs(
        ids_NL=ids_NL,
        lengths_N=np.array([len(text) for text in texts], np.int64),
        media=tuple(item for media, _ in said for item in media),
        media_N=tuple(len(media) for media, _ in said),
        matches_NN=which_N[:, None] == which_N[None, :],
    )


def shows_one(sample: Sample, tokenizer: Tokenizer) -> bool:
    """Whether it is a document with one picture, or with one clip."""
    if not sample.media or sample.ids[0] != tokenizer.bos:
        return False
    return len(sample.media) == 1 or is_clip(sample, tokenizer)


def is_clip(sample: Sample, tokenizer: Tokenizer) -> bool:
    """Whether all of a sample's media are chunks, as the word at the head of each block says."""
    word = np.array(tokenizer.encode("video"))
    heads = np.flatnonzero(sample.ids == tokenizer.media_begin)[:, None] + 1 + np.arange(len(word))
    return bool(len(heads)) and heads.max() < len(sample.ids) and bool((sample.ids[heads] == word).all())


def text_of(sample: Sample, tokenizer: Tokenizer) -> tuple[int, ...]:
    """A document's ids without its media blocks, and without what stands before the last block of a clip."""
    if is_clip(sample, tokenizer):
        last = int(np.flatnonzero(sample.ids == tokenizer.media_end)[-1])
        return (int(sample.ids[0]), *(int(i) for i in sample.ids[last + 1 :]))
    inside_T = np.cumsum(sample.ids == tokenizer.media_begin) - np.cumsum(sample.ids == tokenizer.media_end)
    keep_T = (inside_T == 0) & (sample.ids != tokenizer.media_end)
    return tuple(int(i) for i in sample.ids[keep_T])
