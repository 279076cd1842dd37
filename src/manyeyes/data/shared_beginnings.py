"""Samples that begin alike are computed once up to where they part: attempts at one task share its prompt.

    whole      prompt answer_1 | prompt answer_2 | ...        K (p + a) tokens
    shared     prompt | answer_1 | answer_2 | ...             p + K a: each answer sees the prompt and itself

The last token of what is shared goes to each branch, because the first token of an answer is predicted from there, by
every branch its own. Logits are those of whole samples, and gradients but for
that of the experts' balance, which counts what is shared once. Pictures in the prompt are looked at once, too.

Report: none (engineering). Shapes: K samples, p tokens of a beginning, a of a branch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from manyeyes.core.media import Media
from manyeyes.core.sample import Sample
from manyeyes.data.packing import Pack, pack
from manyeyes.data.window import WINDOW, Window

LEAST = 16
"""Tokens that a beginning must have to be worth it."""


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
    cut = shared_tokens(samples, media_pad=media_pad)
    room = row_length - cut
    if cut < LEAST or len(samples) < 2 or sum(one.length - cut <= room for one in samples) < 2:
        yield from (Bundle((one,)) for one in samples)
        return
    first = beginning(samples[0], cut, media_pad)
    for some in _filled(samples, [one.length - cut for one in samples], room):
        if len(some) == 1:
            yield Bundle((some[0],))
        else:
            yield Bundle((first, *(rest(one, cut, media_pad) for one in some)))


def shared_tokens(samples: Sequence[Sample], *, media_pad: int | None = None) -> int:
    """How many tokens all of them begin with, none of them learned from, that stand before a picture or behind it."""
    most = min((_unlearned(one) for one in samples), default=0)
    if not most:
        return 0
    first = samples[0]
    for one in samples[1:]:
        differing = np.flatnonzero(first.ids[:most] != one.ids[:most])
        most = int(differing[0]) if len(differing) else most
    cut = most - 1  # the last one goes to each branch
    if not any(one.media for one in samples):
        return max(cut, 0)
    if media_pad is None:
        return 0
    return _before_a_difference(samples, max(cut, 0), media_pad)


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


def _unlearned(sample: Sample) -> int:
    """Tokens before the first that is learned."""
    learned = np.flatnonzero(sample.weights)
    return int(learned[0]) if len(learned) else sample.length


def _items(sample: Sample, cut: int, media_pad: int | None) -> int:
    """Media whose tokens stand among the first so many."""
    if not sample.media:
        return 0
    shows = np.concatenate([[False], sample.ids[:cut] == media_pad])
    return int(np.count_nonzero(shows[1:] & ~shows[:-1]))


def _before_a_difference(samples: Sequence[Sample], cut: int, media_pad: int) -> int:
    """No further than the first picture that is not the same in all, and not into the middle of one."""
    ids, first = samples[0].ids, samples[0]
    begins = np.flatnonzero((ids[:cut] == media_pad) & (np.concatenate([[-1], ids[: max(cut - 1, 0)]]) != media_pad))
    for item, start in enumerate(begins):
        if not all(_same(first.media[item], one.media[item]) for one in samples[1:]):
            return int(start)
    inside = cut < len(ids) and cut > 0 and ids[cut] == media_pad and ids[cut - 1] == media_pad
    return int(begins[-1]) if inside else cut


def _same(one: Media, other: Media) -> bool:
    return one is other or (one.grid == other.grid and np.array_equal(one.patches, other.patches))
