"""`FakeSource`: a source in memory whose samples say where they came from; broken and flaky records on request.

For tests, benchmarks and demonstrations of the planner: no files, no tokenizer, samples/s bound by the planner alone.
"""

from collections.abc import Collection, Sequence
from threading import Lock
from time import sleep

import numpy as np
from numpy.typing import NDArray

from manyeyes.core import seeds
from manyeyes.core.media import Grid, Media
from manyeyes.core.sample import Sample
from manyeyes.data.source import TEXT, VISION, RecordError

MEDIA_ID = 2
"""Token id that stands for the one medium of a vision sample."""


class FakeSource:
    """Sample i has `lengths[i]` tokens and reads [index, epoch, filler, filler, ...].

    Vision samples of three tokens and more carry one medium of one token in third place.

    Args:
        name: its name; ids are filled with a number derived from it.
        lengths: tokens of each sample.
        domain: "text" or "vision".
        broken: indices whose `sample` raises RecordError.
        flaky: indices whose `sample` raises OSError the first time it is asked for.
        delay: seconds every `sample` takes.

    Example:
        >>> FakeSource("toy", lengths=(2, 4)).sample(1, 0).ids[:2].tolist()
        [1, 0]
    """

    def __init__(
        self,
        name: str,
        lengths: Sequence[int] | NDArray[np.integer],
        *,
        domain: str = TEXT,
        broken: Collection[int] = (),
        flaky: Collection[int] = (),
        delay: float = 0.0,
    ) -> None:
        self.name = name
        self.domain = domain
        self.broken = frozenset(broken)
        self.reads = 0
        self._lengths = [int(length) for length in lengths]
        self._flaky = set(flaky)
        self._delay = delay
        self._lock = Lock()
        self._filler = 3 + seeds.key(0, name) % 1000

    @classmethod
    def realistic(
        cls, name: str, size: int, *, mean: int = 700, longest: int = 4096, domain: str = TEXT
    ) -> "FakeSource":
        """`size` samples with the log-normal lengths of documents (sigma 1), cut at `longest`."""
        draws = seeds.stream(0, f"fake/{name}").lognormal(np.log(mean) - 0.5, 1.0, size)
        return cls(name, np.clip(draws, 1, longest).astype(np.int64), domain=domain)

    def __len__(self) -> int:
        return len(self._lengths)

    def length(self, index: int, epoch: int) -> int:
        """The given length, the same in every epoch."""
        return self._lengths[index]

    def sample(self, index: int, epoch: int) -> Sample:
        """A sample that spells its index and epoch."""
        self._misbehave(index)
        ids = np.full(self._lengths[index], self._filler, np.int32)
        ids[:2] = (index, epoch)[: len(ids)]
        weights = np.ones(len(ids), np.float32)
        weights[0] = 0.0
        media: tuple[Media, ...] = ()
        if self.domain == VISION and len(ids) > 2:
            ids[2], weights[2] = MEDIA_ID, 0.0
            media = (Media(patches=np.full((4, 3, 2, 2), index % 256, np.uint8), grid=Grid(1, 2, 2)),)
        return Sample(ids=ids, weights=weights, media=media, name=f"{self.name}/{index}@{epoch}")

    def _misbehave(self, index: int) -> None:
        sleep(self._delay)
        with self._lock:
            self.reads += 1
            first_time = index in self._flaky
            self._flaky.discard(index)
        if first_time:
            raise OSError(f"{self.name}/{index}: connection reset (fake)")
        if index in self.broken:
            raise RecordError(f"{self.name}/{index}: cut short (fake)")
