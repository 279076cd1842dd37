"""Agent data: where to click, what a screen says, and whole traces of actions with a screenshot before each.

    click(0.512, 0.250)   type("soap")   scroll(down)   done()

Coordinates are `Located` points. `truth` of a click is the box of the element, written as coordinates: any point in it
is right. Screens are invented (`screens`), every state is what the actions before it made of it.

Report: App. B.3 (agent: GUI screenshots and action traces on desktop, mobile and web).
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from manyeyes.core.errors import ConfigError
from manyeyes.data.geometry import Size, written
from manyeyes.data.record import Geometry, Located, Piece, Point, Record, Shown, Turn
from manyeyes.data.synthesis.generator import PRINT, Generator, P, assistant, between, pick, some, user
from manyeyes.data.synthesis.perception import Question, pieces_of, said
from manyeyes.data.synthesis.screens import (
    WORDS,
    App,
    Element,
    Screen,
    State,
    Style,
    app,
    scrolled,
    tapped,
    typed,
)


@dataclass(frozen=True, kw_only=True)
class ScreenGenerator(Generator[P]):
    """Screens of one or more styles.

    Attributes:
        width: of the screen, pixels, at least 96.
        height: of the screen, pixels, at least 112.
        styles: "desktop", "web", "mobile".
        rows: fewest and most rows of the body; more than fit are reached by scrolling.
    """

    width: int = 112
    height: int = 128
    styles: tuple[Style, ...] = ("desktop", "web", "mobile")
    rows: tuple[int, int] = (2, 4)
    kind: ClassVar[str] = "agent"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 96 or self.height < 112:
            raise ConfigError(f"{self.name}: a screen needs at least 96x112 pixels, got {self.width}x{self.height}")
        if not self.styles or not set(self.styles) <= {"desktop", "web", "mobile"}:
            raise ConfigError(f"{self.name}: styles are desktop, web and mobile; got {self.styles}")

    def draw_screen(self, rng: np.random.Generator) -> Screen:
        """A screen in a random state."""
        made = app(rng, pick(rng, self.styles), rows=self.rows, width=self.width)
        fields = [row.label for row in made.rows if row.kind == "field"]
        texts = tuple(sorted((label, pick(rng, WORDS)) for label in fields if rng.random() < 0.6))
        ticked = frozenset(row.label for row in made.rows if row.kind == "tick" and rng.random() < 0.5)
        return Screen(made, State(texts=texts, ticked=ticked), self.width, self.height)


class Aim(NamedTuple):
    """A screen and the elements to be clicked on."""

    screen: Screen
    elements: tuple[Element, ...]


@dataclass(frozen=True, kw_only=True)
class ClickTargets(ScreenGenerator[Aim]):
    """Single clicks: "Click on the button "Save"." and its middle.

    Attributes:
        questions: clicks a record; one in a test split.
    """

    questions: int = 2
    name: str = "synthetic/agent/clicks"

    def _draw(self, rng: np.random.Generator) -> Aim:
        screen = self.draw_screen(rng)
        return Aim(screen, tuple(some(rng, screen.elements, 1 if self.split == "test" else self.questions)))

    def _content(self, plan: Aim) -> str:
        return repr((plan.screen.app, plan.screen.state.texts))

    def _write(self, plan: Aim, name: str) -> Record:
        turns: list[Turn] = []
        for i, element in enumerate(plan.elements):
            turns.append(user(*(() if i else (Shown(0),)), f"Click on {element.spoken}."))
            turns.append(assistant("click", Located(i)))
        geometry = tuple(Geometry(middle(element)) for element in plan.elements)
        truth = written(plan.elements[-1].box, Size(self.width, self.height))
        return Record(name, tuple(turns), (plan.screen.picture,), geometry, allowed=PRINT, truth=truth)


def middle(element: Element) -> Point:
    """The point that is clicked."""
    x0, y0, x1, y1 = element.box
    return Point((x0 + x1) / 2, (y0 + y1) / 2)


class Read(NamedTuple):
    """A screen and questions about it."""

    screen: Screen
    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True)
class ScreenReading(ScreenGenerator[Read]):
    """What a screen says: its title, the text of fields, the state of ticks, what is at a point, the box of an element.

    Attributes:
        questions: turns a record; one in a test split.
    """

    questions: int = 3
    name: str = "synthetic/agent/reading"

    def _draw(self, rng: np.random.Generator) -> Read:
        screen = self.draw_screen(rng)
        asked = 1 if self.split == "test" else self.questions
        return Read(screen, tuple(some(rng, _possible(screen), asked)))

    def _content(self, plan: Read) -> str:
        return repr((plan.screen.app, plan.screen.state.texts))

    def _write(self, plan: Read, name: str) -> Record:
        geometry: list[Geometry] = []
        turns: list[Turn] = []
        for i, (ask, answer) in enumerate(plan.questions):
            turns.append(user(*(() if i else (Shown(0),)), *pieces_of(ask, geometry)))
            turns.append(assistant(*pieces_of(answer, geometry)))
        truth = said(plan.questions[-1].answer, Size(self.width, self.height))
        return Record(name, tuple(turns), (plan.screen.picture,), tuple(geometry), allowed=PRINT, truth=truth)


def _possible(screen: Screen) -> list[Question]:
    title = screen.app.title.lower() + ".com" if screen.app.style == "web" else screen.app.title
    questions = [Question(("What is the address?" if screen.app.style == "web" else "What is the title?",), (title,))]
    buttons = ", ".join(reversed(screen.app.buttons))
    questions.append(Question(("Which buttons are there, from the left?",), (buttons,)))
    for element in screen.elements:
        questions.append(Question((f"Give the box of {element.spoken}.",), (element.box,)))
        questions.append(Question(("What is at the point ", middle(element), "?"), (element.spoken,)))
        if element.kind == "field":
            text = screen.state.text(element.label) or "nothing"
            questions.append(Question((f'What stands in the field "{element.label}"?',), (text,)))
        if element.kind == "tick":
            answer = "yes" if element.label in screen.state.ticked else "no"
            questions.append(Question((f"Is {element.label} ticked?",), (answer,)))
    return questions


class Goal(NamedTuple):
    """One thing to reach: an element to press, or a field to fill."""

    kind: str
    label: str
    text: str = ""

    @property
    def wish(self) -> str:
        """In the words of a user."""
        if self.kind == "field":
            return f'type "{self.text}" into {self.label}'
        if self.kind == "tick":
            return f"{self.text} {self.label}"
        return f"open {self.label}" if self.kind in ("link", "menu", "tab") else f"press {self.label}"


class Task(NamedTuple):
    """An application with a fresh state, and what a user wants done there, in order."""

    screen: Screen
    goals: tuple[Goal, ...]


class Step(NamedTuple):
    """A screen, and what is done there: an action in words, with the element where it clicks."""

    screen: Screen
    action: str
    element: Element | None = None


@dataclass(frozen=True, kw_only=True)
class Traces(ScreenGenerator[Task]):
    """Whole tasks: an assistant turn is an action, each further user turn the screenshot after it; the last is done().

    Attributes:
        goals: fewest and most things to do.
    """

    rows: tuple[int, int] = (3, 6)
    goals: tuple[int, int] = (1, 3)
    name: str = "synthetic/agent/traces"

    def _draw(self, rng: np.random.Generator) -> Task:
        screen = self.draw_screen(rng)
        rows = some(rng, screen.app.rows, between(rng, *self.goals) - 1)
        goals = [_goal(rng, screen, row.kind, row.label) for row in rows]
        goals.append(Goal("button", pick(rng, screen.app.buttons)))
        return Task(screen, tuple(goals))

    def _content(self, plan: Task) -> str:
        return repr((plan.screen.app, plan.screen.state.texts))

    def _write(self, plan: Task, name: str) -> Record:
        steps = solve(plan)
        wishes = [goal.wish for goal in plan.goals]
        wish = ", ".join(wishes[:-1]) + (" and " if wishes[1:] else "") + wishes[-1]
        turns: list[Turn] = []
        geometry: list[Geometry] = []
        for i, step in enumerate(steps):
            turns.append(user(Shown(i)) if i else user(f"{wish[0].upper()}{wish[1:]}.", Shown(0)))
            pieces: list[Piece] = [step.action]
            if step.element:
                geometry.append(Geometry(middle(step.element), i))
                pieces = ["click", Located(len(geometry) - 1)]
            turns.append(assistant(*pieces))
        media = tuple(step.screen.picture for step in steps)
        truth = "\n".join(step.action for step in steps)
        return Record(name, tuple(turns), media, tuple(geometry), allowed=PRINT, truth=truth)


def _goal(rng: np.random.Generator, screen: Screen, kind: str, label: str) -> Goal:
    if kind == "field":
        return Goal(kind, label, pick(rng, WORDS))
    return Goal(kind, label, "untick" if label in screen.state.ticked else "tick" if kind == "tick" else "")


def solve(task: Task) -> tuple[Step, ...]:
    """The shortest way through a task: scroll until an element is visible, click it, type where it is a field."""
    steps: list[Step] = []
    screen = task.screen
    for goal in task.goals:
        while (element := screen.find(goal.kind, goal.label)) is None:
            way = "down" if _row(screen.app, goal.label) >= screen.state.first else "up"
            steps.append(Step(screen, f"scroll({way})"))
            screen = screen._replace(state=scrolled(screen, way))
        place = written(middle(element), Size(screen.width, screen.height))
        steps.append(Step(screen, f"click{place}", element))
        screen = screen._replace(state=tapped(screen, element))
        if goal.kind == "field":
            steps.append(Step(screen, f'type("{goal.text}")'))
            screen = screen._replace(state=typed(screen.state, goal.text))
    return (*steps, Step(screen, "done()"))


def _row(app: App, label: str) -> int:
    return [row.label for row in app.rows].index(label)
