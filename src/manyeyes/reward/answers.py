"""Short answers in words: when two of them are the same, and which number an answer names.

Normalisation follows the VQA evaluation: lower case, number words as digits, no articles, no punctuation but the
decimal point, single blanks; before that Unicode NFKC, so that full-width letters and ligatures compare equal.
With the punctuation the sign of a number goes: -5 is 5 there. A reward that is learned from must tell them apart, and
compares with `signed_match`.
Report: §4.1 (VQA evaluation); Antol et al., "VQA: Visual Question Answering", 2015 (`vqaEval.py`).
"""

import re
import unicodedata
from collections.abc import Sequence

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
_DIGITS: dict[str, str] = {word: str(value) for value, word in enumerate(_WORDS)} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NOT_WORD = re.compile(r"(?<!\d)\.|\.(?!\d)|[^\w\s.]|_")
_COUNT = re.compile(r"(?<![\w.,])(?<!^[-−])(?<!\s[-−])\d+(?:[.,]\d+)*|[a-z]+")
_NEGATIVE = re.compile(r"(?:(?<![\w.)\]])-|\bminus )\s?[$€£]?(?=\.?\d)", re.IGNORECASE)
_MINUS = str.maketrans(dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{HYPHEN}\N{NON-BREAKING HYPHEN}", "-"))


def normalise_answer(text: str) -> str:
    """The form in which answers are compared.

    Example:
        >>> normalise_answer(" The Two  red, cubes. ")
        '2 red cubes'
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _NOT_WORD.sub(" ", _THOUSANDS.sub("", text).replace("'", ""))
    return " ".join(_DIGITS.get(word, word) for word in text.split() if word not in _ARTICLES)


def exact_match(answer: str, truth: str | Sequence[str]) -> float:
    """1.0 where the answer equals the truth (or one of several) after normalisation, else 0.0."""
    truths = [truth] if isinstance(truth, str) else truth
    return float(normalise_answer(answer) in {normalise_answer(one) for one in truths})


def signed_match(answer: str, truth: str | Sequence[str]) -> float:
    """As `exact_match`, but 0.0 also where the two hold another number of negative numbers.

    Example:
        >>> signed_match("-5", "5"), signed_match("\\u22125 C", "-5 C"), signed_match("3-5 cats", "3-5 cats")
        (0.0, 1.0, 1.0)
    """
    truths = [truth] if isinstance(truth, str) else truth
    return exact_match(answer, [one for one in truths if _negatives(one) == _negatives(answer)])


def plain_minus(text: str) -> str:
    """Every sign that is written for a minus as the one of the keyboard; full-width letters as plain ones."""
    return unicodedata.normalize("NFKC", text).translate(_MINUS)


def _negatives(text: str) -> int:
    """How many negative numbers a text holds."""
    return len(_NEGATIVE.findall(plain_minus(text)))


def vqa_accuracy(answer: str, annotations: Sequence[str]) -> float:
    """VQA v2 accuracy against ten annotators: min(1, agreeing / 3), averaged over leaving each annotator out.

    Example:
        >>> vqa_accuracy("cat", ["cat"] * 3 + ["dog"] * 7)
        0.9
    """
    agree = [normalise_answer(one) == normalise_answer(answer) for one in annotations]
    total = sum(agree)
    return sum(min(1.0, (total - one) / 3) for one in agree) / len(agree) if agree else 0.0


def read_count(text: str) -> int | None:
    """The last number in an answer, as digits or as a word up to twenty; None where there is none or it is not whole.

    Example:
        >>> read_count("I see 3 cats and two dogs: five"), read_count("1,200"), read_count("2.5"), read_count("many")
        (5, 1200, None, None)
    """
    words: list[str] = _COUNT.findall(unicodedata.normalize("NFKC", text).casefold())
    numbers = [_DIGITS.get(word, word) for word in words if word in _DIGITS or word[0].isdecimal()]
    last = _THOUSANDS.sub("", numbers[-1]) if numbers else ""
    return int(last) if last.isdecimal() and len(last) <= 9 else None
