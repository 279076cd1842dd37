"""Screens of invented applications: widgets in desktop, web and mobile layouts, every element with its exact box.

A `Screen` is an `App` (what it offers) in a `State` (what has been typed, ticked, scrolled and pressed). Its `elements`
are placed without drawing; `tapped`, `typed` and `scrolled` give the state after an action.

Report: App. B.3 (agent data: GUI screenshots of desktop, mobile and web).
"""

from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from manyeyes.core.picture import Picture
from manyeyes.data.record import Box
from manyeyes.data.synthesis.generator import between, pick, some
from manyeyes.data.synthesis.layout import Bar, Disc, Ink, Item, Page, Run, Stroke, advance, centred, drawn, fitting
from manyeyes.data.synthesis.words import LANGUAGES

Style = Literal["desktop", "web", "mobile"]
RowKind = Literal["field", "tick", "link"]
ROW, BAR, SIZE = 22, 20, 13
"""Heights of a row and a bar, and the font size: pixels."""
GREY, DARK, ACCENT = (228, 228, 232), (60, 64, 72), (40, 90, 200)
NOTICE: Ink = (0, 110, 50)
"""Ground of the bar that covers the title after something was pressed."""

FIELDS = ("Name", "City", "Mail", "Date", "Code", "Phone", "Title", "Note")
TICKS = ("Sound", "Wifi", "Alarm", "Sync", "Night", "Photos", "Backup", "Tips")
BUTTONS = ("Save", "Send", "Open", "Print", "Copy", "Edit", "Undo", "Help", "Next", "Back", "Share", "Add")
MENUS = ("File", "View", "Tools", "Home", "News", "Shop", "Chats", "Maps")
TITLES = ("Notes", "Mail", "Music", "Clock", "Travel", "Bank", "Photos", "Tasks", "Books", "Health")
WORDS = tuple(word for word in LANGUAGES["en"].words if 3 <= len(word) <= 6)


class Row(NamedTuple):
    """A line of the screen's body: a text field, a tick box, or a link that opens something."""

    kind: RowKind
    label: str


class App(NamedTuple):
    """What a screen offers, whatever its state."""

    style: Style
    title: str
    menus: tuple[str, ...]
    rows: tuple[Row, ...]
    buttons: tuple[str, ...]
    accent: Ink


class State(NamedTuple):
    """What has been done: typed texts, ticked boxes, first visible row, the field in focus, and the last notice."""

    texts: tuple[tuple[str, str], ...] = ()
    ticked: frozenset[str] = frozenset()
    first: int = 0
    focus: str | None = None
    notice: str = ""

    def text(self, label: str) -> str:
        """What stands in a field."""
        return dict(self.texts).get(label, "")


class Element(NamedTuple):
    """Something on the screen that can be pressed."""

    kind: str
    label: str
    box: Box

    @property
    def spoken(self) -> str:
        """How a question names it: 'the button "Save"'."""
        return f'the {"tick box" if self.kind == "tick" else self.kind} "{self.label}"'


def app(rng: np.random.Generator, style: Style, *, rows: tuple[int, int], width: int) -> App:
    """An invented application with `rows[0]` to `rows[1]` rows; menus and buttons as many as fit the width."""
    count = between(rng, *rows)
    labels: dict[RowKind, list[str]] = {
        "field": some(rng, FIELDS, len(FIELDS)),
        "tick": some(rng, TICKS, len(TICKS)),
        "link": some(rng, tuple(word.capitalize() for word in WORDS), count),
    }
    kinds: tuple[RowKind, ...] = ("field", "tick", "link")
    body = []
    for _ in range(count):
        kind = pick(rng, kinds)
        body.append(Row(kind, labels[kind].pop()) if labels[kind] else Row("link", labels["link"].pop()))
    most = max(width // 56, 1)
    accent = pick(rng, (ACCENT, (20, 120, 80), (150, 40, 60), (90, 60, 160), DARK))
    menus = some(rng, MENUS, between(rng, 1, min(most, 3)))
    buttons = some(rng, BUTTONS, between(rng, 1, min(most, 2)))
    return App(style, pick(rng, TITLES), tuple(menus), tuple(body), tuple(buttons), accent)


class Screen(NamedTuple):
    """An application in a state, on a screen of some size.

    Example:
        >>> made = App("web", "Mail", ("Home",), (Row("link", "Bear"),), ("Send",), (0, 0, 0))
        >>> shown = Screen(made, State(), 112, 112)
        >>> [element.label for element in shown.elements]
        ['Home', 'Bear', 'Send']
    """

    app: App
    state: State
    width: int
    height: int

    @property
    def picture(self) -> Picture:
        """The lazy picture."""
        return Picture.lazy(self.width, self.height, partial(_pixels, self))

    @property
    def body(self) -> Box:
        """Where rows are."""
        heads = {"desktop": 2, "web": 2, "mobile": 1}[self.app.style]
        feet = {"desktop": 1, "web": 1, "mobile": 2}[self.app.style]
        return Box(0, heads * BAR, self.width, self.height - feet * (BAR + 4))

    @property
    def capacity(self) -> int:
        """Rows that are visible at once."""
        return max(int(self.body.y1 - self.body.y0) // ROW, 1)

    @property
    def visible(self) -> tuple[Row, ...]:
        """The rows that are on the screen."""
        return self.app.rows[self.state.first : self.state.first + self.capacity]

    @property
    def elements(self) -> tuple[Element, ...]:
        """Everything that can be pressed, with its box."""
        return (*self._menus(), *self._rows(), *self._buttons())

    def find(self, kind: str, label: str) -> Element | None:
        """The element with this kind and label, None when it is scrolled away."""
        return next((e for e in self.elements if (e.kind, e.label) == (kind, label)), None)

    def _menus(self) -> list[Element]:
        top = self.height - BAR if self.app.style == "mobile" else BAR
        if self.app.style == "mobile":
            pitch = self.width / len(self.app.menus)
            boxes = [Box(round(i * pitch), top, round((i + 1) * pitch), top + BAR) for i in range(len(self.app.menus))]
        else:
            lefts = [4.0]
            for menu in self.app.menus:
                lefts.append(lefts[-1] + round(advance(menu, SIZE, "sans")) + 10)
            boxes = [Box(x0, top, x1, top + BAR) for x0, x1 in zip(lefts, lefts[1:], strict=False)]
        kind = "tab" if self.app.style == "mobile" else "menu"
        return [Element(kind, menu, box) for menu, box in zip(self.app.menus, boxes, strict=True)]

    def _rows(self) -> list[Element]:
        elements = []
        for i, row in enumerate(self.visible):
            y = self.body.y0 + i * ROW
            label = round(advance(row.label, SIZE, "sans"))
            if row.kind == "field":
                box = Box(max(label + 10, round(0.4 * self.width)), y + 2, self.width - 6, y + ROW - 2)
            elif row.kind == "tick":
                box = Box(6, y + 4, 6 + ROW - 8, y + ROW - 4)
            else:
                box = Box(4, y + 1, min(label + 12, self.width - 4), y + ROW - 1)
            elements.append(Element(row.kind, row.label, box))
        return elements

    def _buttons(self) -> list[Element]:
        y = self.body.y1 + 2
        elements, right = [], self.width - 6
        for label in self.app.buttons:
            wide = round(advance(label, SIZE, "sans")) + 14
            elements.append(Element("button", label, Box(right - wide, y, right, y + BAR)))
            right -= wide + 6
        return elements

    def page(self) -> Page:
        """All that is drawn."""
        items = [*self._head()]
        for element in self.elements:
            items += self._drawn(element)
        if len(self.app.rows) > self.capacity:
            items += self._scrollbar()
        return Page(self.width, self.height, tuple(items), (250, 250, 252))

    def _head(self) -> list[Item]:
        w, white = self.width, (255, 255, 255)
        if self.state.notice:
            return [Bar(Box(0, 0, w, BAR), fill=NOTICE), _fit(self.state.notice, Box(6, 0, w - 4, BAR), white)]
        if self.app.style == "web":
            address = _fit(f"{self.app.title.lower()}.com", Box(28, 0, w - 8, BAR), DARK)
            frame = Bar(Box(22, 3, w - 4, BAR - 3), white, DARK, 6)
            return [Bar(Box(0, 0, w, BAR), fill=GREY), frame, address, Disc(Box(5, 4, 17, 16), None, DARK)]
        title = _fit(self.app.title, Box(6, 0, w - 24, BAR), white, face="bold")
        cross = [Stroke(((w - 14, 6), (w - 6, 14)), white), Stroke(((w - 6, 6), (w - 14, 14)), white)]
        return [Bar(Box(0, 0, w, BAR), fill=self.app.accent), title, *(cross if self.app.style == "desktop" else [])]

    def _drawn(self, element: Element) -> list[Item]:
        kind, label, box = element
        if kind == "button":
            return [Bar(box, GREY, DARK, 4), centred(label, box, size=SIZE)]
        if kind in ("menu", "tab"):
            return [Bar(box, GREY), centred(label, box, size=SIZE, ink=DARK)]
        if kind == "link":
            return [Run(label, int(box.x0) + 4, int(box.y0) + 1, SIZE, ink=ACCENT), _underline(box)]
        y = int(box.y0)
        if kind == "tick":
            mark = Stroke(((box.x0 + 3, y + 7), (box.x0 + 6, y + 10), (box.x0 + 11, y + 3)), ACCENT, 2)
            name = Run(label, int(box.x1) + 6, y - 3, SIZE)
            return [Bar(box, (255, 255, 255), DARK), name, *([mark] if label in self.state.ticked else [])]
        edge = ACCENT if self.state.focus == label else DARK
        text = self.state.text(label)
        inner = Box(box.x0 + 4, box.y0, box.x1 - 2, box.y1)
        typed = [_fit(text, inner, (0, 0, 0))] if text else []
        return [Run(label, 6, y, SIZE), Bar(box, (255, 255, 255), edge), *typed]

    def _scrollbar(self) -> list[Item]:
        x0, y0, y1 = self.width - 4, self.body.y0, self.body.y0 + self.capacity * ROW
        share = (y1 - y0) / len(self.app.rows)
        top = y0 + share * self.state.first
        thumb = Box(x0, round(top), self.width, round(top + share * self.capacity))
        return [Bar(Box(x0, y0, self.width, y1), GREY), Bar(thumb, DARK)]


def _pixels(screen: Screen):
    return drawn(screen.page())


def _fit(text: str, box: Box, ink: Ink, *, face: str = "sans") -> Run:
    """Text at the left of a box, in its middle line, small enough to stay inside."""
    size = fitting(text, box.x1 - box.x0, largest=SIZE, face=face)
    return centred(text, box, size=size, face=face, ink=ink)._replace(x=round(box.x0))


def _underline(box: Box) -> Stroke:
    return Stroke(((box.x0 + 4, box.y1 - 2), (box.x1 - 8, box.y1 - 2)), ACCENT)


def tapped(screen: Screen, element: Element) -> State:
    """The state after a press on an element."""
    state, label = screen.state, element.label
    if element.kind == "field":
        return state._replace(focus=label, notice="")
    if element.kind == "tick":
        return state._replace(ticked=state.ticked ^ {label}, focus=None, notice="")
    words = {"button": "Done", "link": "Opened", "menu": "Menu", "tab": "Tab"}
    return state._replace(focus=None, notice=f"{words[element.kind]}: {label}")


def typed(state: State, text: str) -> State:
    """The state after typing into the field in focus."""
    if state.focus is None:
        return state
    return state._replace(texts=tuple(sorted({**dict(state.texts), state.focus: text}.items())))


def scrolled(screen: Screen, way: Literal["up", "down"]) -> State:
    """The state after scrolling by one row less than the screen holds."""
    step = max(screen.capacity - 1, 1) * (1 if way == "down" else -1)
    last = max(len(screen.app.rows) - screen.capacity, 0)
    return screen.state._replace(first=min(max(screen.state.first + step, 0), last))
