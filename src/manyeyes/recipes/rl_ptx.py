"""`PtxBatches`: packed samples for the auxiliary loss of update n; the same n gives the same batch, on any machine.

Which samples are taken is drawn by a named stream of n, so a resumed run needs no state for it.

Report: §4.4.2 builds on Kimi K2 (arXiv 2507.20534, §3.2.3: PTX loss).
"""

from pathlib import Path

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import MediaRules
from manyeyes.core.sample import Sample
from manyeyes.core.seeds import stream
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.packing import Batch, pack_all, stack
from manyeyes.data.source import RecordError, Source
from manyeyes.recipes.rl_run import PtxSpec
from manyeyes.recipes.sources import SOURCES

MOST_TRIES = 64
"""Draws in a row of which none can become a sample."""


class PtxBatches:
    """See the module.

    Args:
        folder: where fetched data lies.

    Raises:
        ConfigError: no sources, or weights that are not above 0. DataError: a source that is not known.
    """

    def __init__(
        self,
        spec: PtxSpec,
        tokenizer: Tokenizer,
        rules: MediaRules,
        *,
        row_length: int,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        if not spec.sources or not all(weight > 0 for weight in spec.sources.values()):
            raise ConfigError(f"the auxiliary loss needs sources with weights above 0, got {spec.sources}")
        self._sources: list[Source] = [
            SOURCES.source(name, tokenizer, rules=rules, part_length=row_length, seed=seed, folder=folder)
            for name in spec.sources
        ]
        shares = np.array(list(spec.sources.values()), np.float64)
        self._shares, self._rows, self._row_length = shares / shares.sum(), spec.rows, row_length
        self._pad, self._seed = tokenizer.pad, seed

    def __call__(self, number: int) -> Batch:
        """The batch of an update.

        Raises:
            ConfigError: samples cannot be made.
        """
        rng = stream(self._seed, "rl/ptx", number)
        samples: list[Sample] = []
        while True:
            one = self._drawn(rng)
            rows = pack_all([*samples, one], self._row_length, pad_id=self._pad)
            if len(rows) > self._rows and samples:
                return stack(pack_all(samples, self._row_length, pad_id=self._pad))
            samples.append(one)

    def _drawn(self, rng: np.random.Generator) -> Sample:
        for _ in range(MOST_TRIES):
            source = self._sources[int(rng.choice(len(self._sources), p=self._shares))]
            try:
                return source.sample(int(rng.integers(len(source))), 0)
            except RecordError:
                continue
        raise ConfigError(f"the auxiliary loss: {MOST_TRIES} records in a row are longer than a row; raise row_length")
