"""Text to token ids and back, over any tiktoken-format vocabulary with the special tokens of K2.5 behind it.

A vocabulary file lists byte strings by rank ("base64 rank" a line); ids 0..n_ranks-1 are those, the next 256 ids are
special tokens at the official slots: id = n_ranks + (official id - 163584). With the released `tiktoken.model` the ids
are the released ones. Text is cut into words by the official pattern and each word is merged by rank (tiktoken).
`encode` never yields a special token, whatever the text says; special tokens are written by id (core.chat).

Report: §4.1 (the text model is Kimi K2, whose tokenizer this is).
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import tiktoken

from manyeyes.core.runlog import write_atomic
from manyeyes.core.vocabulary import TokenizerError, ranks_of, read_vocabulary, write_vocabulary

__all__ = ["SLOTS", "SPECIAL_SLOTS", "WORD_PATTERN", "Tokenizer", "TokenizerError", "pieces_of"]

SPECIAL_SLOTS = 256

# Slot of each named special token: official id - 163584. The other slots are `<|reserved_token_{id}|>`.
SLOTS: Mapping[str, int] = MappingProxyType({
    "[BOS]": 0, "[EOS]": 1, "<|im_end|>": 2, "<|im_user|>": 3, "<|im_assistant|>": 4, "<|start_header_id|>": 6,
    "<|end_header_id|>": 7, "[EOT]": 9, "<|im_system|>": 10, "<|tool_calls_section_begin|>": 11,
    "<|tool_calls_section_end|>": 12, "<|tool_call_begin|>": 13, "<|tool_call_argument_begin|>": 14,
    "<|tool_call_end|>": 15, "<|im_middle|>": 17, "<|media_begin|>": 18, "<|media_content|>": 19, "<|media_end|>": 20,
    "<|media_pad|>": 21, "<think>": 22, "</think>": 23, "[UNK]": 254, "[PAD]": 255,
})  # fmt: skip

# Marked `special: false` in the released tokenizer_config.json: they stay when special tokens are skipped.
SHOWN_SLOTS = frozenset({11, 12, 13, 14, 15, 22, 23})

_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

WORD_PATTERN = "|".join([
    r"[\p{Han}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}",
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
])  # fmt: skip
"""The official pre-tokenizer. `&&` is class intersection: read by tiktoken's engine and by `regex` in its V1 mode."""

# The official tokenizer cuts long text before the pattern sees it: each at most so many characters, with no longer run
# of (non-)space in it.
LONGEST_TEXT = 400_000
LONGEST_RUN = 25_000

_RUN = re.compile(r"\s+|\S+")
_VOCABULARY_NAMES = ("tiktoken.model", "tokenizer.tiktoken")


class Tokenizer:
    """A byte-level BPE vocabulary with the special tokens of K2.5. Immutable, thread-safe, cheap to pickle.

    Attributes:
        tokens: the byte string of each rank.
        special: id of every special token by its text, all 256 slots.
        bos, eos, im_end, im_user, ...: ids of the named ones.

    Example:
        >>> tokenizer = Tokenizer(bytes([b]) for b in range(256))
        >>> tokenizer.encode("Hi<think>")[:3], tokenizer.decode([72, 105, tokenizer.think]), tokenizer.n_vocab
        ([72, 105, 60], 'Hi<think>', 512)
    """

    def __init__(self, tokens: Iterable[bytes], *, name: str = "vocabulary") -> None:
        self.tokens = tuple(tokens)
        self.name = name
        ranks = ranks_of(self.tokens, name)
        self.special: Mapping[str, int] = MappingProxyType(_special_ids(len(ranks)))
        self._encoding = tiktoken.Encoding(
            name, pat_str=WORD_PATTERN, mergeable_ranks=ranks, special_tokens=dict(self.special)
        )
        self._hidden = frozenset(range(self.n_ranks, self.n_vocab)) - {self.n_ranks + slot for slot in SHOWN_SLOTS}
        self.bos = self.special["[BOS]"]
        self.eos = self.special["[EOS]"]
        self.pad = self.special["[PAD]"]
        self.unk = self.special["[UNK]"]
        self.im_end = self.special["<|im_end|>"]
        self.im_user = self.special["<|im_user|>"]
        self.im_assistant = self.special["<|im_assistant|>"]
        self.im_system = self.special["<|im_system|>"]
        self.im_middle = self.special["<|im_middle|>"]
        self.think = self.special["<think>"]
        self.end_think = self.special["</think>"]
        self.media_begin = self.special["<|media_begin|>"]
        self.media_content = self.special["<|media_content|>"]
        self.media_end = self.special["<|media_end|>"]
        self.media_pad = self.special["<|media_pad|>"]
        self.calls_begin = self.special["<|tool_calls_section_begin|>"]
        self.calls_end = self.special["<|tool_calls_section_end|>"]
        self.call_begin = self.special["<|tool_call_begin|>"]
        self.call_argument_begin = self.special["<|tool_call_argument_begin|>"]
        self.call_end = self.special["<|tool_call_end|>"]

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Reads a tiktoken-format file, or the one in a checkpoint or run folder.

        Raises:
            TokenizerError: no such file, or a line that is cut short, repeated or not base64.
        """
        path = Path(path)
        if path.is_dir():
            path = _vocabulary_in(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise TokenizerError(f"{path}: cannot read the vocabulary ({error.strerror})") from error
        return cls.from_bytes(data, name=str(path))

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "vocabulary") -> "Tokenizer":
        """Reads the content of a tiktoken-format file; `name` is what messages call it."""
        return cls(read_vocabulary(data, name), name=name)

    @classmethod
    def tiny(cls) -> "Tokenizer":
        """The vocabulary of recipe `tiny`: 1,792 ranks, 2,048 ids; made by `manyeyes.data.tiny_vocabulary`."""
        data = resources.files("manyeyes.core").joinpath("assets", "tiny.tiktoken").read_bytes()
        return cls.from_bytes(data, name="tiny.tiktoken")

    def save(self, path: str | Path) -> None:
        """Writes the vocabulary in tiktoken format, whole or not at all; special tokens are not in the file.

        Raises:
            RunFolderError: the disk is full or cannot be written.
        """
        write_atomic(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The vocabulary in tiktoken format: equals the file it was read from, if that was in order of rank."""
        return write_vocabulary(self.tokens)

    @property
    def n_ranks(self) -> int:
        """Ids that stand for bytes."""
        return len(self.tokens)

    @property
    def n_vocab(self) -> int:
        """All ids: ranks and the 256 special slots."""
        return self.n_ranks + SPECIAL_SLOTS

    @property
    def stops(self) -> tuple[int, int]:
        """Ids that end a completion."""
        return self.im_end, self.eos

    @property
    def fingerprint(self) -> str:
        """sha256 of the vocabulary in tiktoken format, hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of a text, none of them special: "<|im_end|>" in it is just seven characters and more.

        Lone surrogates become U+FFFD.
        """
        if len(text) <= LONGEST_RUN:
            return self._encoding.encode_ordinary(text)
        return [token for piece in pieces_of(text) for token in self._encoding.encode_ordinary(piece)]

    def encode_many(self, texts: Iterable[str], *, threads: int = 1) -> list[list[int]]:
        """Ids of many texts, in order."""
        if threads == 1:
            return [self.encode(text) for text in texts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.encode, texts))

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """Text of ids; bytes that are no UTF-8 become U+FFFD.

        Args:
            ids: ids below `n_vocab`.
            skip_special: leave special tokens out, but (as released) keep the tool-call and thinking marks.

        Raises:
            TokenizerError: an id that the vocabulary does not have.
        """
        return self.decode_bytes(ids, skip_special=skip_special).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = False) -> bytes:
        """As `decode`, before bytes are read as UTF-8."""
        known = [self._known(token) for token in ids]
        return self._encoding.decode_bytes([t for t in known if t not in self._hidden] if skip_special else known)

    def token_bytes(self, token: int) -> bytes:
        """What one id stands for."""
        return self._encoding.decode_single_token_bytes(self._known(token))

    def is_special(self, token: int) -> bool:
        """Whether an id is one of the 256 special slots."""
        return token >= self.n_ranks

    def _known(self, token: int) -> int:
        if 0 <= token < self.n_vocab:
            return int(token)
        raise TokenizerError(f"{self.name}: no token {token}, ids go from 0 to {self.n_vocab - 1}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __reduce__(self) -> tuple[Callable[[tuple[bytes, ...]], "Tokenizer"], tuple[tuple[bytes, ...]]]:
        return partial(Tokenizer, name=self.name), (self.tokens,)

    def __repr__(self) -> str:
        return f"Tokenizer({self.name}, n_vocab={self.n_vocab})"


def pieces_of(text: str) -> Iterator[str]:
    """Cuts a long text where the official tokenizer cuts it: every 400,000 characters, and inside longer runs.

    Example:
        >>> [len(piece) for piece in pieces_of("a" * 60_000)]
        [25000, 25000, 10000]
    """
    for start in range(0, len(text), LONGEST_TEXT):
        yield from _without_long_runs(text[start : start + LONGEST_TEXT])


def _without_long_runs(text: str) -> Iterator[str]:
    start = 0
    for run in _RUN.finditer(text):
        for cut in range(run.start() + LONGEST_RUN, run.end(), LONGEST_RUN):
            yield text[start:cut]
            start = cut
    yield text[start:]


def _special_ids(n_ranks: int) -> dict[str, int]:
    named = {slot: text for text, slot in SLOTS.items()}
    ids = range(n_ranks, n_ranks + SPECIAL_SLOTS)
    return {named.get(token - n_ranks, f"<|reserved_token_{token}|>"): token for token in ids}


def _vocabulary_in(folder: Path) -> Path:
    for name in _VOCABULARY_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise TokenizerError(f"{folder}: expected {' or '.join(_VOCABULARY_NAMES)} in this folder, found neither")
