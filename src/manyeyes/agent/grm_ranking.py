"""`GrmRanking`: a generative reward model as the judge of a whole group, by comparisons in pairs, both orders asked.

    attempts of a group  →  each against the next, or all against all  →  share of comparisons won, capped by rules

Graders tell which of two is better more steadily than how good one is. What rules found of an attempt (its own reward)
decides a pair where it differs, and caps what an attempt can win. Attempts for which too few votes came in have no
verdict; where that holds for all, the judge has failed, with the reasons in its words.

Report: §4.4.2 (generative reward models on top of verified rewards).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from manyeyes.agent.grm_judge import Artefacts, group_of, told, work_of
from manyeyes.agent.group_judge import case_of, counted, own_verdict
from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.right_part import RIGHT, right_of
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.reward.grm.generative_reward import GenerativeReward, Graded
from manyeyes.reward.grm.pairing import Pairing
from manyeyes.reward.grm.rubric import TaskKind


@dataclass(frozen=True, slots=True)
class GrmRanking:
    """See the module.

    Attributes:
        grm: rubrics, graders and their quorum.
        kind: of the tasks: what the rubrics look at.
        tokenizer: of the policy, to read its trajectories.
        verified: whether an attempt's own reward is what rules found, from 0 to 1; else it is not looked at, and what
            the environment's judge gives does not matter.
        pairing: "circular" for K comparisons, "all" for K (K - 1) / 2.
        artefacts: what else is shown of an attempt, behind its words.
    """

    grm: GenerativeReward
    kind: TaskKind
    tokenizer: Tokenizer
    verified: bool = True
    pairing: Pairing = "circular"
    artefacts: Artefacts | None = None

    async def __call__(self, group: Group) -> Sequence[Verdict | None]:
        """See `GroupJudge`.

        Raises:
            ConfigError: a verified reward that is not from 0 to 1.
        """
        members = counted(group)
        cases = [case_of(group, at) for at in members]
        own = [own_verdict(group.trajectories[at]) if self.verified else None for at in members]
        works = await asyncio.gather(
            *(
                work_of(case, rules, self.grm, self.kind, self.tokenizer, self.artefacts)
                for case, rules in zip(cases, own, strict=True)
            )
        )
        found = await self.grm.rank(works, name=group_of(cases[0]), pairing=self.pairing) if len(members) > 1 else []
        if found and all(one.score is None for one in found):
            raise JudgeFailed(told(_joined(found)))
        verdicts: list[Verdict | None] = [None] * len(group.trajectories)
        for at, rules, one in zip(members, own, found, strict=False):
            if one.score is not None:
                right = {} if rules is None else {RIGHT: right_of(rules)}
                notes = {"transcripts": [transcript._asdict() for transcript in one.transcripts]}
                verdicts[at] = Verdict(one.score, {**one.parts, **right}, notes)
        return verdicts


def _joined(found: Sequence[Graded]) -> Graded:
    """Every comparison counts with both of its works; it is told with the first."""
    transcripts = tuple(transcript for one in found for transcript in one.transcripts)
    return Graded(
        None, None, {}, sum(one.votes for one in found) // 2, sum(one.missing for one in found) // 2, transcripts
    )
