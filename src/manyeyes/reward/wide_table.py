"""WideSearch's score of a table: rows joined by their keys, cells compared by the rule of their column.

    read the table → name its columns → align its keys → join rows one to one → compare cells → count

`parity=True` follows the official scorer, quirks included (`table_official`). The default corrects these, and names in
`TableScore.flags` what it met:

    extra_columns, missing_columns    ignored; counted as empty cells             officially the whole table is 0
    duplicate_keys                    the first row counts, others are wrong      officially the others cost nothing
    several_rows_for_one_key          one row a true row, an exact name first     officially recall exceeds 1
    duplicate_gold_keys               the first true row counts                   officially too
    several_metrics                   a cell is the least of its metrics          officially the sum: items exceed 1
    no_metric                         exact_match                                 officially the table or cell is 0
    no_criterion                      number_near asks for equality               officially the whole table is 0
    number_form                       `1` is `1.0`                                officially wrong
    no_number, no_date, no_url        equal texts are right, others wrong         officially always right (a number only
                                                                                  after extract_number)
    same_host, other_page             `www.` does not count, the path does        officially the other way about
    empty_in_gold                     an empty answer is wrong                    officially it is part of any text
    escaped_pipe, ragged_rows         as Markdown means them                      officially cells shift, or 0
    later_table                       the table that fits the task                officially the first
    no_key_matched                    nothing to compare: 0                       officially 0 by an exception

Report: §5.2, App. E.8 (WideSearch, Item-F1). The rules are those of the official code (WideSearch 0e664c3, MIT), which
was run beside this on random tables; the code is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from manyeyes.reward.judge import JudgeError
from manyeyes.reward.table_cells import Cell, clean, compare, join_form, prepare
from manyeyes.reward.table_judge import TableJudge
from manyeyes.reward.table_official import official_score
from manyeyes.reward.table_score import TableScore, tally
from manyeyes.reward.table_task import Table, TableTask
from manyeyes.reward.table_text import find_table
from manyeyes.reward.written_dates import DateReader, read_date

Record = dict[str, str]


class Pair(NamedTuple):
    """A row of the answer and the true row it was joined to, cells prepared."""

    answer: Record
    gold: Record


async def score_table(
    task: TableTask, answer: str, judge: TableJudge, *, parity: bool = False, dates: DateReader = read_date
) -> TableScore:
    """How well the table in an answer agrees with the task's; no text of an answer raises.

    Args:
        answer: the model's text, a Markdown table somewhere in it.
        judge: decides what rules cannot.
        parity: as the official scorer, quirks included.
        dates: reads dates; the official scorer's is dateparser's.

    Raises:
        JudgeError: the judge gave no verdict (with parity: scored as the official scorer does).

    Example:
        >>> import asyncio
        >>> from manyeyes.reward.table_judge import ExactJudge
        >>> gold = Table(["city", "people"], [["Rome", "2.8"], ["Oslo", "0.7"]])
        >>> task = TableTask(gold, ("city", "people"), ("city",))
        >>> asyncio.run(score_table(task, "|City|People|\\n|---|---|\\n|Rome|2.80|", ExactJudge())).item.recall
        0.5
    """
    if parity:
        return await official_score(task, answer, judge, dates=dates)
    flags: set[str] = set()
    found = find_table(answer, task.required)
    if found is None:
        return TableScore(failure="the answer holds no table")
    flags |= found.flags
    table = await _named(found.table, task, judge, flags)
    if lost := set(task.keys) - set(table.columns):
        return TableScore(flags=_sorted(flags), failure=f"the key columns {sorted(lost)} are missing")
    golds = _first_by_key(_cleaned(task.gold, task), task, flags)
    answers = _unrepeated(_cleaned(table, task), task, flags)
    pairs = await _joined(answers, golds, task, judge=judge, dates=dates, flags=flags)
    cells_MC = await _cells(pairs, task, judge=judge, dates=dates, flags=flags)
    score = tally(cells_MC, predicted=len(answers), true=len(golds), width=len(task.required))
    return replace(score, flags=_sorted(flags))


async def _named(table: Table, task: TableTask, judge: TableJudge, flags: set[str]) -> Table:
    free = [column for column in dict.fromkeys(table.columns) if column not in task.required]
    open_names = [column for column in task.required if column not in table.columns]
    mapping = await judge.map_columns(free, open_names) if free and open_names else {}
    names = [column if column in task.required else mapping.get(column, "") for column in table.columns]
    places = {name: names.index(name) for name in task.required if name in names}
    flags |= {"extra_columns"} if len(places) < len(names) else set()
    flags |= {"missing_columns"} if len(places) < len(task.required) else set()
    return Table(list(places), [[row[place] for place in places.values()] for row in table.rows])


def _cleaned(table: Table, task: TableTask) -> list[Record]:
    return [{name: clean(row.get(name, "")) for name in task.required} for row in table.records() if any(row.values())]


def _first_by_key(records: list[Record], task: TableTask, flags: set[str]) -> list[Record]:
    first: dict[tuple[str, ...], Record] = {}
    for record in records:
        first.setdefault(_key(record, task), record)
    flags |= {"duplicate_gold_keys"} if len(first) < len(records) else set()
    return list(first.values())


def _unrepeated(records: list[Record], task: TableTask, flags: set[str]) -> list[Record]:
    different = list({tuple(record.values()): record for record in records}.values())
    flags |= {"duplicate_keys"} if len({_key(record, task) for record in different}) < len(different) else set()
    return different


async def _joined(
    answers: list[Record],
    golds: list[Record],
    task: TableTask,
    *,
    judge: TableJudge,
    dates: DateReader,
    flags: set[str],
) -> list[Pair]:
    prepared = [_prepared(gold, task, dates) for gold in golds]
    aligned = await _aligned(answers, golds, task, judge=judge, dates=dates)
    rows = [_prepared(answer, task, dates) for answer in aligned]
    free: dict[tuple, list[Record]] = {}
    for gold in prepared:
        free.setdefault(_join_key(gold, task), []).append(gold)
    pairs: list[tuple[int, Pair]] = []
    for place in sorted(range(len(rows)), key=lambda place: _key(answers[place], task) != _key(aligned[place], task)):
        same = free.get(_join_key(rows[place], task))
        if same:
            pairs.append((place, Pair(rows[place], same.pop(0))))
            flags |= {"number_form"} if _key(pairs[-1][1].answer, task) != _key(pairs[-1][1].gold, task) else set()
        elif same is not None:
            flags.add("several_rows_for_one_key")
    flags |= set() if pairs else {"no_key_matched"}
    return [pair for _, pair in sorted(pairs, key=lambda one: one[0])]


async def _aligned(
    answers: list[Record], golds: list[Record], task: TableTask, *, judge: TableJudge, dates: DateReader
) -> list[Record]:
    aligned = [dict(answer) for answer in answers]
    for column in (column for column in task.keys if task.rule(column).aligned):
        rule = task.rule(column)
        truths = list(dict.fromkeys(gold[column] for gold in golds))
        known = {join_form(prepare(truth, rule, read_date=dates)) for truth in truths}
        values = dict.fromkeys(answer[column] for answer in answers)
        unknown = [value for value in values if join_form(prepare(value, rule, read_date=dates)) not in known]
        mapping = await judge.align_keys(column, unknown, truths) if unknown and truths else {}
        partner = {value: mapping[value] for value in unknown if mapping.get(value) in truths}
        for row in aligned:
            row[column] = partner.get(row[column], row[column])
    return aligned


async def _cells(
    pairs: list[Pair], task: TableTask, *, judge: TableJudge, dates: DateReader, flags: set[str]
) -> list[list[float]]:
    keys = len(task.keys)
    columns = [await _column(pairs, task, column, judge=judge, dates=dates, flags=flags) for column in task.values]
    return [[1.0] * keys + [column[place] for column in columns] for place in range(len(pairs))]


async def _column(
    pairs: list[Pair], task: TableTask, column: str, *, judge: TableJudge, dates: DateReader, flags: set[str]
) -> list[float]:
    rule = task.rule(column)
    metrics = tuple(dict.fromkeys(rule.metrics)) or ("exact_match",)
    flags |= ({"several_metrics"} if len(metrics) > 1 else set()) | ({"no_metric"} if not rule.metrics else set())
    answers, golds = [pair.answer[column] for pair in pairs], [pair.gold[column] for pair in pairs]
    scores: list[Sequence[float]] = []
    for metric in metrics if pairs else ():
        if metric == "llm_judge":
            scores.append(await _judged(judge, column, answers, golds, criterion=str(rule.criterion or "")))
            continue
        cells = [
            compare(one, gold, metric=metric, criterion=rule.criterion, read_date=dates)
            for one, gold in zip(answers, golds, strict=True)
        ]
        flags |= _flags(cells)
        scores.append([cell.score for cell in cells])
    return [min(cell) for cell in zip(*scores, strict=True)]


async def _judged(
    judge: TableJudge, column: str, answers: list[str], golds: list[str], *, criterion: str
) -> list[float]:
    scores = await judge.judge_column(column, answers, golds, criterion=criterion)
    if len(scores) != len(answers):
        raise JudgeError(f"expected {len(answers)} scores for the column {column}, got {len(scores)}; ask again")
    return [min(max(float(score), 0.0), 1.0) for score in scores]


def _prepared(record: Record, task: TableTask, dates: DateReader) -> Record:
    return {name: prepare(cell, task.rule(name), read_date=dates) for name, cell in record.items()}


def _key(record: Mapping[str, str], task: TableTask) -> tuple[str, ...]:
    return tuple(record[column] for column in task.keys)


def _join_key(record: Mapping[str, str], task: TableTask) -> tuple:
    return tuple(join_form(record[column]) for column in task.keys)


def _flags(cells: Sequence[Cell]) -> set[str]:
    return {cell.flag for cell in cells if cell.flag}


def _sorted(flags: set[str]) -> tuple[str, ...]:
    return tuple(sorted(flags))
