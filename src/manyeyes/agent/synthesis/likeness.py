"""When two dialogues say the same: exactly, or nearly, found among many without comparing all pairs.

    words = normalised text of what was asked and answered        shingles = runs of three words
    MinHash: 64 minima over hashed shingles; a band of 4 that is equal makes two texts a pair that is looked at
    near: |A ∩ B| / |A ∪ B| >= threshold, counted exactly

With 16 bands of 4, a pair of similarity s is looked at with probability 1 - (1 - s⁴)¹⁶: 99.98 % at 0.8.
Report: §4.4.1 (diverse prompts); Broder, "On the resemblance and containment of documents", 1997.
"""

import hashlib
import re
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.core.errors import ConfigError

BANDS, ROWS = 16, 4
SHINGLE = 3
_WORD = re.compile(r"\w+|[^\w\s]")
_DRAW = np.random.Generator(np.random.Philox(key=1997))
_FACTORS = _DRAW.integers(0, 1 << 63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_SHIFTS = _DRAW.integers(0, 1 << 63, BANDS * ROWS, dtype=np.uint64)


def said(candidate: Candidate) -> str:
    """What a dialogue holds beside tools' results, in a form in which spelling and blanks do not count.

    Calls count: two ways to one answer are two.
    """
    parts: list[str] = []
    for message in candidate.messages:
        if message.role in ("user", "assistant"):
            parts += [message.reasoning or "", message.text, *(call.arguments for call in message.tool_calls)]
    return " ".join(_WORD.findall(" ".join(parts).casefold()))


class Likeness:
    """Remembers texts and finds earlier ones that are near a new one.

    Args:
        threshold: similarity from which two are near, above 0 to 1; 1 finds equal ones only.

    Raises:
        ConfigError: a threshold that is none.

    Example:
        >>> seen = Likeness(0.8)
        >>> seen.add("a", "one two three four"), seen.add("b", "one two three four"), seen.add("c", "five six seven")
        (None, 'a', None)
    """

    def __init__(self, threshold: float = 0.8) -> None:
        if not 0 < threshold <= 1:
            raise ConfigError(f"the threshold of likeness must be above 0 and at most 1, got {threshold}")
        self.threshold = threshold
        self._shingles: dict[str, frozenset[int]] = {}
        self._bands: defaultdict[tuple[int, bytes], list[str]] = defaultdict(list)

    def add(self, name: str, text: str) -> str | None:
        """The name of an earlier text that is near this one; None, and from now on it is known."""
        shingles = shingles_of(text)
        bands = [(band, piece.tobytes()) for band, piece in enumerate(_minima(shingles).reshape(BANDS, ROWS))]
        for other in dict.fromkeys(other for band in bands for other in self._bands.get(band, ())):
            if similarity(shingles, self._shingles[other]) >= self.threshold:
                return other
        self._shingles[name] = shingles
        for band in bands:
            self._bands[band].append(name)
        return None


def shingles_of(text: str) -> frozenset[int]:
    """Hashes of all runs of three words; of the whole text where it has fewer."""
    words = text.split()
    runs = [words[at : at + SHINGLE] for at in range(max(1, len(words) - SHINGLE + 1))]
    return frozenset(_hash(" ".join(run)) for run in runs)


def similarity(one: frozenset[int], other: frozenset[int]) -> float:
    """Shared shingles of all: 0 to 1."""
    return len(one & other) / len(one | other)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "little")


def _minima(shingles: frozenset[int]) -> NDArray[np.uint64]:
    """uint64 [BANDS * ROWS]: the smallest value of each hash function, (a x + b mod 2**64) >> 32 with odd a."""
    values = np.fromiter(shingles, np.uint64, len(shingles))
    return ((values[:, None] * _FACTORS + _SHIFTS) >> np.uint64(32)).min(0)
