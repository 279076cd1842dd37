"""`Grade`: graders read a candidate by rubrics; too few votes are no verdict, never a bad one.

Report: §4.4.1 (verification by judges), §4.4.2 (generative reward models).
"""

from dataclasses import dataclass

from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.mark import mark_of
from manyeyes.agent.synthesis.stage import Finding
from manyeyes.core.messages import TextPart
from manyeyes.reward.grm.evidence import of_messages
from manyeyes.reward.grm.generative_reward import GenerativeReward
from manyeyes.reward.grm.question import Work
from manyeyes.reward.grm.rubric import TaskKind


@dataclass(frozen=True, slots=True)
class Grade:
    """See the module.

    Attributes:
        grm: rubrics, graders, and their quorum.
        kind: of work: what the rubrics look at.
        least: score that passes.
    """

    grm: GenerativeReward
    kind: TaskKind = "chat"
    least: float = 0.5
    name: str = "grade"

    @property
    def mark(self) -> str:
        """See `Stage`: who grades, by which rubrics and questions, and from where on it passes."""
        config = self.grm.config
        asked = config.drawn, config.quorum, config.seed, config.budget, config.share, config.cap
        rubrics = config.rubrics.get(self.kind, ())
        return mark_of(sorted(self.grm.graders), self.kind, self.least, asked, rubrics, self.grm.calibration(self.kind))

    async def __call__(self, candidate: Candidate) -> Finding:
        """See `Stage`."""
        seed = candidate.seed
        first = next(at for at, message in enumerate(candidate.messages) if message.role == "assistant")
        task, answer = of_messages(candidate.messages[:first]), of_messages(candidate.messages[first:])
        truths = [truth for truth in seed.truths if truth is not None]
        work = Work(self.kind, task or (TextPart(seed.turns[0]),), answer, reference="\n".join(truths))
        found = await self.grm.score(work, name=seed.id)
        notes = {"votes": found.votes, "missing": found.missing, "parts": found.parts}
        if found.score is None:
            return Finding(None, "too few votes", notes=notes)
        passed = found.score >= self.least
        return Finding(passed, "" if passed else "graded too low", found.score, notes)
