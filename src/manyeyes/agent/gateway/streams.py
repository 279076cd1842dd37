"""`Streams`: from the ids of a prompt to the node whose stream they begin with, and the media that stood in it.

A stream is known by its length and the hash of its ids, so a prompt of T ids and n known lengths is placed in one pass
over its bytes and n short digests, however many nodes there are.

Report: App. D (token in, token out).
"""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Media
from manyeyes.core.trajectory import NOBODY

Ids = NDArray[np.int32]


class Place(NamedTuple):
    """Where a prompt stands.

    Attributes:
        parent: the node whose stream it begins with; `NOBODY` when it is a root.
        seen: ids of that stream.
        media: items in it.
        digest: of the whole prompt, to be gone on with.
    """

    parent: int
    seen: int
    media: int
    digest: Any


class Streams:
    """See the module."""

    def __init__(self) -> None:
        self._lengths: list[int] = []
        self._ends: dict[tuple[int, bytes], list[int]] = {}
        self._media: dict[int, tuple[Media, ...]] = {}

    def place(self, ids: Ids, media: Sequence[Media] = ()) -> Place:
        """The longest stream that a prompt begins with; of equal ones the newest."""
        digest, at, found = hashlib.blake2b(digest_size=16), 0, Place(NOBODY, 0, 0, None)
        data = ids.astype(np.int32, copy=False).tobytes()
        for length in self._lengths:
            if length > len(ids):
                break
            digest.update(data[4 * at : 4 * length])
            at = length
            nodes = self._ends.get((length, digest.copy().digest()), ())
            fitting = next((node for node in reversed(nodes) if self._fits(node, media)), None)
            if fitting is not None:
                found = Place(fitting, length, len(self._media[fitting]), None)
        digest.update(data[4 * at :])
        return found._replace(digest=digest)

    def add(self, node: int, place: Place, length: int, sampled: Ids, media: tuple[Media, ...]) -> None:
        """A node's stream: the prompt that was placed, of so many ids, and what was sampled.

        Args:
            media: of the whole stream.
        """
        digest = place.digest.copy()
        digest.update(sampled.astype(np.int32, copy=False).tobytes())
        end = (length + len(sampled), digest.digest())
        at = bisect_left(self._lengths, end[0])
        if self._lengths[at : at + 1] != [end[0]]:
            self._lengths.insert(at, end[0])
        self._ends.setdefault(end, []).append(node)
        self._media[node] = media

    def _fits(self, node: int, media: Sequence[Media]) -> bool:
        own = self._media[node]
        return len(own) <= len(media) and all(same(*pair) for pair in zip(own, media, strict=False))


def same(one: Media, other: Media) -> bool:
    """Whether two media show the same."""
    return one is other or (one.grid == other.grid and np.array_equal(one.patches, other.patches))
