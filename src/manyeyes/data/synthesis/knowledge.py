"""Laid-out knowledge about invented things: fact sheets (heading, paragraph, table) and bar charts, exact questions.

The entities and numbers are invented for each page, so an answer can only come from the picture.

Report: App. B.3 (knowledge: academic material with its layout).
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.record import Box, Change, Record, Shown, Turn
from manyeyes.data.synthesis.generator import PRINT, Generator, assistant, between, pick, some, user
from manyeyes.data.synthesis.layout import (
    Bar,
    Item,
    Page,
    Run,
    Stroke,
    advance,
    centred,
    fitting,
    line_height,
    wrapped,
)
from manyeyes.data.synthesis.scene import COLOURS
from manyeyes.data.synthesis.words import LANGUAGES, pseudo_word

SHEETS: frozenset[Change] = PRINT | frozenset[Change](("order",))


class Topic(NamedTuple):
    """What a fact sheet can be about: a kind of thing and its measures with units and ranges."""

    kind: str
    plural: str
    measures: tuple[tuple[str, str, int, int], ...]


TOPICS = (
    Topic("lake", "lakes", (("depth", "m", 3, 99), ("area", "km2", 10, 999), ("islands", "", 0, 20))),
    Topic("mountain", "mountains", (("height", "m", 300, 8900), ("climbers", "", 2, 99), ("slope", "deg", 10, 60))),
    Topic("city", "cities", (("people", "k", 10, 990), ("parks", "", 1, 40), ("schools", "", 1, 90))),
    Topic("planet", "planets", (("moons", "", 0, 30), ("day", "h", 5, 90), ("mass", "t", 100, 999))),
    Topic("bird", "birds", (("wing", "cm", 8, 99), ("eggs", "", 1, 9), ("speed", "km/h", 20, 90))),
    Topic("metal", "metals", (("density", "g/l", 200, 990), ("melts at", "K", 200, 990), ("price", "$", 1, 99))),
)


class FactSheet(NamedTuple):
    """A table of invented facts, and questions on it."""

    title: str
    topic: Topic
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    """Names and one value for each measure that is shown."""
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class FactSheets(Generator[FactSheet]):
    """Pages with a heading, a paragraph and a table; look-ups, comparisons and sums.

    Attributes:
        rows: fewest and most rows of the table.
        measures: fewest and most columns of numbers.
        paragraph: print a sentence above the table (needs about 200 pixels of width).
        questions: turns a record; one in a test split.
    """

    width: int = 208
    height: int = 208
    rows: tuple[int, int] = (3, 5)
    measures: tuple[int, int] = (1, 2)
    paragraph: bool = True
    font_size: int = 14
    questions: int = 3
    name: str = "synthetic/knowledge/fact_sheets"
    kind: ClassVar[str] = "knowledge"

    def __post_init__(self) -> None:
        super().__post_init__()
        needed = (self.rows[1] + 2 + 3 * self.paragraph) * line_height(self.font_size) + 12
        if self.height < needed:
            raise ConfigError(f"{self.name}: {self.rows[1]} rows need a height of {needed} pixels, got {self.height}")
        if not 1 <= self.measures[0] <= self.measures[1] <= min(3, (self.width - 10) // 50):
            raise ConfigError(f"{self.name}: 1 to 3 measures, 50 pixels of width for each; got {self.measures}")

    def _draw(self, rng: np.random.Generator) -> FactSheet:
        topic = pick(rng, TOPICS)
        shown = topic._replace(measures=topic.measures[: between(rng, *self.measures)])
        names: list[str] = []
        for _ in range(between(rng, *self.rows)):
            name = pseudo_word(rng, LANGUAGES["en"], 5).capitalize()
            names += [name] if name not in names else []
        rows = tuple((n, tuple(between(rng, low, high) for _, _, low, high in shown.measures)) for n in names)
        title = f"{topic.plural.capitalize()} of {pseudo_word(rng, LANGUAGES['en'], 6).capitalize()}"
        if advance(title, 10, "bold") > self.width - 10:
            title = topic.plural.capitalize()
        asked = 1 if self.split == "test" else self.questions
        return FactSheet(title, shown, rows, tuple(some(rng, _facts(title, shown, rows), asked)))

    def _content(self, plan: FactSheet) -> str:
        return repr(plan[:3])

    def _write(self, plan: FactSheet, name: str) -> Record:
        return _asked(name, self._page(plan), plan.questions)

    def _page(self, plan: FactSheet) -> Page:
        size, step, margin = self.font_size, line_height(self.font_size), 5
        room = self.width - 2 * margin
        items: list[Item] = [
            Run(plan.title, margin, 3, fitting(plan.title, room, largest=size + 1, face="bold"), "bold")
        ]
        y = 5 + step
        if self.paragraph:
            text = f"This page lists {len(plan.rows)} {plan.topic.plural}. {plan.rows[0][0]} comes first."
            for line in wrapped(text, room, size - 2, "serif"):
                items.append(Run(line, margin, y, size - 2, "serif"))
                y += line_height(size - 2)
            y += 4
        return Page(self.width, self.height, (*items, *self._table(plan, margin, y)), (253, 252, 248))

    def _table(self, plan: FactSheet, margin: int, top: int) -> list[Item]:
        size, step, grey = self.font_size - 1, line_height(self.font_size), (150, 150, 150)
        columns = [min(advance("Wwwww ", size, "sans"), 0.5 * (self.width - 2 * margin))]
        columns += [(self.width - 2 * margin - columns[0]) / len(plan.topic.measures)] * len(plan.topic.measures)
        heads = ["name", *(_head(measure, columns[1] - 6, size) for measure in plan.topic.measures)]
        table = [heads, *([name, *map(str, values)] for name, values in plan.rows)]
        items: list[Item] = [Bar(Box(margin, top, self.width - margin, top + step), fill=(225, 232, 240))]
        for r, cells in enumerate(table):
            x, y = float(margin), top + r * step
            for c, (cell, width) in enumerate(zip(cells, columns, strict=True)):
                fitted = fitting(cell, width - 6, largest=size, face="sans")
                items.append(Run(cell, round(x) + 3, y + 1, fitted, "bold" if r == 0 and c else "sans"))
                x += width
            items.append(Stroke(((margin, y + step), (self.width - margin, y + step)), grey))
        return items


def _head(measure: tuple[str, str, int, int], width: float, size: int) -> str:
    """The head of a column: with its unit where there is room."""
    what, unit, _, _ = measure
    full = f"{what} ({unit})" if unit else what
    return full if advance(full, size, "bold") <= width else what


def _asked(name: str, page: Page, questions: tuple[tuple[str, str], ...]) -> Record:
    turns: list[Turn] = []
    for i, (ask, answer) in enumerate(questions):
        turns += [user(*(() if i else (Shown(0),)), ask), assistant(answer)]
    return Record(name, tuple(turns), (page.picture,), allowed=SHEETS, truth=questions[-1][1])


def _facts(title: str, topic: Topic, rows: tuple[tuple[str, tuple[int, ...]], ...]) -> list[tuple[str, str]]:
    """Every question on a table that has one right answer."""
    questions = [("What is the title?", title), (f"How many {topic.plural} are listed?", str(len(rows)))]
    for m, (what, _, _, _) in enumerate(topic.measures):
        values = [values[m] for _, values in rows]
        questions += [(f"{name}: {what}?", str(v)) for (name, _), v in zip(rows, values, strict=True)]
        for word, extreme in (("largest", max(values)), ("smallest", min(values))):
            if values.count(extreme) == 1:
                questions.append(
                    (f"Which {topic.kind} has the {word} value of {what}?", rows[values.index(extreme)][0])
                )
        if len(rows) > 1:
            (one, first), (other, second) = (rows[0][0], values[0]), (rows[-1][0], values[-1])
            questions.append((f"{what}: how far apart are {one} and {other}?", str(abs(first - second))))
    return questions


class Chart(NamedTuple):
    """Bars with names and heights."""

    names: tuple[str, ...]
    values: tuple[int, ...]
    colours: tuple[str, ...]
    labelled: bool
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class BarCharts(Generator[Chart]):
    """Bar charts with a scale from 0 to `top`: reading a bar, the highest, the lowest, differences, sums.

    Attributes:
        bars: fewest and most bars.
        top: the highest value of the scale; every whole number gets a grid line up to 10.
        questions: turns a record; one in a test split.
    """

    width: int = 112
    height: int = 96
    bars: tuple[int, int] = (2, 4)
    top: int = 9
    questions: int = 3
    name: str = "synthetic/knowledge/bar_charts"
    kind: ClassVar[str] = "knowledge"

    def _draw(self, rng: np.random.Generator) -> Chart:
        count = between(rng, *self.bars)
        names = tuple(sorted(some(rng, "ABCDEFGHKLMNPRSTUXYZ", count)))
        values = tuple(between(rng, 1, self.top) for _ in names)
        colours = tuple(some(rng, tuple(COLOURS), count))
        asked = 1 if self.split == "test" else self.questions
        return Chart(names, values, colours, rng.random() < 0.5, tuple(some(rng, _chart_facts(names, values), asked)))

    def _content(self, plan: Chart) -> str:
        return repr(plan[:3])

    def _write(self, plan: Chart, name: str) -> Record:
        return _asked(name, self._page(plan), plan.questions)

    def _page(self, plan: Chart) -> Page:
        size = 12
        left, right, low, high = 20, self.width - 4, self.height - 17, 10
        every = next(step for step in (1, 2, 5, 10, 20, 50, self.top) if step * (low - high) >= 11 * self.top)
        items: list[Item] = []
        for value in range(0, self.top + 1, max(self.top // 10, 1)):
            y = low - (low - high) * value / self.top
            items.append(Stroke(((left, y), (right, y)), (205, 205, 205)))
            if value % every:
                continue
            items.append(centred(str(value), Box(0, y - 6, left - 2, y + 6), size=10))
        pitch = (right - left) / len(plan.names)
        for i, (name, value, colour) in enumerate(zip(plan.names, plan.values, plan.colours, strict=True)):
            x0, x1 = left + pitch * (i + 0.2), left + pitch * (i + 0.8)
            y = low - (low - high) * value / self.top
            items.append(Bar(Box(round(x0), round(y), round(x1), low), fill=COLOURS[colour]))
            items.append(centred(name, Box(x0, low + 2, x1, self.height - 1), size=size))
            if plan.labelled:
                items.append(centred(str(value), Box(x0, y - 11, x1, y - 1), size=11))
        items.append(Stroke(((left, high), (left, low), (right, low))))
        return Page(self.width, self.height, tuple(items))


def _chart_facts(names: tuple[str, ...], values: tuple[int, ...]) -> list[tuple[str, str]]:
    questions = [(f"What is the value of {n}?", str(v)) for n, v in zip(names, values, strict=True)]
    questions.append(("How many bars are there?", str(len(names))))
    questions.append(("What is the sum of all bars?", str(sum(values))))
    questions.append((f"How far apart are {names[0]} and {names[-1]}?", str(abs(values[0] - values[-1]))))
    for word, extreme in (("highest", max(values)), ("lowest", min(values))):
        if values.count(extreme) == 1:
            questions.append((f"Which bar is the {word}?", names[values.index(extreme)]))
    return questions
