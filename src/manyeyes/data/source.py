"""`Source`: anything the planner can draw from: it has a size, a token length for every index, and samples.

`length` is a pure function of (index, epoch) and cheap: it renders text and sizes, never pixels. `sample` does the real
work and returns exactly that many tokens. The planner reads `length`, the loader's threads read `sample`, and neither
keeps any state in the source, so any thread of any rank may ask for any sample at any time.

    DataError (core.errors)
    ├── RecordError     data.source     one record cannot become a sample; a stand-in takes its place
    ├── NotTextOnly     data.text_only  a picture, clip or media token where there must be none
    └── Exhausted       data.blend      every source of a domain has reached its epoch cap

Report: App. C.1.
"""

from typing import Protocol

from manyeyes.core.errors import DataError
from manyeyes.core.sample import Sample

VISION = "vision"
TEXT = "text"
DOMAINS = (VISION, TEXT)


class RecordError(DataError):
    """One record cannot be turned into a sample (cut file, impossible geometry, ...); permanent, so never retried.

    Whatever might work a second later is an `OSError` instead: the loader tries it again.
    """


class Source(Protocol):
    """A named, sized collection of samples of one domain. Must be safe to read from several threads.

    Example:
        >>> from manyeyes.data.fake_source import FakeSource
        >>> source = FakeSource("toy", lengths=(3, 5))
        >>> len(source), source.length(1, 0), source.sample(1, 0).length
        (2, 5, 5)
    """

    @property
    def name(self) -> str:
        """Unique within a mixture and stable over runs: the shuffle and the saved state are keyed by it."""
        ...

    @property
    def domain(self) -> str:
        """ "vision" when samples carry media (all their tokens count as vision), "text" otherwise."""
        ...

    def __len__(self) -> int:
        """Number of samples in one epoch; at least 1 and fixed for the length of a run."""
        ...

    def length(self, index: int, epoch: int) -> int:
        """Number of tokens that `sample(index, epoch)` will have, augmentation of that epoch included.

        Raises:
            RecordError: the record cannot even be measured; a stand-in of one token is planned for it.
            OSError: reading failed in a way that may pass (the loader retries).
        """
        ...

    def sample(self, index: int, epoch: int) -> Sample:
        """The sample itself, of exactly `length(index, epoch)` tokens.

        Raises:
            RecordError: the record is broken for good.
            OSError: reading failed in a way that may pass (the loader retries).
        """
        ...
