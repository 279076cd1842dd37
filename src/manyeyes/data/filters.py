"""What is dropped from text before it is learned from: poor text by plain rules, and near-copies, with reasons.

Rules in the manner of C4, Gopher and RefinedWeb: too short, too few letters, a line or phrase repeated over and over,
words of impossible length, replacement characters, machine output. Near-copies: 64 minima of hashed 5-word shingles
(MinHash); documents that agree in a band of 4 minima are compared, and the later one is dropped when the estimated
Jaccard similarity is at least 0.7.

Report: App. B.2, B.3 (strict filtering, de-duplication and quality control). MinHash: Broder, 1997.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class QualityRules:
    """Bounds that a text must keep; the defaults suit English prose and markup."""

    fewest_words: int = 20
    most_symbols: float = 0.45
    """Share of characters that are neither letters nor white space."""
    most_repeated_lines: float = 0.3
    """Share of non-blank lines that have stood before."""
    most_frequent_phrase: float = 0.2
    """Share of characters inside the most frequent phrase of four words, its first occurrence not counted."""
    longest_mean_word: float = 14.0
    most_replacements: int = 0
    """Characters that decoding could not read (U+FFFD)."""


PROSE = QualityRules()
CODE = QualityRules(most_symbols=0.6, most_repeated_lines=0.6, most_frequent_phrase=0.4, longest_mean_word=40.0)


def fault(text: str, rules: QualityRules) -> str | None:
    """Why a text is dropped, in a few words; None when it is good.

    Example:
        >>> fault("too short", PROSE)
        'fewer than 20 words'
    """
    words = text.split()
    if len(words) < rules.fewest_words:
        return f"fewer than {rules.fewest_words} words"
    if text.count("\ufffd") > rules.most_replacements:
        return "unreadable characters"
    if sum(map(len, words)) / len(words) > rules.longest_mean_word:
        return "very long words"
    if sum(map(len, words)) - sum(map(str.isalpha, text)) > rules.most_symbols * len(text):
        return "mostly symbols"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) - len(set(lines)) > rules.most_repeated_lines * len(lines):
        return "repeated lines"
    return "repeated phrase" if _most_frequent_phrase(words) > rules.most_frequent_phrase * len(text) else None


def _most_frequent_phrase(words: Sequence[str]) -> int:
    phrases = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    phrase, count = phrases.most_common(1)[0] if phrases else ((), 0)
    return sum(map(len, phrase)) * (count - 1)


@dataclass(slots=True)
class Report:
    """What a filter kept and dropped.

    Example:
        >>> report = Report(kept=8); report.drop("page/3", "mostly symbols"); str(report)
        '8 kept, 1 dropped (1 mostly symbols)'
    """

    kept: int = 0
    dropped: dict[str, str] = field(default_factory=dict)
    """Name of what was dropped -> reason."""

    def drop(self, name: str, reason: str) -> None:
        """Note one dropped text."""
        self.dropped[name] = reason

    @property
    def reasons(self) -> Counter[str]:
        """How often each reason held; near-copies are counted as one reason."""
        return Counter(reason.partition(":")[0] for reason in self.dropped.values())

    def __str__(self) -> str:
        listed = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        return f"{self.kept} kept, {len(self.dropped)} dropped" + (f" ({listed})" if listed else "")


class Filtered(NamedTuple):
    """The (name, text) pairs that were kept, in order, and what was dropped."""

    texts: list[tuple[str, str]]
    report: Report


def filtered(
    named: Iterable[tuple[str, str]], *, rules: QualityRules | None = PROSE, similarity: float = 0.7
) -> Filtered:
    """Keeps what is good and not a near-copy of an earlier text.

    Args:
        named: pairs of a name and a text.
        rules: quality bounds; None keeps poor text too.
        similarity: Jaccard similarity of shingles from which a text is a copy; above 1 removes only exact copies.
    """
    report, kept, copies = Report(), [], NearCopies(similarity)
    for name, text in named:
        reason = fault(text, rules) if rules else None
        if reason is None and (original := copies.seen(name, text)):
            reason = f"copy: of {original}"
        if reason:
            report.drop(name, reason)
        else:
            kept.append((name, text))
    report.kept = len(kept)
    return Filtered(kept, report)


MINIMA, BAND = 64, 4


class NearCopies:
    """Remembers texts and recognises near-copies of them."""

    def __init__(self, similarity: float = 0.7) -> None:
        self._similarity = similarity
        self._exact: dict[bytes, str] = {}
        self._bands: dict[Hashable, list[int]] = {}
        self._signatures: list[NDArray[np.uint64]] = []
        self._names: list[str] = []

    def seen(self, name: str, text: str) -> str | None:
        """The name of an earlier text that this one copies; a text that copies none is remembered."""
        normal = normalised(text)
        digest = hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._exact:
            return self._exact[digest]
        signature = minima(normal)
        if (original := self._closest(signature)) is not None:
            return original
        self._exact[digest] = name
        for key in _bands(signature):
            self._bands.setdefault(key, []).append(len(self._names))
        self._signatures.append(signature)
        self._names.append(name)
        return None

    def _closest(self, signature: NDArray[np.uint64]) -> str | None:
        candidates = sorted({number for key in _bands(signature) for number in self._bands.get(key, ())})
        for number in candidates:
            if float((self._signatures[number] == signature).mean()) >= self._similarity:
                return self._names[number]
        return None


def normalised(text: str) -> str:
    """Lower case words and numbers, one blank between: what copies are compared by.

    Example:
        >>> normalised("Hello,  World!")
        'hello world'
    """
    return " ".join(re.findall(r"\w+", text.lower()))


def minima(normal: str, *, words: int = 5) -> NDArray[np.uint64]:
    """MinHash signature uint64 [64] of the shingles of so many words; the share of equal minima estimates Jaccard."""
    parts = normal.split()
    shingles = {" ".join(parts[i : i + words]) for i in range(max(1, len(parts) - words + 1))}
    hashes = [hashlib.blake2b(s.encode("utf-8", "surrogatepass"), digest_size=8).digest() for s in shingles]
    hashes_N = np.frombuffer(b"".join(hashes), "<u8")
    with np.errstate(over="ignore"):
        return (_mixed(hashes_N[:, None] * _MULTIPLIERS + _SHIFTS)).min(axis=0)


_GENERATOR = np.random.Generator(np.random.Philox(key=64))
_MULTIPLIERS = _GENERATOR.integers(0, 2**63, MINIMA, np.uint64) * np.uint64(2) + np.uint64(1)
_SHIFTS = _GENERATOR.integers(0, 2**63, MINIMA, np.uint64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Carries the high bits down: multiplication modulo 2^64 alone leaves the low bits weak."""
    return (values ^ (values >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)


def _bands(signature: NDArray[np.uint64]) -> list[tuple[int, bytes]]:
    return [(start, signature[start : start + BAND].tobytes()) for start in range(0, MINIMA, BAND)]
