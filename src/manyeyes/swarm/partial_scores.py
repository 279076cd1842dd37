"""Partial tables over time: what table could have been written at each moment of a run, and what it was worth.

    told       what the main agent itself knows: its own notes, and the tables that sub-agents have returned to it
    known      what any agent of the run knows: the notes of all of them

`told` is what the run would answer if it were asked to end at that moment, so it decides when a swarm has reached a
target; `known` runs ahead of it until sub-agents return. Alone, both are the same. Time that a run stood still between
a stop and its resume does not count.

Report: §5.2, Fig. 8 (time to reach an item-F1).
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from manyeyes.agent.run import MAIN
from manyeyes.core.journal import Event
from manyeyes.reward.table_judge import ExactJudge, TableJudge
from manyeyes.reward.table_task import TableTask
from manyeyes.reward.wide_table import score_table
from manyeyes.swarm.critical_steps import StepCounter
from manyeyes.swarm.orchestrator import ASSIGN
from manyeyes.swarm.rule_notes import Known, notes_of, notes_on_table, table_text

Whose = Literal["told", "known"]


class Partial(NamedTuple):
    """A table that could have been written.

    Attributes:
        seconds: since the run began.
        steps: critical steps so far.
        rows: of the table, its header left out.
    """

    seconds: float
    steps: int
    rows: tuple[tuple[str, ...], ...]


class Moment(NamedTuple):
    """What a run's table was worth from a moment on.

    Example:
        >>> first_reached([Moment(1.0, 3, 2, 0.2), Moment(2.0, 5, 9, 0.65)], (0.3, 0.7))
        {0.3: 2.0, 0.7: None}
    """

    seconds: float
    steps: int
    rows: int
    f1: float


def partial_tables(events: Sequence[Event], columns: Sequence[str], *, whose: Whose = "told") -> Iterator[Partial]:
    """The table at every moment at which it changed.

    Args:
        events: of a whole journal.
        columns: of the table; the first is the key.
    """
    known, counter, stood = Known(), StepCounter(), 0.0
    before: tuple[tuple[str, ...], ...] = ()
    for number, event in enumerate(events):
        counter.take(event)
        if event.kind == "run.resumed":
            stood += event.time - events[number - 1].time
        if not _learnt(known, event, whose):
            continue
        rows = _rows(known, columns)
        if rows != before:
            yield Partial(event.time - events[0].time - stood, counter.critical, rows)
        before = rows


def _learnt(known: Known, event: Event, whose: Whose) -> bool:
    """Take up what an event tells; False where it tells nothing of this kind."""
    if whose == "told" and event.agent != MAIN:
        return False
    if event.kind == "llm.finished":
        known.take(notes_of(event.data["message"].get("reasoning") or ""))
    elif event.kind == "tool.finished" and event.data["name"] == ASSIGN:
        texts = (part for part in event.data["result"]["parts"] if isinstance(part, str))
        known.take(note for text in texts for note in notes_on_table(text))
    else:
        return False
    return True


def _rows(known: Known, columns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Every entity of which a wanted fact is known; cells that are not stay empty."""
    wanted = columns[1:]
    names = dict.fromkeys(entity for entity, label in known.facts if label in wanted)
    return tuple(
        (name, *(found.value if (found := known.facts.get((name, label))) else "" for label in wanted))
        for name in names
    )


async def scores_over_time(
    events: Sequence[Event],
    columns: Sequence[str],
    task: TableTask,
    *,
    whose: Whose = "told",
    judge: TableJudge | None = None,
) -> list[Moment]:
    """The item-F1 of every partial table, scored as the final one is.

    Args:
        columns: as the task names them to people.
        task: with the true table.
    """
    judge = judge or ExactJudge()
    found: list[Moment] = []
    for seconds, steps, rows in partial_tables(events, columns, whose=whose):
        score = await score_table(task, table_text(columns, rows), judge)
        found.append(Moment(round(seconds, 3), steps, len(rows), score.item.f1))
    return found


def first_reached(moments: Sequence[Moment], targets: Sequence[float]) -> dict[float, float | None]:
    """Seconds until the item-F1 was first at each target; None where it never was."""
    return {target: next((one.seconds for one in moments if one.f1 >= target), None) for target in targets}
