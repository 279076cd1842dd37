"""Learns a small vocabulary from texts: byte-pair merges by the `tokenizers` library, kept as tiktoken ranks.

The words that merges are counted in are those of `core.tokenizer`, but every digit is a word of its own: no merge ever
joins digits, so numbers and coordinates are read digit by digit. Ranks 0..255 are the single bytes. The same texts
give the same vocabulary, in any order and with any number of threads. Needs the extra `train`.
"""

from collections.abc import Iterable

from tokenizers import Regex, pre_tokenizers
from tokenizers import Tokenizer as Learner
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from manyeyes.core.tokenizer import WORD_PATTERN, Tokenizer, TokenizerError

_DIGIT_BY_DIGIT = WORD_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")


def train(texts: Iterable[str], n_ranks: int) -> Tokenizer:
    """A vocabulary of exactly `n_ranks` byte strings, at least 256.

    Raises:
        TokenizerError: fewer than 256 ranks asked for, or too little text for so many.
    """
    if n_ranks < 256:
        raise TokenizerError(f"a vocabulary has at least the 256 single bytes, {n_ranks} ranks were asked for")
    learner = Learner(BPE())
    split = pre_tokenizers.Split(Regex(_DIGIT_BY_DIGIT), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    learner.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner.train_from_iterator(
        texts, BpeTrainer(vocab_size=n_ranks, initial_alphabet=alphabet, min_frequency=2, show_progress=False)
    )
    merged = _in_order_of_merge(learner)
    if len(merged) != n_ranks - 256:
        raise TokenizerError(
            f"the texts give {256 + len(merged)} ranks and {n_ranks} were asked for; train on more text"
        )
    return Tokenizer([*(bytes([byte]) for byte in range(256)), *merged], name="trained")


def _in_order_of_merge(learner: Learner) -> list[bytes]:
    byte_of = _bytes_of_letters()
    by_id = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    return [bytes(byte_of[letter] for letter in token) for token, _ in by_id if len(token) > 1]


def _bytes_of_letters() -> dict[str, int]:
    """The byte behind each letter of GPT-2's alphabet: printable bytes are themselves, the others lie from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
