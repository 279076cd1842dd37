"""pyautogui code as input events: what is understood, and that nothing else is run."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.environments.computer_answer import AnswerMalformed, ComputerAnswer, read_answer
from manyeyes.agent.environments.computer_code import CALLS, MOST_EVENTS, CodeRefused, events_of
from manyeyes.agent.environments.computer_prompt import LEFT_OUT, SYSTEM, LastScreenshots
from manyeyes.agent.environments.input_event import (
    KeyDown,
    KeyUp,
    Move,
    MoveBy,
    Pause,
    Press,
    Release,
    Terminate,
    Typed,
    Wait,
    Wheel,
)
from manyeyes.core.media import Picture
from manyeyes.core.messages import Message, assistant, user

CLICK = [Press(), Release()]
UNDERSTOOD = {
    "pyautogui.click(0.5, 0.25)": [Move(0.5, 0.25), *CLICK],
    "pyautogui.click(x=0.5, y=0.25, clicks=2)": [Move(0.5, 0.25), *CLICK, Press(count=2), Release(count=2)],
    "pyautogui.click((0, 1))": [Move(0.0, 1.0), *CLICK],
    "pyautogui.click()": CLICK,
    "pyautogui.doubleClick(0.1, 0.1)": [Move(0.1, 0.1), *CLICK, Press(count=2), Release(count=2)],
    "pyautogui.rightClick(0.1, 0.1)": [Move(0.1, 0.1), Press("right"), Release("right")],
    "pyautogui.middleClick()": [Press("middle"), Release("middle")],
    "pyautogui.click(button='secondary')": [Press("right"), Release("right")],
    "pyautogui.moveTo(0.3, 0.4)": [Move(0.3, 0.4)],
    "pyautogui.move(-0.1, 0)": [MoveBy(-0.1, 0.0)],
    "pyautogui.dragTo(0.3, 0.4, duration=1, button='left')": [Press(), Move(0.3, 0.4, 12), Release()],
    "pyautogui.dragRel(0.1, None)": [Press(), MoveBy(0.1, 0.0, 12), Release()],
    "pyautogui.mouseDown(); pyautogui.mouseUp(0.1, 0.2)": [Press(), Move(0.1, 0.2), Release()],
    "pyautogui.scroll(-5, x=0.5, y=0.5)": [Move(0.5, 0.5), Wheel(up=-5)],
    "pyautogui.hscroll(3)": [Wheel(left=-3)],
    "pyautogui.write('a\\nb', interval=0.05)": [Typed("a\nb")],
    "pyautogui.typewrite(['a', 'enter'])": [KeyDown("a"), KeyUp("a"), KeyDown("Enter"), KeyUp("Enter")],
    "pyautogui.press('down', presses=2)": [KeyDown("ArrowDown"), KeyUp("ArrowDown")] * 2,
    "pyautogui.press(['left', 'F5'])": [KeyDown("ArrowLeft"), KeyUp("ArrowLeft"), KeyDown("F5"), KeyUp("F5")],
    "pyautogui.hotkey('ctrl', 'shift', 't')": [KeyDown("Control"), KeyDown("Shift"), KeyDown("t"), KeyUp("t"),
                                               KeyUp("Shift"), KeyUp("Control")],
    "pyautogui.keyDown('shift')\npyautogui.keyUp('shift')": [KeyDown("Shift"), KeyUp("Shift")],
    "import pyautogui\nimport time\n# wait\ntime.sleep(1.5)": [Pause(1.5)],
    "computer.wait()": [Wait()],
    "computer.terminate(status='success', answer='42')": [Terminate("success", "42")],
    "computer.terminate('failure')": [Terminate("failure")],
}  # fmt: skip
REFUSED = {
    "import os": "only calls", "from pyautogui import click": "only calls", "x = 0.5": "only calls",
    "for i in range(3):\n    pyautogui.click()": "only calls", "pyautogui.click": "only calls",
    "(lambda: pyautogui.click())()": "no such function", "__import__('os').system('id')": "no such function",
    "eval('1')": "there is no eval", "pyautogui.__class__()": "there is no pyautogui.__class__",
    "pyautogui.screenshot('/etc/x')": "there is no pyautogui.screenshot", "os.system('id')": "there is no os.system",
    "pyautogui.click(open('/etc/passwd'))": "plain numbers and texts",
    "pyautogui.write(f'{1}')": "plain numbers and texts", "pyautogui.write('a' * 9**9)": "plain numbers and texts",
    "pyautogui.write(b'a')": "plain numbers and texts", "pyautogui.click(*[0.1, 0.1])": "plain numbers and texts",
    "pyautogui.click(**{'x': 1})": "plain numbers and texts", "pyautogui.click(300, 200)": "fraction of the screen",
    "pyautogui.click(-0.1, 0)": "fraction of the screen", "pyautogui.click(1e999, 0)": "must be a number",
    "pyautogui.click(True, 0.5)": "must be a number", "pyautogui.click('0.5', 0.5)": "must be a number",
    "pyautogui.click(0.5)": "both x and y", "pyautogui.click(where=1)": "unexpected keyword",
    "pyautogui.click(button='fourth')": "button must be", "pyautogui.press('hyper')": "there is no key",
    "pyautogui.press('a', presses=10**9)": "plain numbers", "pyautogui.press('a', presses=1000)": "presses must be",
    f"pyautogui.press({['a'] * 50!r}, presses=100)": "key events", "pyautogui.moveRel(3, 0)": "offsets",
    f"pyautogui.write({'a' * 4001!r})": "can be typed", "time.sleep(1e9)": "waits for more",
    "computer.terminate('done')": "status must be", "pyautogui.click(": "not Python", "(" * 5_000: "not Python",
    "computer.wait()\n" * 4: "3 times at once",
    f"pyautogui.click(1{'0' * 400}, 0.5)": "must be a number", f"time.sleep(1{'0' * 400})": "must be a number",
    "pyautogui.press('é')": "there is no key", "pyautogui.hotkey('ctrl', '你')": "there is no key",
    "pyautogui.write('\\ud800')": "surrogate", "computer.terminate('success', '\\ud800')": "surrogate",
    "pyautogui.write('" + "a" * 4000 + "')\npyautogui.write('b')": "types 4,001 characters",
    "": "does nothing", "import pyautogui": "does nothing", "\0": "not Python", "a" * 30_000: "characters",
    "\n".join(["pyautogui.doubleClick()"] * (MOST_EVENTS // 4 + 1)): "at once",
}  # fmt: skip


@pytest.mark.parametrize("code", UNDERSTOOD)
def test_calls_become_input_events(code: str) -> None:
    assert events_of(code) == UNDERSTOOD[code]


@pytest.mark.parametrize("code", REFUSED, ids=range(len(REFUSED)))
def test_everything_else_is_refused_with_what_there_is(code: str) -> None:
    with pytest.raises(CodeRefused, match=REFUSED[code].replace("(", r"\(")):
        events_of(code)


@given(st.one_of(st.text(max_size=200), st.builds(
    lambda name, arguments: f"{name}({arguments})", st.sampled_from(sorted(CALLS)),
    st.text(alphabet="xy=,.0123456789-'[]() eclikstau", max_size=40),
)))  # fmt: skip
def test_no_text_does_more_than_be_refused(code: str) -> None:
    try:
        assert 0 < len(events_of(code)) <= MOST_EVENTS
    except CodeRefused as refused:
        assert str(refused)


def test_an_answer_is_taken_apart() -> None:
    text = "I see a button.\n\n## Action:\nClick it.\n\n## Code:\n```python\npyautogui.click(0.1, 0.2)\n```\n"
    assert read_answer(text) == ComputerAnswer("I see a button.", "Click it.", "pyautogui.click(0.1, 0.2)")
    assert read_answer("## Code:\n```code\ncomputer.wait()\n```") == ComputerAnswer("", "", "computer.wait()")
    quoted = "Earlier I wrote ## Code: wrong.\n## Action: go\n## Code:\n```\ncomputer.wait()\n```"
    assert read_answer(quoted).action == "go"


MALFORMED = ("", "pyautogui.click(0.1, 0.2)", "```python\ncomputer.wait()\n```", "## Code:\nx",
             "## Code:\n```\na\n```\n```\nb\n```", "## Code:\n```python\ncomputer.wait()")  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_an_answer_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(AnswerMalformed):
        read_answer(text)


def test_the_prompt_is_that_of_the_report() -> None:
    told = SYSTEM.format(password="secret")
    for words in ("You are a GUI agent.", "The password of the computer is secret.", "{thought}\n## Action:\n{action}\n"
                  "## Code:\n{code}", '{"name": "computer.wait"', '"enum": ["success", "failure"]'):  # fmt: skip
        assert words in told


def screenshots(count: int) -> list[Message]:
    import numpy as np

    picture = Picture.of(np.zeros((4, 4, 3), np.uint8))
    history = [user("Do it.", picture)]
    for step in range(1, count):
        history += [assistant(f"thought {step}"), user(f"{step} done", picture)]
    return history


def test_the_last_three_screenshots_and_all_words_are_shown() -> None:
    for count in range(1, 9):
        history = screenshots(count)
        shown = LastScreenshots().show(history, tokens=10**9)
        assert len(shown.messages) == len(history) and bool(shown.applied) == (count > 3)
        pictured = [message for message in shown.messages if message.media]
        assert pictured == [message for message in history if message.media][-3:]
        for was, now in zip(history, shown.messages, strict=True):
            assert now is was or now.text == was.text + LEFT_OUT
        again = LastScreenshots().show(history, tokens=0)
        assert all(one is other for one, other in zip(again.messages, shown.messages, strict=True))


def test_long_answers_take_no_long() -> None:
    began = time.process_time()
    for text in ("## Code:\n```python\n" + " " * 100_000, "## Code:\n" + "```\n \n" * 30_000, "#" + " \n" * 100_000):
        with pytest.raises(AnswerMalformed):
            read_answer(text)
    assert time.process_time() - began < 10
