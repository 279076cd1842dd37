"""Ids that are never sampled: special tokens that no assistant turn holds.

A model that has learned little gives `[PAD]` or a reserved slot about the same score as any word, and a turn with one
in it does not parse. What stays are the ids that end a completion, and the marks of thinking and of tool calls, as the
released tokenizer shows them too.

Report: none; engines call it a logit mask or "bad words".
"""

from collections.abc import Collection

from manyeyes.core.tokenizer import SHOWN_SLOTS, SPECIAL_SLOTS


def unsaid(vocab_size: int, *, stop_ids: Collection[int]) -> frozenset[int]:
    """Special ids but `stop_ids`, thinking and tool-call marks.

    Args:
        vocab_size: of the model; its last 256 ids are the special slots (`core.tokenizer`).

    Example:
        >>> len(unsaid(2048, stop_ids=(1793, 1794)))  # [EOS] and <|im_end|>
        247
    """
    first = vocab_size - SPECIAL_SLOTS
    return frozenset(range(first, vocab_size)) - {first + slot for slot in SHOWN_SLOTS} - set(stop_ids)
