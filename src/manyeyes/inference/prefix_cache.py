"""Keys of the prefix cache: a block is found again by all that its latents depend on.

    key_0 = H(policy version | ids_0 | media_0),   key_i = H(key_{i-1} | ids_i | media_i)

ids_i are the tokens of block i; media_i says which picture fills its `<|media_pad|>` tokens, and from which of its
tokens on. The version is the root of every chain, so nothing computed under old weights is ever found.

Report: App. D.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from manyeyes.core.media import Media


class MediaSpan(NamedTuple):
    """Where the `<|media_pad|>` tokens of one media item stand in a prompt, and the key of its content."""

    start: int
    stop: int
    content: bytes


def content_key(item: Media) -> bytes:
    """What is shown: equal pixels in an equal grid give equal keys."""
    digest = hashlib.blake2b(repr(tuple(item.grid)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(item.patches).data)
    return digest.digest()


def root_key(version: int) -> bytes:
    """Where chains of one policy version begin."""
    return b"version %d" % version


def block_key(parent: bytes, ids: Sequence[int], start: int, spans: Sequence[MediaSpan]) -> bytes:
    """Key of the block whose tokens are `ids`, from position `start` on.

    Args:
        spans: of the whole prompt.
    """
    digest = hashlib.blake2b(parent, digest_size=16)
    digest.update(np.asarray(ids, np.int32).tobytes())
    stop = start + len(ids)
    for span in spans:
        if span.start < stop and span.stop > start:
            digest.update(span.content + b"%d" % (start - span.start))
    return digest.digest()
