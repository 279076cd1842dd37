"""`GrmJudge`: a generative reward model as the judge of an environment; the graders are any chat models.

    verified rules, where there are some  →  the graders' votes on top of them  →  one reward between 0 and 1

Too few votes are no verdict: a failure of the infrastructure, never a reward of 0, with the reasons in its words. Which
rubrics judge an attempt is drawn for its group: siblings meet the same, and the next group of the same task others.

Report: §4.4.2 (generative reward models on top of verified rewards, across environments and modalities).
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ChatModel, Sampling
from manyeyes.agent.judge import Case, Judge, JudgeFailed, Verdict
from manyeyes.agent.reference import reference_of
from manyeyes.agent.right_part import RIGHT, right_of
from manyeyes.core.messages import Part, TextPart, user
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.reward.grm.evidence import fitted, of_trajectory
from manyeyes.reward.grm.generative_reward import GenerativeReward, Graded
from manyeyes.reward.grm.question import Work
from manyeyes.reward.grm.rubric import TaskKind
from manyeyes.reward.grm.vote import Grader, Transcript, clipped, text_of

LONGEST_REASON = 1800
"""Characters of a failure's words: they go into the trajectory."""
LONGEST_QUOTE = 200
"""Characters of what a grader said, or of why it said nothing, in these words."""

Artefacts = Callable[[Case], Awaitable[tuple[Part, ...]]]
"""What an attempt made, as a grader can look at it (`artefacts.HtmlArtefacts`)."""


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
        verified: what rules say; caps what the graders can give, and decides the part `right`.
        artefacts: what else is shown of an attempt, behind its words.
    """

    grm: GenerativeReward
    kind: TaskKind
    tokenizer: Tokenizer
    verified: Judge | None = None
    artefacts: Artefacts | None = None

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        rules = None if self.verified is None else await self.verified(case)
        work = await work_of(
            case, rules, grm=self.grm, kind=self.kind, tokenizer=self.tokenizer, artefacts=self.artefacts
        )
        found = await self.grm.score(work, name=group_of(case))
        if found.score is None:
            raise JudgeFailed(told(found))
        parts = {**found.parts, **({} if rules is None else _of_rules(rules))}
        return Verdict(found.score, parts, {"transcripts": [one._asdict() for one in found.transcripts]})


async def work_of(
    case: Case,
    rules: Verdict | None,
    *,
    grm: GenerativeReward,
    kind: TaskKind,
    tokenizer: Tokenizer,
    artefacts: Artefacts | None = None,
) -> Work:
    """An attempt as graders are shown it.

    Args:
        rules: what was verified of it; None for nothing.
    """
    whole = case.trajectory
    answer = (TextPart(case.outcome.text),) if whole is None else of_trajectory(whole, tokenizer)
    made = () if artefacts is None else await artefacts(case)
    reference = fitted((TextPart(reference_of(case.task.truth)),), grm.config.budget)
    return Work(
        kind, (TextPart(case.task.prompt),), (*answer, *made), text_of(reference),
        None if rules is None else rules.reward,
    )  # fmt: skip


def group_of(case: Case) -> str:
    """Name of the attempts that are compared with each other: that of the trajectory without the attempt's number.

    The task's id where nobody kept a trajectory, or its name ends with no number; then no group can be told.
    """
    name = "" if case.trajectory is None else case.trajectory.name
    group, _, number = name.rpartition("/")
    return group if group and number.isdecimal() else case.task.id


def told(found: Graded) -> str:
    """Why there is no score: each missing vote with its reason and the beginning and end of its reply; bounded."""
    votes: dict[tuple[str, str, str], list[Transcript]] = {}
    for one in found.transcripts:
        votes.setdefault((one.grader, one.rubric, one.order), []).append(one)
    missing = [_reason(tries) for tries in votes.values() if all(one.why for one in tries)]
    return _within(f"{found.missing} of {found.votes + found.missing} votes are missing", missing)


def _of_rules(rules: Verdict) -> dict[str, float]:
    return {f"verified/{name}": value for name, value in rules.parts.items()} | {RIGHT: right_of(rules)}


def _reason(tries: Sequence[Transcript]) -> str:
    """Of one missing vote: its last try."""
    last = tries[-1]
    reply = f", it said {_quoted(last.reply)}" if last.reply else ""
    return f"{_quoted(last.grader)} by {_quoted(last.rubric)}: {_quoted(last.why)}{reply}"


def _quoted(text: str) -> str:
    """One short line in quotes, of which nothing acts: neither line breaks nor signs that turn the reading around."""
    shown = "".join(sign if sign.isprintable() else " " for sign in clipped(text, LONGEST_QUOTE))
    return json.dumps(shown, ensure_ascii=False)


def _within(head: str, reasons: Sequence[str]) -> str:
    """As many reasons as there is room for."""
    said = head
    for number, reason in enumerate(reasons):
        piece = f"{': ' if not number else '; '}{reason}"
        if len(said) + len(piece) > LONGEST_REASON:
            return f"{said}{': ' if not number else '; '}and {len(reasons) - number} more"
        said += piece
    return said
