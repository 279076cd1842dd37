"""Policies that solve MiniWoB++ pages, written by hand; they read the page's elements, which no model is given.

Each is an async generator: what it yields is the code of one action, and it goes on when that has been done.
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from manyeyes.agent.environments.browser_computer import BrowserComputer
from manyeyes.agent.environments.miniwob import MiniWob
from manyeyes.agent.task import Task
from manyeyes.core.messages import Message, assistant

Moves = AsyncIterator[str]


@dataclass
class Dom:
    """What a policy may look at."""

    computer: BrowserComputer
    said: str

    async def ask(self, expression: str) -> Any:
        return await self.computer.page.evaluate(f"() => {{ {PRELUDE} return {expression}; }}")

    async def at(self, element: str) -> str:
        """The middle of an element (a selector, or an expression of the page), as arguments of a call."""
        found = element if "(" in element else f"one({element!r})"
        x, y = await self.ask(f"middle({found})")
        return f"x={x / self.computer.screen.width:.4f}, y={y / self.computer.screen.height:.4f}"

    async def click(self, element: str) -> str:
        return f"pyautogui.click({await self.at(element)})"

    async def enter(self, element: str, text: str) -> str:
        return f"{await self.click(element)}\npyautogui.write({text!r})"

    @property
    def quoted(self) -> list[str]:
        return re.findall(r'"([^"]*)"', self.said)


PRELUDE = """
const one = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const called = (selector, words) => all(selector).find((element) => element.textContent.trim() === words);
const middle = (element) => {
  const box = element.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
};
"""
SUBMIT = "#area button.secondary-action"


async def press_only_button(dom: Dom) -> Moves:
    yield await dom.click("#area button")


async def press_named_button(dom: Dom) -> Moves:
    yield await dom.click(f'called("#area button", {dom.quoted[0]!r})')


async def press_one_then_two(dom: Dom) -> Moves:
    yield "\n".join([await dom.click("#subbtn"), await dom.click("#subbtn2")])


async def press_button_one_of_two(dom: Dom) -> Moves:
    yield await dom.click('called("#area button", "ONE")')


async def tick_boxes(dom: Dom) -> Moves:
    names = dom.said.removeprefix("Select ").partition(" and click")[0].split(", ")
    for name in [] if names == ["nothing"] else names:
        yield await dom.click(f'called("#area label", {name!r}).querySelector("input")')
    yield await dom.click(SUBMIT)


async def follow_link(dom: Dom) -> Moves:
    yield await dom.click(f'called("#area .alink", {dom.quoted[0]!r})')


async def close_dialog(dom: Dom) -> Moves:
    yield await dom.click(".ui-dialog-titlebar button")


async def press_in_dialog(dom: Dom) -> Moves:
    name = dom.quoted[0]
    yield await dom.click(".ui-dialog-titlebar button" if name == "x"
                          else f'called(".ui-dialog-buttonpane button", {name!r})')  # fmt: skip


async def open_tab(dom: Dom) -> Moves:
    yield await dom.click(f'called("#area ul a", {dom.said.removeprefix("Click on ").rstrip(".")!r})')


async def press_color(dom: Dom) -> Moves:
    color = dom.said.split()[3]
    yield await dom.click(f"#area .color[data-color='{color}']")


async def press_widget(dom: Dom) -> Moves:
    yield await dom.click(f"#area [data-type='{dom.quoted[0]}']")


async def enter_and_submit(dom: Dom) -> Moves:
    yield await dom.enter("#tt", dom.quoted[0])
    yield await dom.click(SUBMIT)


async def enter_password_twice(dom: Dom) -> Moves:
    yield await dom.enter("#password", dom.quoted[0])
    yield await dom.enter("#verify", dom.quoted[0])
    yield await dom.click(SUBMIT)


async def log_in(dom: Dom) -> Moves:
    name, password = dom.quoted
    yield f"{await dom.enter('#username', name)}\npyautogui.press('tab')\npyautogui.write({password!r})"
    yield await dom.click(SUBMIT)


async def focus_first(dom: Dom) -> Moves:
    yield await dom.click("#area input")


async def focus_nth(dom: Dom) -> Moves:
    number = re.findall(r"(\d)(?:st|nd|rd)", dom.said)[0]
    yield await dom.click(f"#tt{number}")


async def expand_and_submit(dom: Dom) -> Moves:
    yield f"{await dom.click('#area h3')}\npyautogui.sleep(1.0)"
    yield await dom.click(SUBMIT)


async def drag_into_box(dom: Dom) -> Moves:
    yield f"pyautogui.moveTo({await dom.at('#draggableSmall')})\n" \
          f"pyautogui.dragTo({await dom.at('#draggableLarge')}, duration=0.5)"  # fmt: skip
    yield await dom.click(SUBMIT)


async def highlight_all(dom: Dom) -> Moves:
    yield f"pyautogui.tripleClick({await dom.at('#randomText')})"
    yield await dom.click(SUBMIT)


async def turn_slider(dom: Dom) -> Moves:
    wanted, now = int(re.findall(r"-?\d+", dom.said)[0]), int(await dom.ask('one("#val").textContent'))
    yield await dom.click("#slider .ui-slider-handle")
    now = int(await dom.ask('one("#val").textContent'))
    while now != wanted:
        key = "right" if wanted > now else "left"
        yield f"pyautogui.press({key!r}, presses={min(50, abs(wanted - now))})"
        now = int(await dom.ask('one("#val").textContent'))
    yield await dom.click(SUBMIT)


async def turn_spinner(dom: Dom) -> Moves:
    wanted = int(re.findall(r"-?\d+", dom.said)[0])
    way = await dom.at(f".ui-spinner-{'up' if wanted > 0 else 'down'}")
    for _ in range(abs(wanted)):
        yield f"pyautogui.click({way})"
    yield await dom.click(SUBMIT)


async def solve_equation(dom: Dom) -> Moves:
    left, right = (await dom.ask('one("#math-problem").textContent')).split("=")
    first, sign, second = left.split()
    found = next(x for x in range(-200, 200) if _value(first, x) + (1 if sign == "+" else -1) * _value(second, x)
                 == int(right))  # fmt: skip
    yield await dom.enter("#math-answer", str(found))
    yield await dom.click(SUBMIT)


def _value(term: str, x: int) -> int:
    return x if term == "x" else int(term)


async def add_up(dom: Dom) -> Moves:
    words = (await dom.ask('one("#math-problem").textContent')).replace("=", " ").split()
    first, sign, second = re.findall(r"\d+|[-+x×*]", "".join(words))[:3]
    a, b = int(first), int(second)
    found = {"+": a + b, "-": a - b}.get(sign, a * b)
    yield await dom.enter("#math-answer", str(found))
    yield await dom.click(SUBMIT)


async def type_what_is_shown(dom: Dom) -> Moves:
    yield await dom.enter("#tt", await dom.ask('one("#captcha").textContent'))
    yield await dom.click(SUBMIT)


async def copy_and_paste(dom: Dom) -> Moves:
    yield f"{await dom.click('#to-copy')}\npyautogui.hotkey('ctrl', 'a')\npyautogui.hotkey('ctrl', 'c')"
    yield f"{await dom.click('#answer-input')}\npyautogui.hotkey('ctrl', 'v')"
    yield await dom.click("#subbtn")


async def choose_by_keyboard(dom: Dom) -> Moves:
    wanted = dom.said.removeprefix("Select ").partition(" from the list")[0]
    number = await dom.ask(f'[...one("#options").options].findIndex(option => option.text === {wanted!r})')
    yield f"pyautogui.click({await dom.at('#options')})\npyautogui.press('esc')"
    yield f"pyautogui.press('home')\npyautogui.press('down', presses={number})"
    yield await dom.click(SUBMIT)


async def press_shades(dom: Dom) -> Moves:
    colour = re.findall(r"shades of (\w+)", dom.said)[0]
    count = await dom.ask(f"all(\"#area span[data-color='{colour}']\").length")
    for number in range(count):
        yield await dom.click(f"all(\"#area span[data-color='{colour}']\")[{number}]")
    yield await dom.click("called('#area button', 'Submit')")


async def press_coordinate(dom: Dom) -> Moves:
    wanted = re.findall(r"\(-?\d,-?\d\)", dom.said)[0]
    yield await dom.click(f"all('circle').find(circle => circle.id === {wanted!r})")


async def enter_nth_word(dom: Dom) -> Moves:
    words = (await dom.ask('one("#area p").textContent')).split()
    number = int(re.findall(r"(\d+)(?:st|nd|rd|th)", dom.said)[0])
    yield await dom.enter("#answer-input", re.sub(r"[^a-zA-Z]", "", words[number - 1]))
    yield await dom.click(SUBMIT)


async def enter_last_word(dom: Dom) -> Moves:
    last = (await dom.ask('one("#text-area").value')).split()[-1].strip(".")
    yield f"pyautogui.scroll(-30, {await dom.at('#text-area')})"
    yield await dom.enter("#answer-input", last)
    yield await dom.click(SUBMIT)


async def bisect_number(dom: Dom) -> Moves:
    low, high = 0, 9
    while True:
        guess = (low + high) // 2
        yield f"{await dom.click('#tt')}\npyautogui.hotkey('ctrl', 'a')\npyautogui.write('{guess}')"
        yield await dom.click(SUBMIT)
        higher = await dom.ask('!one("#higher").classList.contains("hide")')
        low, high = (guess + 1, high) if higher else (low, guess - 1)


async def enter_date(dom: Dom) -> Moves:
    month, day, year = re.findall(r"\d+", dom.said)
    yield f"pyautogui.click(x=0.08, {(await dom.at('#tt')).partition(', ')[2]})\n" \
          f"pyautogui.write('{month}{day}{year}')"  # fmt: skip
    yield await dom.click(SUBMIT)


POLICIES: dict[str, Callable[[Dom], Moves]] = {
    "click-button": press_named_button, "click-button-sequence": press_one_then_two,
    "click-checkboxes": tick_boxes, "click-checkboxes-large": tick_boxes, "click-checkboxes-transfer": tick_boxes,
    "click-collapsible": expand_and_submit, "click-color": press_color, "click-dialog": close_dialog,
    "click-dialog-2": press_in_dialog, "click-link": follow_link, "click-option": tick_boxes,
    "click-shades": press_shades, "click-tab": open_tab, "click-test": press_only_button,
    "click-test-2": press_button_one_of_two, "click-widget": press_widget, "choose-list": choose_by_keyboard,
    "copy-paste": copy_and_paste, "drag-box": drag_into_box, "enter-date": enter_date,
    "enter-password": enter_password_twice, "enter-text": enter_and_submit,
    "enter-text-dynamic": enter_and_submit, "find-word": enter_nth_word, "focus-text": focus_first,
    "focus-text-2": focus_nth, "grid-coordinate": press_coordinate, "guess-number": bisect_number,
    "highlight-text": highlight_all, "login-user": log_in, "scroll-text": enter_last_word,
    "simple-algebra": solve_equation, "simple-arithmetic": add_up, "text-transform": type_what_is_shown,
    "unicode-test": press_named_button, "use-slider": turn_slider, "use-spinner": turn_spinner,
}  # fmt: skip


class Watched(MiniWob):
    """MiniWoB++ that keeps the screen at hand for a policy."""

    computer: BrowserComputer

    async def begin(self, task: Task, computer: BrowserComputer) -> str:
        self.computer = computer
        self.said = await super().begin(task, computer)
        return self.said


class ByHand:
    """A model that knows one page."""

    def __init__(self, world: Watched, page: str) -> None:
        self.world, self.page = world, page
        self._moves: Moves | None = None

    async def __call__(self, shown: list[Message]) -> Message:
        if self._moves is None:
            self._moves = POLICIES[self.page](Dom(self.world.computer, self.world.said))
        code = await anext(self._moves)
        return assistant(f"I know this page.\n\n## Action:\nGo on.\n\n## Code:\n```python\n{code}\n```")
