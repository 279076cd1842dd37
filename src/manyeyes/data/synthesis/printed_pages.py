"""Dense printed pages: titles and columns of text in one language a page, one page or several, to be read or searched.

Reading order is title first, then column by column from the left. Words are drawn at random from the language's
vocabulary: nothing can be guessed from the words before.

Report: App. B.3 (OCR: dense layouts, multi-page documents, several languages).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.record import Record, Shown
from manyeyes.data.synthesis.generator import PRINT, Generator, assistant, between, document, pick, user
from manyeyes.data.synthesis.layout import Item, Page, Run, Stroke, advance, line_height, wrapped
from manyeyes.data.synthesis.words import ALPHABETIC, LANGUAGES, sentence


class Sheet(NamedTuple):
    """The text of one page, as laid out."""

    title: str
    columns: tuple[tuple[str, ...], ...]
    """Lines of each column, from left to right."""
    face: str
    font_size: int
    language: str

    @property
    def text(self) -> str:
        """The whole page in reading order; lines of a column are joined."""
        joint = LANGUAGES[self.language].joint
        return "\n".join((self.title, *(joint.join(lines) for lines in self.columns)))

    @property
    def words(self) -> frozenset[str]:
        """The words below the title, without capitals and stops."""
        return frozenset(word.strip(".。").lower() for lines in self.columns for line in lines for word in line.split())


class Reading(NamedTuple):
    """Pages, a question about them, and its answer."""

    sheets: tuple[Sheet, ...]
    ask: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class PrintedPages(Generator[Reading]):
    """Pages to read.

    Attributes:
        pages: fewest and most pages of a record, each a picture.
        columns: fewest and most columns of a page.
        font_sizes: smallest and largest font size in pixels.
        languages: keys of `words.LANGUAGES`.
        form: "question", or "document": the pages, then all their text.
    """

    width: int = 224
    height: int = 288
    pages: tuple[int, int] = (1, 1)
    columns: tuple[int, int] = (1, 2)
    font_sizes: tuple[int, int] = (13, 17)
    languages: tuple[str, ...] = ALPHABETIC
    form: Literal["question", "document"] = "question"
    name: str = "synthetic/ocr/pages"
    kind: ClassVar[str] = "ocr"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not set(self.languages) <= set(LANGUAGES):
            raise ConfigError(f"{self.name}: languages are {', '.join(LANGUAGES)}; got {self.languages}")
        if self.height < 4 * line_height(self.font_sizes[1]):
            raise ConfigError(f"{self.name}: {self.height} pixels have no room for a title and three lines")

    def _draw(self, rng: np.random.Generator) -> Reading:
        sheets = tuple(self._sheet(rng) for _ in range(between(rng, *self.pages)))
        number = between(rng, 1, len(sheets))
        return Reading(sheets, *_asked(rng, sheets, number))

    def _sheet(self, rng: np.random.Generator) -> Sheet:
        code = pick(rng, self.languages)
        face, size = pick(rng, LANGUAGES[code].faces), between(rng, *self.font_sizes)
        count = between(rng, *self.columns)
        while (columns := self._columns(rng, code, face, size, count)) is None:
            count, size = max(count - 1, 1), size - (count == 1)  # a word was wider than its column
        words = sentence(rng, LANGUAGES[code], 3)[:-1]
        title = wrapped(words, self.width - 2 * MARGIN, size + 2, face, LANGUAGES[code].joint)[0]
        return Sheet(title, columns, face, size, code)

    def _columns(
        self, rng: np.random.Generator, code: str, face: str, size: int, count: int
    ) -> tuple[tuple[str, ...], ...] | None:
        language, width = LANGUAGES[code], self._column_width(count)
        rows = (self.height - 2 * MARGIN - line_height(size + 2) - 4) // line_height(size)
        columns = []
        for _ in range(count):
            text, lines = "", ()
            wanted = between(rng, max(rows * 2 // 3, 1), rows)
            while len(lines) < wanted:
                text = language.joint.join(part for part in (text, sentence(rng, language, between(rng, 4, 9))) if part)
                lines = wrapped(text, width, size, face, language.joint)
            columns.append(lines[:wanted])
        fits = all(advance(line, size, face) <= width for lines in columns for line in lines)
        return tuple(columns) if fits else None

    def _column_width(self, count: int) -> int:
        return (self.width - 2 * MARGIN - (count - 1) * GUTTER) // count

    def _content(self, plan: Reading) -> str:
        return repr([sheet.text for sheet in plan.sheets])

    def _write(self, plan: Reading, name: str) -> Record:
        pages = tuple(self._page(sheet).picture for sheet in plan.sheets)
        shown = [Shown(i) for i in range(len(pages))]
        if self.form == "document":
            text = "\n".join(sheet.text for sheet in plan.sheets)
            return Record(name, document(*shown, text), pages, allowed=PRINT)
        turns = user(*shown, plan.ask), assistant(plan.answer)
        return Record(name, turns, pages, allowed=PRINT, truth=plan.answer)

    def _page(self, sheet: Sheet) -> Page:
        size, step = sheet.font_size, line_height(sheet.font_size)
        top = MARGIN + line_height(size + 2)
        items: list[Item] = [Run(sheet.title, MARGIN, MARGIN - 1, size + 2, sheet.face)]
        items.append(Stroke(((MARGIN, top), (self.width - MARGIN, top)), (120, 120, 120)))
        width = self._column_width(len(sheet.columns))
        for c, lines in enumerate(sheet.columns):
            x = MARGIN + c * (width + GUTTER)
            items += [Run(line, x, top + 4 + row * step, size, sheet.face) for row, line in enumerate(lines)]
        return Page(self.width, self.height, tuple(items), (252, 251, 247))


MARGIN = 6
GUTTER = 10
_COLUMN_NAMES = {1: ("",), 2: ("left", "right"), 3: ("left", "middle", "right")}


def _asked(rng: np.random.Generator, sheets: tuple[Sheet, ...], number: int) -> tuple[str, str]:
    """A question about page `number` (from 1) and its answer."""
    sheet, many = sheets[number - 1], len(sheets) > 1
    of_page = f" of page {number}" if many else ""
    wanted = pick(rng, ("title", "all", "column", "first line", "last line", "find"))
    if wanted == "find" and many and (word := _only_here(rng, sheets, number)):
        return f'Which page has the word "{word}"?', str(number)
    column = between(rng, 0, len(sheet.columns) - 1)
    which = (_COLUMN_NAMES.get(len(sheet.columns)) or [f"number {i + 1}" for i in range(len(sheet.columns))])[column]
    of_column = f" of the {which} column" if which else ""
    if wanted == "title":
        return f"What is the title{of_page}?", sheet.title
    if wanted == "all":
        return f"Read page {number}." if many else "Read the page.", sheet.text
    if wanted == "column":
        ask = f"Read the {which} column{of_page}." if which else f"Read the text below the title{of_page}."
        return ask, LANGUAGES[sheet.language].joint.join(sheet.columns[column])
    if wanted == "last line":
        return f"What is the last line{of_column}{of_page}?", sheet.columns[column][-1]
    return f"What is the first line{of_column}{of_page}?", sheet.columns[column][0]


def _only_here(rng: np.random.Generator, sheets: tuple[Sheet, ...], number: int) -> str | None:
    """A word of four letters or more that no other page has."""
    others = frozenset[str]().union(*(sheet.words for i, sheet in enumerate(sheets, 1) if i != number))
    words = sorted(word for word in sheets[number - 1].words - others if len(word) >= 4)
    return pick(rng, words) if words else None
