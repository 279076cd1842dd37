"""`Planner`: plans the order of all training data from lengths alone, so that nobody has to remember it.

Pure and sequential: mixture picks the source, its shuffle picks the sample, the window closes rows; pack k of a run is
a function of (seed, sources, mixture). Its state is a cursor per source, the counts of the mixture and the few samples
that wait for a row: JSON of less than 4 kB, equal on every rank. Whoever executes the plan (any threads, any ranks)
keeps nothing: rank r of R reads the packs with k % R == r, so the global order does not depend on ranks or workers.

Report: App. C.1 (flexibility, determinism: a resumed sequence equals the uninterrupted one).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from manyeyes.core.errors import DataError
from manyeyes.core.media import MediaError
from manyeyes.data.blend import Blend, Exhausted
from manyeyes.data.mixture import Mixture
from manyeyes.data.permutation import Shuffle
from manyeyes.data.resume import FORMAT, refuse_changes, require_same, waiting
from manyeyes.data.retry import RETRY, Retry, patiently
from manyeyes.data.source import DOMAINS, VISION, RecordError, Source
from manyeyes.data.window import WINDOW, Window

UNREADABLE = 1
"""Tokens planned for a record that cannot even be measured; the loader puts a stand-in of that length there."""


class Entry(NamedTuple):
    """One planned sample.

    Example:
        >>> Entry("easy_vqa", epoch=0, index=17, length=42, draw=3).name
        'easy_vqa/17@0'
    """

    source: str
    epoch: int
    index: int
    length: int
    draw: int
    """Running number among the draws from this source."""

    @property
    def name(self) -> str:
        """Source, index and epoch in one word."""
        return f"{self.source}/{self.index}@{self.epoch}"


class PlannedPack(NamedTuple):
    """Row number `index` of the whole run, the same whoever reads it."""

    index: int
    entries: tuple[Entry, ...]

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return sum(entry.length for entry in self.entries)


class Progress(NamedTuple):
    """What has been planned so far.

    Attributes:
        packs: rows closed.
        tokens: tokens drawn, by source.
        vision: share of the tokens drawn from vision sources.
        fill: share of the closed rows that is not padding.
        epochs: passes through each source, such as 1.25.
    """

    packs: int
    tokens: dict[str, int]
    vision: float
    fill: float
    epochs: dict[str, float]


class Planner:
    """An iterator of `PlannedPack`s without end (or until a finite mixture is used up).

    Args:
        sources: what to draw from; their order does not matter.
        mixture: in which shares.
        row_length: tokens of a row.
        seed: the run's seed.
        window: samples looked at when a row is closed.
        tokenizer: fingerprint of what turns records into tokens; lengths, and so the plan, depend on it.

    Raises:
        DataError: no sources, two of one name, an empty one or one of an unknown domain; while planning: a sample
            longer than a row, or (`Exhausted`) all sources of a domain at their epoch caps.
        ConfigError: the mixture does not fit the sources.

    Example:
        >>> from manyeyes.data.fake_source import FakeSource
        >>> from manyeyes.data.mixture import constant
        >>> planner = Planner([FakeSource("toy", lengths=(3, 5))], constant(vision=0.0), row_length=8, seed=0)
        >>> [(pack.index, pack.tokens) for pack in planner.take(2)]
        [(0, 8), (1, 8)]
    """

    def __init__(
        self,
        sources: Sequence[Source],
        mixture: Mixture,
        *,
        row_length: int,
        seed: int,
        window: int = WINDOW,
        tokenizer: str = "",
    ) -> None:
        self.sources = _by_name(sources)
        self.mixture = mixture
        self.row_length = row_length
        self.seed = seed
        self.tokenizer = tokenizer
        self.packs = 0
        self._room = 0
        self._shuffles = {name: Shuffle(len(source), seed=seed, name=name) for name, source in self.sources.items()}
        self._drawn = dict.fromkeys(self.sources, 0)
        self._tokens = dict.fromkeys(self.sources, 0)
        self._caps = {name: mixture.cap(name, len(source)) for name, source in self.sources.items()}
        self._blend = self._new_blend()
        self._window = Window(_Draws(self), row_length, size=window)

    def __iter__(self) -> Iterator[PlannedPack]:
        return self

    def __next__(self) -> PlannedPack:
        entries = self._window.next_row()
        if not entries:
            raise StopIteration
        self.packs += 1
        self._room += self.row_length
        return PlannedPack(self.packs - 1, tuple(entries))

    def take(self, count: int) -> list[PlannedPack]:
        """The next `count` packs (fewer when a finite mixture ends)."""
        return list(islice(self, count))

    @property
    def progress(self) -> Progress:
        """Figures for logs and pages."""
        total = sum(self._tokens.values())
        unpacked = sum(entry.length for entry in self._window.waiting)
        vision = sum(tokens for name, tokens in self._tokens.items() if self.sources[name].domain == VISION)
        return Progress(
            packs=self.packs,
            tokens=dict(self._tokens),
            vision=vision / total if total else 0.0,
            fill=(total - unpacked) / self._room if self._room else 0.0,
            epochs={name: drawn / len(self.sources[name]) for name, drawn in self._drawn.items()},
        )

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after the last pack, as JSON of less than 4 kB (about 30 sources at window 64)."""
        order = {name: number for number, name in enumerate(self.sources)}
        queue = [(order[e.source], self._drawn[e.source] - e.draw, e.length) for e in self._window.waiting]
        return {
            "format": FORMAT,
            "seed": self.seed,
            "row_length": self.row_length,
            "window": self._window.size,
            "tokenizer": self.tokenizer,
            "packs": self.packs,
            "room": self._room,
            "sources": {
                name: [source.domain, len(source), self._drawn[name], self._tokens[name]]
                for name, source in self.sources.items()
            },
            "blend": self._blend.state(),
            "waiting": [number for triple in queue for number in triple],
        }

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        sources: Sequence[Source],
        mixture: Mixture,
        *,
        row_length: int,
        seed: int,
        window: int = WINDOW,
        tokenizer: str = "",
        allow: Collection[str] = (),
        retry: Retry = RETRY,
    ) -> "Planner":
        """A planner that goes on after `state`, with no sample repeated and none skipped.

        The mixture may differ from the one that made the state. What is named in `allow` (of "row_length", "window",
        "tokenizer", "sources" = sources added) may differ too; seed, size and domain of a source never.

        Raises:
            DataError: something else differs; the message says what, and which changes are possible. Or a sample that
                waits for a row cannot be measured: storage failed at every attempt of `retry`.
        """
        planner = cls(sources, mixture, row_length=row_length, seed=seed, window=window, tokenizer=tokenizer)
        require_same(state, planner.state(), allow=allow)
        if "tokenizer" not in allow:
            refuse_changes(planner._changed_lengths(state, retry))
        planner._take_over(state, retry)
        return planner

    def at(self, state: Mapping[str, Any]) -> "Planner":
        """A second planner of the same configuration, at another state of the run."""
        return Planner.from_state(
            state,
            list(self.sources.values()),
            self.mixture,
            row_length=self.row_length,
            seed=self.seed,
            window=self._window.size,
            tokenizer=self.tokenizer,
        )

    def _draw(self) -> Entry | None:
        """The next sample by mixture and shuffle. Changes nothing if it raises."""
        try:
            name = self._blend.choose()
        except Exhausted:
            if self.mixture.finite:
                return None
            raise
        draw = self._drawn[name]
        entry = self._entry(name, draw)
        self._drawn[name] = draw + 1
        self._tokens[name] += entry.length
        self._blend.add(name, entry.length)
        if draw + 1 >= self._caps[name]:
            self._blend.retire(name)
        return entry

    def _entry(self, name: str, draw: int) -> Entry:
        epoch, index = self._shuffles[name][draw]
        try:
            length = self.sources[name].length(index, epoch)
        except OSError:  # also as a MediaError: it may pass, and no other length must be planned for it
            raise
        except (RecordError, MediaError):
            length = UNREADABLE
        if not 1 <= length <= self.row_length:
            raise DataError(
                f"source {name!r}, sample {index} (epoch {epoch}) has {length} tokens and a row holds 1 to "
                f"{self.row_length}: let the source split, shorten or leave out such samples, or raise row_length"
            )
        return Entry(name, epoch, index, length, draw)

    def _new_blend(self) -> Blend:
        return Blend(
            self.mixture,
            {name: source.domain for name, source in self.sources.items()},
            tokens=sum(self._tokens.values()),
            retired=[name for name, drawn in self._drawn.items() if drawn >= self._caps[name]],
        )

    def _take_over(self, state: Mapping[str, Any], retry: Retry) -> None:
        self.packs, self._room = state["packs"], state["room"]
        for name, (_, _, drawn, tokens) in state["sources"].items():
            self._drawn[name], self._tokens[name] = drawn, tokens
        self._blend = self._new_blend()
        self._blend.restore(state["blend"])
        self._window.waiting = [self._waiting_entry(name, draw, retry) for name, draw, _ in waiting(state)]

    def _changed_lengths(self, state: Mapping[str, Any], retry: Retry) -> Iterator[str]:
        """The samples that wait for a row bear witness: their lengths must be what they were."""
        for name, draw, length in waiting(state):
            entry = self._waiting_entry(name, draw, retry)
            if entry.length != length:
                yield f"{entry.name} had {length} tokens and now has {entry.length} (tokenizer or augmentation changed)"
                return

    def _waiting_entry(self, name: str, draw: int, retry: Retry) -> Entry:
        """Measured while no loader is there yet that would try again."""
        return patiently(partial(self._entry, name, draw), f"measuring a sample of {name}", retry)


class _Draws:
    """The endless queue of a planner's draws. Not a generator, which would be dead after its first exception."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        entry = self._planner._draw()
        if entry is None:
            raise StopIteration
        return entry


def _by_name(sources: Sequence[Source]) -> dict[str, Source]:
    named = {source.name: source for source in sorted(sources, key=lambda source: source.name)}
    if not named or len(named) != len(sources):
        raise DataError(f"a plan needs sources of different names, got {[source.name for source in sources]}")
    for name, source in named.items():
        if source.domain not in DOMAINS or len(source) < 1:
            raise DataError(
                f"source {name!r} has domain {source.domain!r} and {len(source)} samples; "
                f"expected a domain of {DOMAINS} and at least one sample"
            )
    return named
