"""`manyeyes swarm demo`: single agent and swarm side by side on the synthetic world, scored, with the speed-up.

No key and no network: the web is made from real tables (`world`), the model is a set of rules that really uses the
tools (`rule_model`), answers are scored as WideSearch scores tables. What is shown is the runtime: the same rules alone
and as a swarm.

Report: §3, §5.2 (WideSearch), Fig. 8.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.run import AgentRun
from manyeyes.agent.tools.web import web_tools
from manyeyes.core.journal import Event
from manyeyes.reward.table_judge import ExactJudge
from manyeyes.reward.table_score import TableScore
from manyeyes.reward.table_task import TableTask, read_task
from manyeyes.reward.wide_table import score_table
from manyeyes.swarm.orchestrator import PRESETS
from manyeyes.swarm.partial_scores import Moment, scores_over_time
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.session import Figures, Mode, Session, SessionConfig
from manyeyes.swarm.world import WideTask, wide_tasks, world_web

MODES: tuple[Mode, ...] = ("single", "swarm")
PRESET = "widesearch"


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """How the demo runs.

    Attributes:
        tasks: how many, spread from the smallest to the largest.
        model_seconds: that an answer of the model takes.
        page_seconds: that a search or a page takes.
        over_time: whether partial tables are scored, too.
    """

    tasks: int = 3
    model_seconds: float = 0.3
    page_seconds: float = 0.2
    over_time: bool = False


class Ran(NamedTuple):
    """One task in one mode.

    Attributes:
        stop, reason: how the main agent ended, and why; see `Outcome`.
        moments: what the table was worth over time; empty unless that was asked for.
    """

    task: WideTask
    mode: Mode
    score: TableScore
    figures: Figures
    stop: str
    moments: tuple[Moment, ...] = ()
    reason: str = ""


async def run_demo(
    folder: Path,
    config: DemoConfig,
    *,
    model: ChatModel | None = None,
    listen: Callable[[Event], None] | None = None,
    begin: Callable[[Session], None] = lambda session: None,
    started: Callable[[AgentRun], None] | None = None,
    finished: Callable[[Ran], None] = lambda ran: None,
) -> list[Ran]:
    """Every task in both modes, one after the other; a session that is over already is not run again.

    Args:
        folder: gets a session's folder for each.
        model: that answers; rules when None.
        begin, finished: called around each session.
        started: see `Session.run`.
    """
    web = world_web(seconds=config.page_seconds)
    used = model or rule_model(seconds=config.model_seconds)
    found: list[Ran] = []
    try:
        for task in chosen(config.tasks):
            for mode in MODES:
                session = session_of(folder / f"{task.id}-{mode}", task, mode, model=used.name)
                begin(session)
                outcome = await session.run(used, lambda ctx: web_tools(web, web, ctx), listen=listen, started=started)
                score = await score_table(table_task(task), outcome.text, ExactJudge())
                moments = await moments_of(session, task) if config.over_time else ()
                found.append(Ran(task, mode, score, session.figures(), outcome.stop, moments, outcome.reason))
                finished(found[-1])
    finally:
        await web.close()
    return found


async def moments_of(session: Session, task: WideTask) -> tuple[Moment, ...]:
    """What a session's table was worth over time, as far as its journal goes."""
    return tuple(await scores_over_time(session.events, task.columns, table_task(task)))


def notes(ran: Sequence[Ran]) -> list[str]:
    """What has to be said below the table for it to be understood."""
    capped = [one for one in ran if one.stop == "step_cap"]
    limit = PRESETS[PRESET].sub_agent
    said = [
        f"{len(capped)} of {len(ran)} runs ended at the limit of {limit} steps (the report's for WideSearch), so their "
        f"seconds are those of an unfinished table; `manyeyes reproduce fig8` lets an agent alone go on."
    ]
    rules = "The model is a set of rules that really uses the tools: this shows how the work runs, not a trained model."
    return [*(said if capped else []), rules]


def chosen(count: int) -> Sequence[WideTask]:
    """So many tasks, from the smallest to the largest."""
    tasks = wide_tasks()
    count = max(1, min(count, len(tasks)))
    if count == 1:
        return tasks[-1:]
    return [tasks[round(number * (len(tasks) - 1) / (count - 1))] for number in range(count)]


def session_of(folder: Path, task: WideTask, mode: Mode, *, model: str = "rules") -> Session:
    """The session of a task, begun or gone on with."""
    if (folder / "config.json").exists():
        return Session.open(folder)
    return Session.create(folder, SessionConfig(task.query, mode=mode, model=model, preset=PRESET))


def table_task(task: WideTask) -> TableTask:
    """As the scorer wants it."""
    gold = io.StringIO()
    csv.writer(gold).writerows([task.columns, *task.gold])
    return read_task(task.row, gold.getvalue())
