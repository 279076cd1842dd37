"""Multiple choice: which option an answer chooses, and whether it is the right one.

The final answer (`final_answer`) must name one option and no other: "B", "(B)", "B) the red one", "option b", or the
option's own words. Two options are no answer, so naming all of them earns nothing; "A cube" and "I think" begin with
words and choose nothing.

Report: §4.4.2 (outcome rewards), §5 (multiple-choice benchmarks); the reading is an open choice here.
"""

import re
import string
from collections.abc import Sequence

from manyeyes.core.errors import ConfigError
from manyeyes.reward.answers import normalise_answer
from manyeyes.reward.final_answer import final_answer

_LETTER = re.compile(r"(?:\\text\{)?[(\[*\"' ]*(?:(?:option|choice)\s+)?[(\[*\"' ]*([A-Z])(?![a-z'])(.*)", re.I | re.S)
_OTHER = re.compile(r"(?<![A-Za-z'])[(\[]?([A-Z])(?![A-Za-z'])")


def choice_reward(text: str, truth: str, options: int | Sequence[str]) -> float:
    """1 where a text chooses the right option, else 0.

    Args:
        text: what the model wrote.
        truth: letter of the right option.
        options: how many there are, or what they say.

    Raises:
        ConfigError: the truth is none of the options.
    """
    letters = string.ascii_uppercase[: options if isinstance(options, int) else len(options)]
    right = truth.strip().upper()
    if len(right) != 1 or right not in letters:
        raise ConfigError(f"the right option must be one of {', '.join(letters)}, got {truth!r}")
    return float(read_choice(text, options) == right)


def read_choice(text: str, options: int | Sequence[str]) -> str | None:
    """Letter of the option that a text chooses; None where it chooses none, or more than one.

    Example:
        >>> read_choice("Hm.\\nAnswer: (b) red", 4), read_choice("A and C", 4), read_choice("red", ["blue", "red"])
        ('B', None, 'B')
    """
    answer = final_answer(text)
    words = () if isinstance(options, int) else tuple(map(normalise_answer, options))
    letters = string.ascii_uppercase[: options if isinstance(options, int) else len(options)]
    said = normalise_answer(answer)
    if said and words.count(said) == 1:
        return letters[words.index(said)]
    found = _LETTER.match(answer)
    if found is None or (letter := found[1].upper()) not in letters:
        return None
    if letter in "AI" and found[2][:1] == " " and normalise_answer(found[2]) not in words:
        return None
    others = {other for other in _OTHER.findall(found[2]) if other in letters}
    return letter if others <= {letter} and _says_the_same(letter, found[2], letters, words) else None


def _says_the_same(letter: str, rest: str, letters: str, words: Sequence[str]) -> bool:
    """Whether what follows the letter is not the text of another option."""
    said = normalise_answer(rest)
    return said not in words or words[letters.index(letter)] == said
