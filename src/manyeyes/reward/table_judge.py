"""`TableJudge`: the three questions about a table that need understanding, and two who answer them.

    map_columns     which column of the answer is which required one
    align_keys      which name in the answer is which name in the gold table ("USA" is "United States")
    judge_column    is each cell right, by a criterion in words

`ExactJudge` compares texts and needs no model; `PromptedJudge` asks one. Its prompts are ours: numbers of a published
table need the judge and the prompts it was made with.

Report: §5.2 (WideSearch); Wong et al., "WideSearch: Benchmarking Agentic Broad Info-Seeking", 2025.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from manyeyes.reward.judge import Ask, ask_until_read


class TableJudge(Protocol):
    """Whoever decides what rules cannot. Raises `JudgeError` where no verdict could be had."""

    async def map_columns(self, columns: Sequence[str], required: Sequence[str]) -> Mapping[str, str]:
        """Column of the answer to required column; what is left out has no partner."""
        ...

    async def align_keys(self, column: str, answers: Sequence[str], golds: Sequence[str]) -> Mapping[str, str]:
        """Value of the answer to value of the gold table; what is left out stays as it is."""
        ...

    async def judge_column(
        self, column: str, answers: Sequence[str], golds: Sequence[str], *, criterion: str
    ) -> Sequence[float]:
        """From 0 (wrong) to 1 (right) for every pair of cells, in order."""
        ...


class ExactJudge:
    """Texts are the same after Unicode NFKC, without case and blanks; deterministic, for tests and demos.

    Example:
        >>> import asyncio
        >>> asyncio.run(ExactJudge().align_keys("city", ["new  york", "Rome"], ["New York", "Oslo"]))
        {'new  york': 'New York'}
    """

    async def map_columns(self, columns: Sequence[str], required: Sequence[str]) -> dict[str, str]:
        """See `TableJudge.map_columns`; punctuation does not count, so that `founded_in` is `Founded in`."""
        names = {_letters(name): name for name in reversed(required)}
        return {column: names[_letters(column)] for column in columns if _letters(column) in names}

    async def align_keys(self, column: str, answers: Sequence[str], golds: Sequence[str]) -> dict[str, str]:
        """See `TableJudge.align_keys`."""
        values = {_plain(gold): gold for gold in reversed(golds)}
        return {answer: values[_plain(answer)] for answer in answers if _plain(answer) in values}

    async def judge_column(
        self, column: str, answers: Sequence[str], golds: Sequence[str], *, criterion: str
    ) -> list[float]:
        """See `TableJudge.judge_column`; the criterion is not read."""
        return [float(_plain(answer) == _plain(gold)) for answer, gold in zip(answers, golds, strict=True)]


class PromptedJudge:
    """Asks a language model; one prompt for each question."""

    def __init__(self, ask: Ask, *, attempts: int = 2) -> None:
        self._ask, self._attempts = ask, attempts

    async def map_columns(self, columns: Sequence[str], required: Sequence[str]) -> dict[str, str]:
        """See `TableJudge.map_columns`."""
        return await self._mapping("column names", columns, required)

    async def align_keys(self, column: str, answers: Sequence[str], golds: Sequence[str]) -> dict[str, str]:
        """See `TableJudge.align_keys`."""
        return await self._mapping(f"values of the column {column}", answers, golds)

    async def judge_column(
        self, column: str, answers: Sequence[str], golds: Sequence[str], *, criterion: str
    ) -> list[float]:
        """See `TableJudge.judge_column`; a pair that the reply leaves out is wrong."""
        pairs = [{"idx": i, "response": a, "correct": g} for i, (a, g) in enumerate(zip(answers, golds, strict=True))]
        prompt = _JUDGE_PROMPT.format(column=column, criterion=criterion, pairs=_json(pairs))
        found = await ask_until_read(
            self._ask, prompt, read_object, what=f"scores for the column {column}", attempts=self._attempts
        )
        return [_score(found.get(str(index), found.get(f"idx_{index}"))) for index in range(len(pairs))]

    async def _mapping(self, what: str, answers: Sequence[str], golds: Sequence[str]) -> dict[str, str]:
        prompt = _ALIGN_PROMPT.format(what=what, answers=_json(list(answers)), golds=_json(list(golds)))
        found = await ask_until_read(self._ask, prompt, read_object, what=f"pairs of {what}", attempts=self._attempts)
        return {str(answer): gold for answer, gold in found.items() if isinstance(gold, str)}


def read_object(reply: str) -> dict[str, object] | None:
    """The last JSON object in a reply, fenced or not; None where there is none.

    Example:
        >>> read_object('They agree: ```json {"0": 1} ```')
        {'0': 1}
    """
    return next(_objects(reply), None)


def _objects(reply: str) -> Iterator[dict[str, object]]:
    for end in reversed([match.end() for match in re.finditer("}", reply)][-8:]):
        for start in [match.start() for match in re.finditer("{", reply[:end])][:8]:
            try:
                found = json.loads(reply[start:end])
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found


def _score(value: object) -> float:
    return min(1.0, max(0.0, value)) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False)


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, _plain(text))) or _plain(text)


_ALIGN_PROMPT = """\
Two lists of {what} follow. Find for each entry of list A the entry of list B that names the same thing, whatever the \
spelling, language, abbreviation or formatting. Leave out an entry of A that has no partner; never pair by position, \
and never pair two things that are merely alike.

A: {answers}
B: {golds}

Reply with one JSON object from entries of A to entries of B, both exactly as written above:
```json
{{"entry of A": "entry of B"}}
```"""

_JUDGE_PROMPT = """\
Grade one column, {column}, of a table. Each pair below holds a response and the correct value.

Criterion: {criterion}

Pairs: {pairs}

Consider each pair by itself and by the criterion alone. Then reply with one JSON object from every idx to 1 (right) \
or 0 (wrong):
```json
{{"0": 1, "1": 0}}
```"""
