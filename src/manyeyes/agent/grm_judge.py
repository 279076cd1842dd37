"""`GrmJudge`: a generative reward model as the judge of an environment; the graders are any chat models.

    verified rules, where there are some  →  the graders' votes on top of them  →  one reward between 0 and 1

Too few votes are no verdict: a failure of the infrastructure, never a reward of 0.

Report: §4.4.2 (generative reward models on top of verified rewards, across environments and modalities).
"""

from dataclasses import dataclass

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ChatModel, Sampling
from manyeyes.agent.judge import Case, Judge, JudgeFailed, Verdict
from manyeyes.core.messages import Part, TextPart, user
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.reward.grm.evidence import of_trajectory
from manyeyes.reward.grm.generative_reward import GenerativeReward
from manyeyes.reward.grm.question import Work
from manyeyes.reward.grm.rubric import TaskKind
from manyeyes.reward.grm.vote import Grader


def grader(model: ChatModel, sampling: Sampling = DEFAULT_SAMPLING) -> Grader:
    """A chat model that is asked for votes."""

    async def grade(parts: tuple[Part, ...]) -> str:
        return (await model.complete([user(*parts)], sampling=sampling)).message.text

    return grade


@dataclass(frozen=True, slots=True)
class GrmJudge:
    """See the module.

    Attributes:
        grm: rubrics, graders and their quorum.
        kind: of the tasks: what the rubrics look at.
        tokenizer: of the policy, to read its trajectories.
        verified: what rules say; caps what the graders can give.
    """

    grm: GenerativeReward
    kind: TaskKind
    tokenizer: Tokenizer
    verified: Judge | None = None

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        rules = None if self.verified is None else await self.verified(case)
        whole = case.trajectory
        answer = (TextPart(case.outcome.text),) if whole is None else of_trajectory(whole, self.tokenizer)
        verified = None if rules is None else rules.reward
        work = Work(self.kind, (TextPart(case.task.prompt),), tuple(answer), verified=verified)
        found = await self.grm.score(work, name=case.task.id)
        if found.score is None:
            raise JudgeFailed(f"{found.missing} of {found.votes + found.missing} votes are missing")
        parts = {**found.parts, **({} if rules is None else {f"verified/{name}": x for name, x in rules.parts.items()})}
        return Verdict(found.score, parts, {"transcripts": [one._asdict() for one in found.transcripts]})
