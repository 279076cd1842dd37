"""Words of a query and of a page, where a language writes none: overlapping pairs of characters.

    东京塔  →  东京 京塔 塔        every character begins a token, so that single ones are found as beginnings of tokens
    query   →  words, and runs    a run of at least two characters is found as a phrase of its pairs

Chinese, Japanese, Korean, Thai, Lao, Burmese and Khmer; everything else has words of its own.

Report: App. E.8 (search engine). Source: the bigram analysis that Lucene's CJK analyser uses.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana, and what goes with it
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Hangul
    "\uff66-\uff9f"
)
_RUN = re.compile(f"[{_UNSPACED}]+")
_TERM = re.compile(f"[{_UNSPACED}]+|[^\\W{_UNSPACED}]+")
EXCERPT = 280
"""Characters of an excerpt."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word of a query, or a run of characters without spaces.

    Attributes:
        text: in lower case.
        unspaced: whether it is a run.
    """

    text: str
    unspaced: bool

    @property
    def pairs(self) -> Sequence[str]:
        """Of a run of at least two characters; of nothing else.

        Example:
            >>> Term("东京塔", True).pairs, Term("tower", False).pairs
            (('东京', '京塔'), ())
        """
        return tuple(self.text[at : at + 2] for at in range(len(self.text) - 1)) if self.unspaced else ()

    @property
    def single(self) -> bool:
        """Whether it is one character, which is looked for as the beginning of a token."""
        return self.unspaced and len(self.text) == 1


def terms(query: str) -> list[Term]:
    """What a query asks for, each once.

    Example:
        >>> [term.text for term in terms("Height of 东京塔, height?")]
        ['height', 'of', '东京塔']
    """
    found = dict.fromkeys(_TERM.findall(query.casefold()))
    return [Term(text, _RUN.match(text) is not None) for text in found]


def in_pairs(text: str) -> str:
    """A text whose runs are written as tokens with spaces between; all else stays.

    Example:
        >>> in_pairs("The 东京塔.")
        'The  东京 京塔 塔 .'
    """
    return _RUN.sub(lambda run: f" {_tokens(run[0])} ", text)


def only_pairs(text: str) -> str:
    """The tokens of a text's runs and nothing else; a mark between runs keeps phrases within one.

    Example:
        >>> only_pairs("The 东京, 塔"), only_pairs("none")
        ('东京 京 x 塔', '')
    """
    return " x ".join(_tokens(run) for run in _RUN.findall(text))


def excerpt(text: str, wanted: Iterable[str]) -> str:
    """The piece of a text around the first place where most of the wanted words are near."""
    folded = text.casefold()
    words = [word for word in dict.fromkeys(wanted) if word]
    places = sorted(at for word in words if (at := folded.find(word)) >= 0)
    best = max(places, key=lambda at: (sum(at <= other < at + EXCERPT for other in places), -at), default=0)
    begin = max(0, best - EXCERPT // 4)
    if begin and (space := text.find(" ", begin, best)) > 0:
        begin = space + 1
    piece = " ".join(text[begin : begin + EXCERPT].split())
    return ("… " if begin else "") + piece + (" …" if begin + EXCERPT < len(text) else "")


def _tokens(run: str) -> str:
    return " ".join(run[at : at + 2] for at in range(len(run)))
