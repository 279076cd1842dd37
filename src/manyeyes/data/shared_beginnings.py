"""Samples that begin alike are computed once up to where they part: attempts at one task share its prompt.

    whole      prompt answer_1 | prompt answer_2 | ...        K (p + a) tokens
    shared     prompt | answer_1 | answer_2 | ...             p + K a: each answer sees the prompt and itself

The last token of what is shared goes to each branch, because the first token of an answer is predicted from there, by
every branch its own. Logits and gradients are those of whole samples, and so are the experts' counts and their balance,
to which a beginning counts with each of its branches. Pictures in the prompt are looked at once, too.

Report: none (engineering). Shapes: K samples, p tokens of a beginning, a of a branch.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Media
from manyeyes.core.sample import Sample
from manyeyes.data.packing import Pack, pack
from manyeyes.data.window import WINDOW, Window

LEAST = 16
"""Tokens that a beginning must have to be worth it."""
LONGEST = 1024
"""On a CPU attention of a branch keeps its probabilities, which that of a long whole sample does not. A branch keeps no
more of them than the longest sample that is computed so (`model.packed_attention.LONGEST_TILED`)."""


class Bundle(NamedTuple):
    """What goes into one row together: samples, all behind the first one where there are several, or a single one."""

    samples: tuple[Sample, ...]

    @property
    def length(self) -> int:
        """Tokens."""
        return sum(sample.length for sample in self.samples)

    @property
    def name(self) -> str:
        """For messages."""
        return self.samples[-1].name

    @property
    def continued(self) -> tuple[int, ...]:
        """See `pack`."""
        return (-1, *[0] * (len(self.samples) - 1))


def pack_shared(
    groups: Sequence[Sequence[Sample]], row_length: int, *, pad_id: int, media_pad: int | None = None
) -> list[Pack]:
    """Every sample in exactly one row; those of a group share their beginning where that pays.

    Args:
        groups: samples that may begin alike.
        media_pad: id of `<|media_pad|>`; samples with media share nothing where it is not given.

    Raises:
        DataError: a sample is longer than the row.
    """
    queue = Window(
        (one for group in groups for one in bundles(group, row_length, media_pad=media_pad)), row_length, size=WINDOW
    )
    return [_packed(row, row_length, pad_id) for row in iter(queue.next_row, [])]


def bundles(samples: Sequence[Sample], row_length: int, *, media_pad: int | None = None) -> Iterator[Bundle]:
    """Samples of a group in bundles that fit a row; each that shares nothing is one by itself.

    Example:
        >>> ids = np.arange(41, dtype=np.int32)
        >>> weights = (ids >= 40).astype(np.float32)
        >>> ones = [Sample(np.append(ids[:40], 90 + n), weights, name=f"{n}") for n in (0, 1)]
        >>> [[sample.length for sample in bundle.samples] for bundle in bundles(ones, 100)]
        [[39, 2, 2]]
    """
    for cluster in clusters(samples, media_pad=media_pad):
        cut = shared_tokens(cluster, media_pad=media_pad)
        yield from _bundles(cluster, cut, row_length, media_pad)


def _bundles(samples: Sequence[Sample], cut: int, row_length: int, media_pad: int | None) -> Iterator[Bundle]:
    """Of samples that begin with the same `cut` tokens."""
    room = row_length - cut
    fits = [cut >= LEAST and one.length - cut <= room and _kept(one, cut) <= LONGEST**2 for one in samples]
    branches = [one for one, fit in zip(samples, fits, strict=True) if fit]
    yield from (Bundle((one,)) for one, fit in zip(samples, fits, strict=True) if not fit)
    for some in _filled(branches, [one.length - cut for one in branches], room) if branches else ():
        if len(some) == 1:
            yield Bundle((some[0],))
        else:
            first = beginning(some[0], cut, media_pad)
            yield Bundle((first, *(rest(one, cut, media_pad) for one in some)))


def clusters(samples: Sequence[Sample], *, media_pad: int | None = None) -> list[list[Sample]]:
    """The samples of a group, parted so that sharing within each part saves most tokens.

    Several agents of an attempt begin in ways of their own, and their attempts alike. Sorted by their beginnings, what
    a part has in common is the least that neighbours have in common: parted there, or not at all. So it is with how
    they were routed and what they show.
    """
    if not samples:
        return []
    prompts = {id(one): one.ids[: _unlearned(one)] for one in samples}
    ordered = sorted(samples, key=lambda one: prompts[id(one)].astype(">u4").tobytes())
    common = [_common(prompts[id(one)], prompts[id(other)]) for one, other in pairwise(ordered)]
    alike = [_alike(*pair, most, media_pad) for pair, most in zip(pairwise(ordered), common, strict=True)]
    return [ordered[start:stop] for start, stop in _parted(ordered, common, alike, media_pad)]


@dataclass(slots=True)
class _Part:
    """Neighbours that are looked at together.

    Attributes:
        common: what they all begin with, of neighbours the least.
        alike: the same of `_alike`.
        pieces: what they are parted into, each as start and stop.
        saved: tokens that this saves.
    """

    common: int
    alike: int
    pieces: list[tuple[int, int]]
    saved: int = 0

    def take(self, other: "_Part") -> None:
        """What stands behind it."""
        self.alike = min(self.alike, other.alike)
        self.pieces += other.pieces
        self.saved += other.saved


def _parted(
    ordered: Sequence[Sample], common: Sequence[int], alike: Sequence[int], media_pad: int | None
) -> list[tuple[int, int]]:
    """Starts and stops of parts, in one pass over what neighbours have in common.

    A part is open as long as what follows begins with as much; those that begin with more stand within it.
    """
    still, last = list[_Part](), _alone(0)
    for place, (tokens, same) in enumerate(zip(common, alike, strict=True)):
        while still and still[-1].common > tokens:
            still[-1].take(last)
            last = _closed(still.pop(), ordered, media_pad)
        if still and still[-1].common == tokens:
            still[-1].take(last)
        else:
            still.append(replace(last, common=tokens))
        still[-1].alike = min(still[-1].alike, same)
        last = _alone(place + 1)
    while still:
        still[-1].take(last)
        last = _closed(still.pop(), ordered, media_pad)
    return last.pieces


def _alone(place: int) -> _Part:
    return _Part(0, sys.maxsize, [(place, place + 1)])


def _closed(part: _Part, ordered: Sequence[Sample], media_pad: int | None) -> _Part:
    """Nothing more belongs to it: it is one piece where that saves most."""
    start, stop = part.pieces[0][0], part.pieces[-1][1]
    cut = _whole_pictures(ordered[start], min(part.common - 1, part.alike), media_pad)
    together = cut * (stop - start - 1) if cut >= LEAST else 0
    if together >= max(part.saved, 1):
        part.pieces, part.saved = [(start, stop)], together
    return part


def shared_tokens(samples: Sequence[Sample], *, media_pad: int | None = None) -> int:
    """How many tokens all of several begin with: none of them learned from, none sent to other experts in one sample
    than in another, where that is known, and standing before a picture or behind it."""
    if len(samples) < 2:
        return 0
    most, first = min(_unlearned(one) for one in samples), samples[0]
    for one in samples[1:]:
        most = _common(first.ids[:most], one.ids[:most])
    alike = min(_alike(one, other, most, media_pad) for one, other in pairwise(samples))
    return _whole_pictures(first, min(most - 1, alike), media_pad)  # the last one goes to each branch


def beginning(sample: Sample, cut: int, media_pad: int | None) -> Sample:
    """The first tokens of a sample, to be seen and not learned from."""
    return Sample(
        sample.ids[:cut],
        np.zeros(cut, np.float32),
        sample.media[: _items(sample, cut, media_pad)],
        f"{sample.name}[:{cut}]",
        routing=None if sample.routing is None else sample.routing[:cut],
    )


def rest(sample: Sample, cut: int, media_pad: int | None) -> Sample:
    """What stands behind them, with everything that belongs to it."""
    columns = ("ids", "weights", "logprobs", "advantages", "versions", "routing")
    found = {name: getattr(sample, name) for name in columns}
    parts = {name: None if column is None else column[cut:] for name, column in found.items()}
    return replace(sample, media=sample.media[_items(sample, cut, media_pad) :], **parts)


def _filled(samples: Sequence[Sample], lengths: Sequence[int], room: int) -> Iterator[list[Sample]]:
    """In order, as many together as there is room for; at least one."""
    some, used = list[Sample](), 0
    for one, length in zip(samples, lengths, strict=True):
        if some and used + length > room:
            yield some
            some, used = [], 0
        some.append(one)
        used += length
    yield some


def _packed(row: Sequence[Bundle], row_length: int, pad_id: int) -> Pack:
    samples, continued = list[Sample](), list[int]()
    for bundle in row:
        continued += [one if one < 0 else one + len(samples) for one in bundle.continued]
        samples += bundle.samples
    return pack(samples, row_length, pad_id=pad_id, continued=continued)


def _kept(sample: Sample, cut: int) -> int:
    """Twice the probabilities a head that attention of its branch keeps; of a whole sample it is its length squared."""
    branch = sample.length - cut
    return branch * (2 * cut + branch)


def _common(one: NDArray[np.int32], other: NDArray[np.int32]) -> int:
    """Tokens that both begin with."""
    most = min(len(one), len(other))
    differing = np.flatnonzero(one[:most] != other[:most])
    return int(differing[0]) if len(differing) else most


def _routed_alike(one: Sample, other: Sample, most: int) -> int:
    """Of the first `most` tokens, those before the first that went to other experts; none where one alone is known."""
    if one.routing is None or other.routing is None:
        return most if one.routing is other.routing else 0
    if one.routing.shape[1:] != other.routing.shape[1:]:
        return 0
    alike = (np.sort(one.routing[:most], -1) == np.sort(other.routing[:most], -1)).all((1, 2))
    return most if alike.all() else int(np.argmin(alike))


def _unlearned(sample: Sample) -> int:
    """Tokens before the first that is learned."""
    learned = np.flatnonzero(sample.weights)
    return int(learned[0]) if len(learned) else sample.length


def _items(sample: Sample, cut: int, media_pad: int | None) -> int:
    """Media whose tokens stand among the first so many."""
    if not sample.media:
        return 0
    return len(_pictures(sample.ids[:cut], -1 if media_pad is None else media_pad))


def _alike(one: Sample, other: Sample, most: int, media_pad: int | None) -> int:
    """Of the first `most` tokens, which both begin with, those that may be computed once: sent to the same experts, and
    before a picture that is not the same."""
    alike = _routed_alike(one, other, most)
    if not (one.media or other.media):
        return alike
    if media_pad is None:
        return 0
    starts = enumerate(_pictures(one.ids[:alike], media_pad))
    return next((start for item, start in starts if not _same(one.media[item], other.media[item])), alike)


def _whole_pictures(sample: Sample, cut: int, media_pad: int | None) -> int:
    """At most so many tokens, and not into the middle of a picture."""
    ids = sample.ids
    if cut <= 0 or not sample.media or media_pad is None:
        return max(cut, 0)
    inside = cut < len(ids) and ids[cut] == media_pad and ids[cut - 1] == media_pad
    return _pictures(ids[:cut], media_pad)[-1] if inside else cut


def _pictures(ids: NDArray[np.int32], media_pad: int) -> list[int]:
    """Where they begin."""
    shows = np.concatenate([[False], ids == media_pad])
    return np.flatnonzero(shows[1:] & ~shows[:-1]).tolist()


def _same(one: Media, other: Media) -> bool:
    return one is other or (one.grid == other.grid and np.array_equal(one.patches, other.patches))
