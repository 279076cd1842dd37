"""`ThinkingDialogues`: the frame of these collections: draw a plan, keep it if it belongs to the split, write it down.

It is `Generator`'s frame with dialogues in the place of records, and with two draws that all of them make: whether a
dialogue thinks, and how wordily.

Report: §4.4.1; App. C.1 (determinism).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.seeds import stream
from manyeyes.data.collection import Split
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.held_out import split_of
from manyeyes.data.synthesis.generator import HELD_OUT, PATIENCE
from manyeyes.data.synthesis.thinking_trace import TERSE, WORDY


@dataclass(frozen=True, kw_only=True)
class ThinkingDialogues(ABC):
    """A collection of dialogues (`data.dialogue.Dialogues`).

    Attributes:
        size: number of dialogues.
        seed: another seed gives other dialogues of the same split.
        split: "train" or "test"; no content occurs in both.
        instant: share that answers without thinking.
        wordiness: weights of the lengths of traces, `TERSE` to `WORDY`.
        name: unique among sources.

    Raises:
        ConfigError: a size, share, split or weight that is none.
    """

    size: int
    seed: int = 0
    split: Split = "train"
    instant: float = 0.15
    wordiness: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 1.5)
    name: str = ""

    def __post_init__(self) -> None:
        if self.size < 0 or not 0 <= self.instant <= 1 or self.split not in ("train", "test"):
            raise ConfigError(
                f"{self.name}: expected a size of at least 0, an instant share in 0..1 and split train or test, got "
                f"{self.size}, {self.instant} and {self.split!r}"
            )
        if len(self.wordiness) != WORDY - TERSE + 1 or min(self.wordiness) < 0 or not sum(self.wordiness) > 0:
            raise ConfigError(f"{self.name}: expected five weights of wordiness, none below 0, got {self.wordiness}")

    def __len__(self) -> int:
        return self.size

    def dialogue(self, index: int) -> Dialogue:
        """See `Dialogues.dialogue`.

        Raises:
            DataError: nothing that these settings draw belongs to the split.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"{self.name}: dialogue {index} of {self.size}")
        rng = stream(self.seed, f"data/synthesis/{self.name}/{self.split}", index)
        for _ in range(PATIENCE):
            plan = self._draw(rng, index)
            if split_of(f"thinking/{self._content(plan)}", per_mille=HELD_OUT) == self.split:
                return self._write(plan, f"{self.name}/{self.split}/{index:06d}", rng)
        raise DataError(f"{self.name}: nothing that is drawn belongs to split {self.split!r}")

    # --- override these ---

    @abstractmethod
    def _draw(self, rng: np.random.Generator, index: int) -> Any:
        """What one dialogue is about."""

    @abstractmethod
    def _content(self, plan: Any) -> str:
        """What the user says, which decides the split."""

    @abstractmethod
    def _write(self, plan: Any, name: str, rng: np.random.Generator) -> Dialogue:
        """The dialogue of a plan."""

    # --- machinery ---

    def _thinks(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() >= self.instant)

    def _wordiness(self, rng: np.random.Generator) -> int:
        shares = np.cumsum(self.wordiness) / sum(self.wordiness)
        return TERSE + int(np.searchsorted(shares, rng.random(), side="right"))
