"""`Answer`: what a candidate says at last, against the truth, turn by turn.

Report: §4.4.1 (verification by answer).
"""

from collections.abc import Callable
from dataclasses import dataclass

from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import PASSED, Finding
from manyeyes.reward.answers import exact_match
from manyeyes.reward.final_answer import final_answer

Score = Callable[[str, str, Seed], float]
"""(what was said, the truth, the seed) -> 0 to 1."""


def same_words(said: str, truth: str, seed: Seed) -> float:
    """1 where the final answer is the truth, as words and numbers compare."""
    return exact_match(final_answer(said), truth)


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
