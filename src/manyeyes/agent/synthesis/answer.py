"""`Answer`: what a candidate says at last, against the truth, turn by turn.

Report: §4.4.1 (verification by answer).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.mark import mark_of, name_of
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import PASSED, Finding
from manyeyes.reward.answers import plain_minus, signed_match
from manyeyes.reward.final_answer import final_answer

Score = Callable[[str, str, Seed], float]
"""(what was said, the truth, the seed) -> 0 to 1."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?", re.IGNORECASE)


def same_words(said: str, truth: str, seed: Seed) -> float:
    """1 where the final answer is the truth: numbers by their value, else words as they compare, with equal signs."""
    answer, one, other = final_answer(said), number_in(final_answer(said)), number_in(truth)
    if one is not None and other is not None:
        return float(one == other)
    return signed_match(answer, truth)


def number_in(text: str) -> Decimal | None:
    """The number that a text is; None where it is, or says, something else.

    Example:
        >>> number_in(" 1,200.50 "), number_in("\\u22125"), number_in("5 cats"), number_in("nan")
        (Decimal('1200.50'), Decimal('-5'), None, None)
    """
    plain = _THOUSANDS.sub("", plain_minus(text).strip().rstrip("."))
    try:
        return Decimal(plain) if _PLAIN.fullmatch(plain) else None
    except InvalidOperation:
        return None


@dataclass(frozen=True, slots=True)
class Answer:
    """See the module; turns whose truth nobody knows are passed over.

    Attributes:
        score: of one answer.
        least: that the worst turn must reach.
    """

    score: Score = same_words
    least: float = 1.0
    name: str = "answer"

    @property
    def mark(self) -> str:
        """See `Stage`."""
        return mark_of(name_of(self.score), self.least)

    async def __call__(self, candidate: Candidate) -> Finding:
        """See `Stage`."""
        seed = candidate.seed
        pairs = zip(candidate.answers, seed.truths, strict=True) if seed.has_truth else ()
        scores = [self.score(said, truth, seed) for said, truth in pairs if truth is not None]
        if not scores:
            return PASSED
        worst = min(scores)
        passed = worst >= self.least
        return Finding(passed, "" if passed else "a wrong answer", worst)
