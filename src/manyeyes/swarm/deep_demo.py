"""The demo's questions: one answer that only one of many candidates leads to, too many to read in one context.

An agent alone throws its context away when it is full and begins anew (discard-all); the swarm gives each sub-agent a
few candidates. Both are graded as BrowseComp grades.

Report: §5.2, Fig. 7; App. E.8.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.run import AgentRun
from manyeyes.agent.tools.web import web_tools
from manyeyes.core.journal import Event
from manyeyes.swarm.deep_grade import grade_deep
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.session import Figures, Mode, Session, SessionConfig, Strategy
from manyeyes.swarm.trial import trial
from manyeyes.swarm.world import DeepTask, deep_tasks, world_web

CONTEXT = 24_000
"""Tokens; about a third of what all candidates of a question take to read."""
STEPS_ALONE = 400
ARMS: tuple[tuple[Mode, Strategy], ...] = (("single", "discard-all"), ("swarm", "none"))


class Answered(NamedTuple):
    """One question in one mode; `stop` and `reason` as of an `Outcome`."""

    task: DeepTask
    mode: Mode
    right: bool
    figures: Figures
    stop: str
    reason: str = ""


async def run_questions(
    folder: Path,
    count: int,
    *,
    model_seconds: float,
    page_seconds: float,
    model: ChatModel | None = None,
    listen: Callable[[Event], None] | None = None,
    begin: Callable[[Session], None] = lambda session: None,
    started: Callable[[AgentRun], None] | None = None,
    finished: Callable[[Answered], None] = lambda answered: None,
) -> list[Answered]:
    """Every question in both modes; see `demo.run_demo`."""
    web = world_web(seconds=page_seconds)
    found: list[Answered] = []
    try:
        for task in chosen(count):
            for mode, context in ARMS:
                config = SessionConfig(
                    task.problem, mode=mode, model="rules" if model is None else model.name, preset="browsecomp",
                    context=context, context_tokens=CONTEXT,
                )  # fmt: skip
                session = trial(folder / f"{task.id}-{mode}", config, steps=STEPS_ALONE)
                begin(session)
                used = model or rule_model(seconds=model_seconds, context_tokens=CONTEXT, past=session.events)
                outcome = await session.run(used, lambda ctx: web_tools(web, web, ctx), listen=listen, started=started)
                right = (await grade_deep(task, outcome.text)).correct
                found.append(Answered(task, mode, right, session.figures(), outcome.stop, outcome.reason))
                finished(found[-1])
    finally:
        await web.close()
    return found


def chosen(count: int) -> Sequence[DeepTask]:
    """So many questions, those with the most candidates first."""
    return sorted(deep_tasks(), key=lambda task: (-task.candidates, task.id))[: max(0, count)]


def questions_right(found: Iterable[Answered], mode: Mode) -> int:
    """How many were answered rightly in a mode."""
    return sum(one.right for one in found if one.mode == mode)
