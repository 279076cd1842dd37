"""`GrmRanking`: a generative reward model as the judge of a whole group, by comparisons in pairs, both orders asked.

    attempts that rules found alike  →  each against the next, or all against all  →  share won  →  on top of the rules

Attempts that rules tell apart are not compared: what they found already does that, and whom an attempt happens to stand
beside must not count. One that is alone with what it was found to be gets the share of a tie. Comparisons that gave no
verdict are left out; where fewer than half of those that were to be compared come to a score, for that reason or for
want of their artefacts, the judge has failed. The reasons are in its words.

Report: §4.4.2 (generative reward models on top of verified rewards).
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manyeyes.agent.grm_judge import Artefacts, group_of, told, work_of
from manyeyes.agent.group_judge import Said, case_of, counted, ended, own_verdict
from manyeyes.agent.judge import JudgeFailed, Verdict
from manyeyes.agent.rollouts.group import Group
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.reward.grm.generative_reward import GenerativeReward, Graded
from manyeyes.reward.grm.on_verified import on_verified
from manyeyes.reward.grm.pairing import Pairing
from manyeyes.reward.grm.question import Work
from manyeyes.reward.grm.rubric import TaskKind

TIE = 0.5


@dataclass(frozen=True, slots=True)
class GrmRanking:
    """See the module.

    Attributes:
        grm: rubrics, graders and their quorum.
        kind: of the tasks: what the rubrics look at.
        tokenizer: of the policy, to read its trajectories.
        verified: whether an attempt's own reward is what rules found, from 0 to 1. Else it is not looked at, and the
            environment needs no judge; then no attempt is right or wrong unless its judge says so, so curriculum and
            Toggle have nothing to go by.
        pairing: "circular" for K comparisons, "all" for K (K - 1) / 2.
        artefacts: what else is shown of an attempt, behind its words; those that lie in its answer, for a workspace is
            gone by then.
    """

    grm: GenerativeReward
    kind: TaskKind
    tokenizer: Tokenizer
    verified: bool
    pairing: Pairing = "circular"
    artefacts: Artefacts | None = None

    async def __call__(self, group: Group) -> Sequence[Said]:
        """See `GroupJudge`.

        Raises:
            JudgeFailed: a verified reward that is not from 0 to 1, or too few votes.
        """
        verdicts: list[Said] = [None] * len(group.trajectories)
        members = counted(group) if self.verified else ended(group)
        if len(members) < 2:
            return verdicts
        if self.verified:
            _require_shares(group, members)
        made = await self._works(group, members)
        works = {at: one for at, one in made.items() if isinstance(one, Work)}
        found = await self._ranked(works, group_of(case_of(group, members[0])))
        silent = [one for one in found.values() if one.score is None and not _unasked(one)]
        whys = {at: one for at, one in made.items() if isinstance(one, str)}
        if silent:
            whys |= {at: _why(silent) for at, one in found.items() if one in silent}
        if 2 * len(whys) > len(members):
            raise JudgeFailed("; ".join(dict.fromkeys(whys.values())))
        for at, one in found.items():
            if one.score is not None:
                notes = {"transcripts": [transcript._asdict() for transcript in one.transcripts]}
                verdicts[at] = Verdict(one.score, one.parts, notes)
        for at, why in whys.items():
            verdicts[at] = why
        return verdicts

    async def _works(self, group: Group, members: Sequence[int]) -> Mapping[int, Work | str]:
        """What is compared, by number of the attempt; why there is nothing to show of one."""
        try:
            async with asyncio.TaskGroup() as tasks:
                asked = {at: tasks.create_task(self._work(group, at)) for at in members}
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {at: one.result() for at, one in asked.items()}

    async def _work(self, group: Group, at: int) -> Work | str:
        rules = own_verdict(group.trajectories[at]) if self.verified else None
        try:
            return await work_of(
                case_of(group, at), rules, grm=self.grm, kind=self.kind, tokenizer=self.tokenizer,
                artefacts=self.artefacts,
            )  # fmt: skip
        except JudgeFailed as failed:
            return str(failed)

    async def _ranked(self, works: Mapping[int, Work], name: str) -> Mapping[int, Graded]:
        alike: defaultdict[float | None, list[int]] = defaultdict(list)
        for at, work in works.items():
            alike[work.verified].append(at)
        ranked = await asyncio.gather(  # nothing that a grader says or fails at raises here
            *(self.grm.rank([works[at] for at in ats], name=name, pairing=self.pairing) for ats in alike.values())
        )
        found = {
            at: one for ats, ones in zip(alike.values(), ranked, strict=True) for at, one in zip(ats, ones, strict=True)
        }
        return {at: self._alone(works[at]) if one.score is None and _unasked(one) else one for at, one in found.items()}

    def _alone(self, work: Work) -> Graded:
        """With nobody like it to be compared to."""
        if work.verified is None:
            return Graded(None, None, {}, 0, 0)
        score = on_verified(work.verified, TIE, share=self.grm.config.share, cap=self.grm.config.cap)
        return Graded(score, TIE, {}, 0, 0)


def _require_shares(group: Group, members: Sequence[int]) -> None:
    for one in (group.trajectories[at] for at in members):
        if (own := own_verdict(one).reward) < 0 or own > 1:
            raise JudgeFailed(
                f"{one.name} has a reward of {own:g}, and what rules found must be from 0 to 1: let the environment's "
                "judge say that, or rank with verified=False"
            )


def _why(silent: Sequence[Graded]) -> str:
    """The reasons of all comparisons of works that have no score; a pair's transcripts stand with its first work."""
    missing = tuple(transcript for one in silent for transcript in one.transcripts if transcript.why)
    votes, late = (sum(values) for values in zip(*((one.votes, one.missing) for one in silent), strict=True))
    return told(Graded(None, None, {}, votes, late, missing))


def _unasked(one: Graded) -> bool:
    return not one.votes + one.missing
