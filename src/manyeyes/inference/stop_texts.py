"""`StopTexts`: finds texts in a stream of tokens, on bytes, so that no character is ever cut.

Only the last bytes that could begin a stop text are remembered. A stop text is whole UTF-8, so where its bytes match,
its characters do.

Report: none (an API's `stop`).
"""

from collections.abc import Iterable, Sequence

from manyeyes.core.tokenizer import Tokenizer


class StopTexts:
    """Looks for some texts in the bytes of tokens as they come.

    Example:
        >>> stops = StopTexts(["b c"], Tokenizer(bytes([b]) for b in range(256)))
        >>> [stops.add(token) for token in b"a b c"]
        [False, False, False, False, True]
    """

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer, *, said: Iterable[int] = ()) -> None:
        self._wanted = [text.encode() for text in texts]
        self._kept = max(map(len, self._wanted)) - 1
        self._tokenizer = tokenizer
        self._tail = b""
        for token in said:
            self.add(token)

    def add(self, token: int) -> bool:
        """Whether a text is complete with this token. Special tokens that no answer shows count as nothing, and so do
        ids beyond the tokenizer's: a model may have more rows than those."""
        if token >= self._tokenizer.n_vocab:
            return False
        before = len(self._tail)
        heard = self._tail + self._tokenizer.decode_bytes([token], skip_special=True)
        self._tail = heard[-self._kept :] if self._kept else b""
        return any(heard.find(wanted, max(0, before - len(wanted) + 1)) >= 0 for wanted in self._wanted)
