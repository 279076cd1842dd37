"""Text as its tokens come: never half a character, and nothing that may turn out to belong to a stop text.

Report: none.
"""

import codecs
from collections.abc import Sequence


class TextStream:
    """Bytes in, text out, as soon as it is sure.

    Args:
        stops: what ends the text; nothing of a match comes out.
        marker: a text that waits, all of it, until somebody knows what it is; "" for none.

    Attributes:
        cut: whether a stop text was found; nothing comes out any more.

    Example:
        >>> stream = TextStream(["STOP"])
        >>> [stream.add(piece) for piece in (b"\\xc3", b"\\xa9 ST", b"AR ST", b"OP!")]
        ['', 'é ', 'STAR ', '']
    """

    def __init__(self, stops: Sequence[str] = (), *, marker: str = "") -> None:
        self.stops, self.marker, self.cut = tuple(stops), marker, False
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    @property
    def waiting(self) -> bool:
        """Whether something was added and has not come out."""
        return bool(self._held or self._decoder.getstate()[0])

    def add(self, piece: bytes) -> str:
        """What comes out after a piece."""
        return self._taken(self._decoder.decode(piece))

    def end(self) -> str:
        """What is left; half a character is U+FFFD."""
        text, self._held = self._taken(self._decoder.decode(b"", final=True)) + self._held, ""
        return "" if self.cut else text

    def end_marked(self) -> tuple[str, bool]:
        """As `end` without the marker, and whether the text ended with it."""
        text = self.end()
        marked = bool(self.marker) and text.endswith(self.marker)
        return (text.removesuffix(self.marker) if marked else text), marked

    def _taken(self, text: str) -> str:
        if self.cut:
            return ""
        self._held += text
        at = min((found for stop in self.stops if (found := self._held.find(stop)) >= 0), default=-1)
        if at >= 0:
            self.cut, out, self._held = True, self._held[:at], ""
            return out
        sure = len(self._held) - self._unsure()
        out, self._held = self._held[:sure], self._held[sure:]
        return out

    def _unsure(self) -> int:
        """Characters at the end that may be the beginning of a stop text or the marker."""
        longest = max((_overlap(self._held, stop, len(stop) - 1) for stop in self.stops), default=0)
        return max(longest, _overlap(self._held, self.marker, len(self.marker)))


def _overlap(text: str, start: str, most: int) -> int:
    """The longest end of a text that `start` begins with."""
    return next((size for size in range(min(most, len(text)), 0, -1) if text.endswith(start[:size])), 0)
