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

from manyeyes.agent.tools.web import web_tools
from manyeyes.core.journal import Event
from manyeyes.reward.table_judge import ExactJudge
from manyeyes.reward.table_score import TableScore
from manyeyes.reward.table_task import TableTask, read_task
from manyeyes.reward.wide_table import score_table
from manyeyes.swarm.rule_model import rule_model
from manyeyes.swarm.session import Figures, Mode, Session, SessionConfig
from manyeyes.swarm.world import WideTask, wide_tasks, world_web

MODES: tuple[Mode, ...] = ("single", "swarm")


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """How the demo runs.

    Attributes:
        tasks: how many, spread from the smallest to the largest.
        model_seconds: that an answer of the model takes.
        page_seconds: that a search or a page takes.
    """

    tasks: int = 3
    model_seconds: float = 0.3
    page_seconds: float = 0.2


class Ran(NamedTuple):
    """One task in one mode."""

    task: WideTask
    mode: Mode
    score: TableScore
    figures: Figures
    stop: str


async def run_demo(
    folder: Path,
    config: DemoConfig,
    *,
    listen: Callable[[Event], None] | None = None,
    begin: Callable[[WideTask, Mode], None] = lambda task, mode: None,
    finished: Callable[[Ran], None] = lambda ran: None,
) -> list[Ran]:
    """Every task in both modes, one after the other; a session that is over already is not run again.

    Args:
        folder: gets a session's folder for each.
        begin, finished: called around each.
    """
    web = world_web(seconds=config.page_seconds)
    model = rule_model(seconds=config.model_seconds)
    found: list[Ran] = []
    try:
        for task in chosen(config.tasks):
            for mode in MODES:
                begin(task, mode)
                session = session_of(folder / f"{task.id}-{mode}", task, mode)
                outcome = await session.run(model, lambda ctx: web_tools(web, web, ctx), listen=listen)
                score = await score_table(table_task(task), outcome.text, ExactJudge())
                found.append(Ran(task, mode, score, session.figures(), outcome.stop))
                finished(found[-1])
    finally:
        await web.close()
    return found


def chosen(count: int) -> Sequence[WideTask]:
    """So many tasks, from the smallest to the largest."""
    tasks = wide_tasks()
    count = max(1, min(count, len(tasks)))
    if count == 1:
        return tasks[-1:]
    return [tasks[round(number * (len(tasks) - 1) / (count - 1))] for number in range(count)]


def session_of(folder: Path, task: WideTask, mode: Mode) -> Session:
    """The session of a task, begun or gone on with."""
    if (folder / "config.json").exists():
        return Session.open(folder)
    return Session.create(folder, SessionConfig(task.query, mode=mode, model="rules", preset="widesearch"))


def table_task(task: WideTask) -> TableTask:
    """As the scorer wants it."""
    gold = io.StringIO()
    csv.writer(gold).writerows([task.columns, *task.gold])
    return read_task(task.row, gold.getvalue())
