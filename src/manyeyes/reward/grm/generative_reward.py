"""`GenerativeReward`: grades open-ended work by several rubrics and graders; one score from 0 to 1, or none.

    await grm.score(work, name=group)              levels by each drawn rubric and grader, their median, calibrated
    await grm.compare(one, other, name=group)      both orders; where they disagree it is a tie
    await grm.rank(works, name=group)              the works of a group by their comparisons

Nothing that a model says or does raises here: a vote that failed, was late or cannot be read is missing and counted.
Fewer votes than `quorum` are no score (None), which is never a 0. A verified reward caps the score (`on_verified`).

Report: §4.4.2 (generative reward models; several rubrics; on top of verified rewards).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from manyeyes.core.errors import ConfigError
from manyeyes.reward.grm.calibration import Calibration
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.evidence import fitted
from manyeyes.reward.grm.on_verified import on_verified
from manyeyes.reward.grm.pairing import Pairing, mean_wins, pairs_of
from manyeyes.reward.grm.question import Question, Work, about_one, about_two
from manyeyes.reward.grm.rubric import Rubric, TaskKind
from manyeyes.reward.grm.rubrics import drawn
from manyeyes.reward.grm.verdict import Side, read_levels, read_sides
from manyeyes.reward.grm.vote import CONSISTENT, Grader, Transcript, Vote, agreed, ask_grader, in_time, middle

Read = TypeVar("Read")
_Told = list[Transcript]


class Graded(NamedTuple):
    """What a work was found to be worth.

    Attributes:
        score: from 0 to 1, calibrated and capped; None where too few votes came in.
        raw: before calibration and cap.
        parts: of each criterion, from 0 to 1.
        votes: that came in.
        missing: that did not.
        transcripts: of all questions.
    """

    score: float | None
    raw: float | None
    parts: dict[str, float]
    votes: int
    missing: int
    transcripts: tuple[Transcript, ...] = ()


class GenerativeReward:
    """See the module.

    Args:
        graders: by name; different models, where self-preference matters.
        calibration: of scores by `score`; comparisons are scores by themselves.

    Attributes:
        counts: "votes", "missing", "scores", "no score" since the beginning; of comparisons, for how many criteria the
            "orders agree" and the "orders disagree": what the position of a work does to these graders.

    Raises:
        ConfigError: no grader, or a quorum that cannot be reached.
    """

    def __init__(
        self,
        graders: Mapping[str, Grader],
        config: GrmConfig | None = None,
        *,
        calibration: Mapping[TaskKind, Calibration] | Calibration | None = None,
    ) -> None:
        self.graders, self.config = dict(graders), config or GrmConfig()
        votes = len(self.graders) * self.config.drawn
        if not self.config.quorum <= votes:
            raise ConfigError(f"{len(self.graders)} graders give {votes} votes, the quorum is {self.config.quorum}")
        self._calibration = calibration or Calibration()
        self.counts: Counter[str] = Counter()

    async def score(self, work: Work, *, name: str) -> Graded:
        """What one work is worth.

        Args:
            name: of its group: attempts that are compared with each other are judged by the same rubrics.

        Raises:
            ConfigError: no such kind of task; a verified reward that is not from 0 to 1.
        """
        shown, told = self._shown(work), _Told()
        votes = await self._votes(
            lambda grader, rubric: self._level_vote(grader, rubric, shown, name, told), work.kind, name
        )
        found = self._graded(votes, told, self.calibration(work.kind))
        return self._capped(found, work)

    async def compare(self, one: Work, other: Work, *, name: str) -> Graded:
        """How far one work is better than another on the same task: 1 by everything, 1/2 for a tie, 0 by nothing.

        What was verified does not enter, but decides where it differs: see `rank`.
        """
        a, b, told = self._shown(one), self._shown(other), _Told()
        votes = await self._votes(
            lambda grader, rubric: self._side_vote(grader, rubric, (a, b), name, told), one.kind, name
        )
        return self._graded(votes, told, Calibration())

    async def rank(self, works: Sequence[Work], *, name: str, pairing: Pairing = "circular") -> list[Graded]:
        """The works of a group, each scored by its comparisons, capped by what was verified of it.

        Where one of a pair was verified to be better than the other, nobody is asked: it wins.
        """
        pairs = pairs_of(len(works), pairing)
        compared = await asyncio.gather(*(self._settled(works[a], works[b], f"{name}/{a}-{b}", name) for a, b in pairs))
        won = {pair: one.score for pair, one in zip(pairs, compared, strict=True) if one.score is not None}
        scores = mean_wins(len(works), won)
        return [self._capped(_of_pairs(at, scores[at], pairs, compared), work) for at, work in enumerate(works)]

    def calibration(self, kind: TaskKind) -> Calibration:
        """Of this kind of task."""
        given = self._calibration
        return given if isinstance(given, Calibration) else given.get(kind, Calibration())

    async def _settled(self, one: Work, other: Work, name: str, group: str) -> Graded:
        if one.verified is not None and other.verified is not None and one.verified != other.verified:
            won = float(one.verified > other.verified)
            return Graded(won, won, {"verified": won}, 0, 0)
        return await self.compare(one, other, name=group)

    async def _votes(
        self, vote: Callable[[str, Rubric], Coroutine[Any, Any, Vote | None]], kind: TaskKind, name: str
    ) -> list[Vote | None]:
        """One for each grader and drawn rubric, as far as they came in time."""
        rubrics = self.config.rubrics.get(kind)
        if not rubrics:
            raise ConfigError(f"no rubrics for {kind!r}; there are some for {', '.join(self.config.rubrics)}")
        chosen = drawn(rubrics, self.config.drawn, seed=self.config.seed, name=name)
        return await in_time(
            [vote(grader, rubric) for grader in self.graders for rubric in chosen], self.config.seconds
        )

    async def _level_vote(self, grader: str, rubric: Rubric, work: Work, name: str, told: _Told) -> Vote | None:
        question = about_one(work, rubric, seed=self.config.seed, name=name)
        values = await self._ask(
            (grader, rubric.name, ""), question, lambda reply: read_levels(reply, rubric, question.mark), told
        )
        return None if values is None else Vote.of(rubric, values)

    async def _side_vote(
        self, grader: str, rubric: Rubric, works: tuple[Work, Work], name: str, told: _Told
    ) -> Vote | None:
        """Asked in both orders; a vote only where both have a verdict."""
        orders = {"AB": works, "BA": works[::-1]}
        asked = [self._sides((grader, rubric.name, order), rubric, pair, name, told) for order, pair in orders.items()]
        forth, back = await asyncio.gather(*asked)
        if forth is None or back is None:
            return None
        agree = [(forth[name], back[name]) in CONSISTENT for name in forth]
        self.counts.update({"orders agree": sum(agree), "orders disagree": len(agree) - sum(agree)})
        return Vote.of(rubric, {criterion: agreed(forth[criterion], back[criterion]) for criterion in forth})

    async def _sides(
        self, names: tuple[str, str, str], rubric: Rubric, pair: tuple[Work, Work], name: str, told: _Told
    ) -> dict[str, Side] | None:
        question = about_two(*pair, rubric, seed=self.config.seed, name=name)
        return await self._ask(names, question, lambda reply: read_sides(reply, rubric, question.mark), told)

    async def _ask(
        self, names: tuple[str, str, str], question: Question, read: Callable[[str], Read | None], told: _Told
    ) -> Read | None:
        return await ask_grader(
            names, self.graders[names[0]], question, read,
            attempts=self.config.attempts, kept=self.config.kept, tell=told.append,
        )  # fmt: skip

    def _shown(self, work: Work) -> Work:
        budget = self.config.budget
        return replace(work, task=fitted(work.task, budget), answer=fitted(work.answer, budget))

    def _graded(self, votes: Sequence[Vote | None], told: _Told, calibration: Calibration) -> Graded:
        came = [vote for vote in votes if vote is not None]
        enough = len(came) >= self.config.quorum
        self.counts.update({"votes": len(came), "missing": len(votes) - len(came)})
        self.counts["scores" if enough else "no score"] += 1
        if not enough:
            return Graded(None, None, {}, len(came), len(votes) - len(came), tuple(told))
        found = middle(came)
        return Graded(
            calibration(found.score), found.score, found.parts, len(came), len(votes) - len(came), tuple(told)
        )

    def _capped(self, found: Graded, work: Work) -> Graded:
        if found.score is None or work.verified is None:
            return found
        capped = on_verified(work.verified, found.score, share=self.config.share, cap=self.config.cap)
        return found._replace(score=capped)


def _of_pairs(at: int, score: float | None, pairs: Sequence[tuple[int, int]], compared: Sequence[Graded]) -> Graded:
    """What one work of a group got from its comparisons."""
    mine = [(pair, one) for pair, one in zip(pairs, compared, strict=True) if at in pair]
    values: dict[str, list[float]] = {}
    for pair, one in mine:
        for name, value in one.parts.items():
            values.setdefault(name, []).append(value if pair[0] == at else 1 - value)
    parts = {name: sum(given) / len(given) for name, given in values.items()}
    told = tuple(transcript for pair, one in mine for transcript in one.transcripts if pair[0] == at)
    return Graded(score, score, parts, sum(o.votes for _, o in mine), sum(o.missing for _, o in mine), told)
