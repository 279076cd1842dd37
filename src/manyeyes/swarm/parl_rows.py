"""Rows of a small table as a model with a small context writes them, and their item-F1.

    C 41                  key, then a number for each column asked for, in that order (C 41,17); a row a line
    D 90

Colons behind the key and further spaces are read over. What is no such row is left out. Of two rows with one key
the first counts, the other's cells are wrong. Keys and values compare exactly, but for case. Key cells are no items, as
they are to WideSearch (`reward.wide_table`): the task names all keys, and repeating them would be worth something.

Report: §5.2 (Item-F1); the format is a choice here, because a table in Markdown costs a small vocabulary twice as much.
"""

import re
from collections.abc import Mapping, Sequence

from manyeyes.reward.table_score import Agreement

ROW = re.compile(r"\s*([A-Za-z]{1,40})[:\s]*(\d[\d,\s]{0,100})")
MOST_LINES = 200
Rows = Mapping[str, Sequence[str]]


def written_rows(rows: Rows) -> str:
    """Rows as an answer.

    Example:
        >>> written_rows({"C": ("4",), "D": ("0", "17")})
        'C 4\\nD 0,17'
    """
    return "\n".join(f"{key} {','.join(values)}" for key, values in rows.items())


def read_rows(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """The rows of an answer, in order; no text raises.

    Example:
        >>> read_rows("Here it is\\nC4\\nD: 0, 17")
        [('C', ('4',)), ('D', ('0', '17'))]
    """
    found = map(ROW.fullmatch, text.splitlines()[:MOST_LINES])
    return [(row[1], tuple(row[2].replace(",", " ").split())) for row in found if row]


def item_agreement(text: str, gold: Rows) -> Agreement:
    """How well the cells of an answer agree with the truth.

    Example:
        >>> item_agreement("C4\\nD9", {"C": ("4",), "D": ("0",)}).f1
        0.5
    """
    true = {_plain(key): [_plain(value) for value in values] for key, values in gold.items()}
    answered, hits, predicted = set[str](), 0, 0
    for key, values in read_rows(text):
        known = _plain(key)
        predicted += len(values)
        if known in true and known not in answered:
            hits += sum(_plain(one) == other for one, other in zip(values, true[known], strict=False))
        answered.add(known)
    return Agreement.of(hits, predicted=predicted, true=sum(map(len, true.values())))


def _plain(text: str) -> str:
    return text.casefold()
