"""`KeptSource`: right trajectories of a run as what the planner draws from; pictures and text apart.

Which trajectories are kept is `rl.rft`'s; here they become two sources, so that a mixture can hold the share of tokens
with pictures that they have.

Report: §2.3 (rejection sampling back into fine-tuning).
"""

from collections.abc import Sequence
from typing import NamedTuple

from manyeyes.core.sample import Sample
from manyeyes.data.source import TEXT, VISION, RecordError


class KeptSource:
    """Samples by number; the same in every epoch.

    Args:
        name: of the source.
        domain: "vision" or "text".
        samples: at least one.
        part_length: tokens of a row; a longer sample is a `RecordError`.
    """

    def __init__(self, name: str, domain: str, samples: Sequence[Sample], *, part_length: int) -> None:
        self.name, self.domain = name, domain
        self._samples, self._part_length = tuple(samples), part_length

    def __len__(self) -> int:
        return len(self._samples)

    def length(self, index: int, epoch: int) -> int:
        """Tokens of a sample. Raises RecordError."""
        return self.sample(index, epoch).length

    def sample(self, index: int, epoch: int) -> Sample:
        """The sample. Raises RecordError: it is longer than a row."""
        sample = self._samples[index]
        if sample.length > self._part_length:
            raise RecordError(f"{sample.name}: {sample.length} tokens, a row holds {self._part_length}")
        return sample


class KeptSources(NamedTuple):
    """What was kept.

    Attributes:
        sources: with pictures, without; those that are not empty.
        vision: share of tokens in samples with pictures.
    """

    sources: tuple[KeptSource, ...]
    vision: float


def kept_sources(samples: Sequence[Sample], *, part_length: int) -> KeptSources:
    """The two sources of samples."""
    by_domain = {
        VISION: [sample for sample in samples if sample.media],
        TEXT: [sample for sample in samples if not sample.media],
    }
    tokens = {domain: sum(sample.length for sample in found) for domain, found in by_domain.items()}
    sources = tuple(
        KeptSource(f"rft/{domain}", domain, found, part_length=part_length)
        for domain, found in by_domain.items()
        if found
    )
    return KeptSources(sources, tokens[VISION] / max(1, sum(tokens.values())))
