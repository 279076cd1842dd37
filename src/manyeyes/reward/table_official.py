"""WideSearch's score exactly as the official scorer gives it, for numbers beside the published ones.

Its order matters: types are guessed by column; rows with a repeated key are dropped before keys are aligned, so that
two names of one row count twice; alignment comes before preparation; the join is many to many; a cell counts once for
each of its metrics. Anything that raises there makes the table 0 here. A table that equals the truth as it stands is a
success whatever the metrics say, as long as no key column is one that the judge aligns (such a column's old values
stay in the table beside the new, and nothing equals that).

Report: §5.2; the behaviour of `evaluation.py` of WideSearch (0e664c3). Not met: what dateparser alone reads (give it as
`dates`), and two columns mapped to one name, which is a failure here and sometimes garbage there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from manyeyes.reward.judge import JudgeError
from manyeyes.reward.table_judge import TableJudge
from manyeyes.reward.table_official_cells import OfficialError, official_compare, official_prepare
from manyeyes.reward.table_official_text import guessed, official_table
from manyeyes.reward.table_score import TableScore, tally
from manyeyes.reward.table_task import Table, TableTask
from manyeyes.reward.written_dates import DateReader

Record = dict[str, str]


async def official_score(task: TableTask, answer: str, judge: TableJudge, *, dates: DateReader) -> TableScore:
    """See `wide_table.score_table`."""
    table = official_table(answer)
    if isinstance(table, str):
        return TableScore(failure=table)
    table = await _renamed(table, task, judge)
    if sorted(table.columns) != sorted(task.required):
        return TableScore(failure=f"the columns {table.columns} are not the required {list(task.required)}")
    try:
        return await _scored(task, table, judge, dates)
    except OfficialError as error:
        return TableScore(failure=str(error))


async def _renamed(table: Table, task: TableTask, judge: TableJudge) -> Table:
    if set(table.columns) == set(task.required):
        return table
    mapping = await _mapped(judge, "", table.columns, task.required)
    return table._replace(columns=[mapping.get(column, column) for column in table.columns])


async def _scored(task: TableTask, table: Table, judge: TableJudge, dates: DateReader) -> TableScore:
    if unknown := set(task.rules or {}) - set(task.required):
        raise OfficialError(f"rules of the columns {sorted(unknown)}, which are not required")
    golds = _first_by_key(guessed(task.gold).records(), task.keys)
    answers = _first_by_key(table.records(), task.keys)
    aligned = [column for column in task.keys if task.rule(column).aligned]
    for column in aligned:
        values, truths = [row[column] for row in answers], [row[column] for row in golds]
        mapping = await _mapped(judge, column, values, truths)
        answers = [{**row, column: mapping.get(row[column], row[column])} for row in answers]
    golds, answers = ([_prepared(row, task, dates) for row in rows] for rows in (golds, answers))
    same = not aligned and tuple(table.columns) == task.required and _sorted(answers) == _sorted(golds)
    pairs = [(one, gold) for gold in golds for one in answers if all(one[key] == gold[key] for key in task.keys)]
    cells_MC = await _cells(pairs, task, judge=judge, dates=dates)
    score = tally(cells_MC, predicted=len(answers), true=len(golds), width=len(task.required))
    return replace(score, success=float(score.success or (same and bool(pairs))))


async def _cells(
    pairs: list[tuple[Record, Record]], task: TableTask, *, judge: TableJudge, dates: DateReader
) -> list[list[float]]:
    columns: list[Sequence[float]] = [[1.0] * len(pairs) for _ in task.keys]
    for name in task.values if pairs else ():
        if task.rules is None or name not in task.rules:
            raise OfficialError(f"no rule for the column {name}")
        for metric in dict.fromkeys(task.rule(name).metrics):
            columns.append(await _column(pairs, task, name, metric=metric, judge=judge, dates=dates))
    return [list(cells) for cells in zip(*columns, strict=True)]


async def _column(
    pairs: list[tuple[Record, Record]], task: TableTask, name: str, *, metric: str, judge: TableJudge, dates: DateReader
) -> Sequence[float]:
    criterion = task.rule(name).criterion
    if metric != "llm_judge":
        return [
            official_compare(one[name], gold[name], metric=metric, criterion=criterion, read_date=dates)
            for one, gold in pairs
        ]
    answers, golds = [one[name] for one, _ in pairs], [gold[name] for _, gold in pairs]
    try:
        scores = await judge.judge_column(name, answers, golds, criterion=str(criterion))
    except JudgeError:
        return [0.0] * len(pairs)
    return scores if len(scores) == len(pairs) else [0.0] * len(pairs)


async def _mapped(judge: TableJudge, column: str, answers: Sequence[str], golds: Sequence[str]) -> Mapping[str, str]:
    try:
        return await (judge.align_keys(column, answers, golds) if column else judge.map_columns(answers, golds))
    except JudgeError:
        return {}


def _prepared(row: Record, task: TableTask, dates: DateReader) -> Record:
    return {name: official_prepare(cell, task.rule(name), read_date=dates) for name, cell in row.items()}


def _first_by_key(rows: list[Record], keys: Sequence[str]) -> list[Record]:
    first: dict[tuple[str, ...], Record] = {}
    for row in rows:
        first.setdefault(tuple(row[key] for key in keys), row)
    return list(first.values())


def _sorted(rows: list[Record]) -> list[list[tuple[str, str]]]:
    return sorted(sorted(row.items()) for row in rows)
