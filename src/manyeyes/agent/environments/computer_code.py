"""pyautogui code as a list of input events, without ever running Python: it is parsed, and only known calls count.

    pyautogui.click(x=0.42, y=0.31)          computer.wait()
    pyautogui.write("hello")                 computer.terminate(status="success", answer="42")

A line is a call of a known function with constants as arguments; `import pyautogui` and `import time` do nothing,
`time.sleep` waits. Everything else (names, loops, arithmetic, attributes) is an error that says what was found and what
there is. Coordinates are fractions of the screen, 0 to 1: the report does not print its convention, OpenCUA, whose
configuration it follows, has relative ones, and so have all coordinates here. Pixels are refused, not guessed.

Report: App. E.7.
"""

import ast
import inspect
from typing import Any

from manyeyes.agent.environments.input_event import Event, Pause, Typed, Wait
from manyeyes.agent.environments.pyautogui_calls import CALLS, MOST_EVENTS, MOST_TYPED
from manyeyes.core.errors import ManyeyesError

LONGEST_CODE = 20_000
"""Characters."""
MOST_SECONDS = 60.0
"""Of pauses in one program."""
MOST_WAITS = 3
IMPORTED = frozenset(("pyautogui", "time"))


class CodeRefused(ManyeyesError):
    """Code that is more or other than known calls; the message is for the model."""


def events_of(code: str) -> list[Event]:
    """What a program does.

    Raises:
        CodeRefused: it is no list of known calls.

    Example:
        >>> events_of("pyautogui.click(0.5, 0.25)")
        [Move(x=0.5, y=0.25, pieces=1), Press(button='left', count=1), Release(button='left', count=1)]
    """
    if len(code) > LONGEST_CODE:
        raise CodeRefused(f"the code has {len(code):,} characters, {LONGEST_CODE:,} can be run at once")
    events = [event for statement in _parsed(code).body for event in _statement(statement)]
    if len(events) > MOST_EVENTS:
        raise CodeRefused(f"the code makes {len(events):,} input events, {MOST_EVENTS:,} can be made at once")
    if (typed := sum(len(event.text) for event in events if isinstance(event, Typed))) > MOST_TYPED:
        raise CodeRefused(f"the code types {typed:,} characters, {MOST_TYPED:,} can be typed at once")
    if sum(isinstance(event, Wait) for event in events) > MOST_WAITS:
        raise CodeRefused(f"computer.wait() can be called {MOST_WAITS} times at once; look at the screen in between")
    if sum(event.seconds for event in events if isinstance(event, Pause)) > MOST_SECONDS:
        raise CodeRefused(f"the code waits for more than {MOST_SECONDS:g} s; take a look at the screen in between")
    if not events:
        raise CodeRefused("the code does nothing; call pyautogui, computer.wait or computer.terminate")
    return events


def _parsed(code: str) -> ast.Module:
    try:
        return ast.parse(code)
    except SyntaxError as error:
        raise CodeRefused(f"line {error.lineno} of the code is not Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):  # a zero byte, brackets without end
        raise CodeRefused("the code is not Python") from None


def _statement(statement: ast.stmt) -> list[Event]:
    """One line. Calls may nest nothing, so that this is all the depth there is."""
    if isinstance(statement, ast.Import) and all(name.name in IMPORTED for name in statement.names):
        return []
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        raise _refused(statement, "only calls such as pyautogui.click(x=0.5, y=0.5) can be run, one a line")
    call = statement.value
    name = _name(call.func)
    function = CALLS.get(name)
    if function is None:
        raise _refused(statement, f"there is no {name or 'such function'}; there are {', '.join(sorted(CALLS))}")
    try:
        arguments = [_constant(argument) for argument in call.args]
        named = {keyword.arg or "**": _constant(keyword.value) for keyword in call.keywords}
        bound = inspect.signature(function).bind(*arguments, **named)
        return function(*bound.args, **bound.kwargs)
    except (TypeError, ValueError, ManyeyesError) as error:
        raise _refused(statement, f"{name}: {error}") from None


def _refused(statement: ast.stmt, why: str) -> CodeRefused:
    return CodeRefused(f"line {statement.lineno} of the code was not run, and nothing before it: {why}")


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""


def _constant(value: ast.expr) -> Any:
    """A number, a text, a truth value, None, or a list of these."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str | int | float | None):
        return _writable(value.value) if isinstance(value.value, str) else value.value
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub) and isinstance(value.operand, ast.Constant):
        if isinstance(number := value.operand.value, int | float):
            return -number
    if isinstance(value, ast.List | ast.Tuple) and not any(
        isinstance(item, ast.List | ast.Tuple) for item in value.elts
    ):
        return [_constant(item) for item in value.elts]
    raise ValueError("arguments must be plain numbers and texts")


def _writable(text: str) -> str:
    """A text that keyboards, records and files can take. Raises ValueError for half a surrogate pair."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("texts must not hold half of a surrogate pair")
    return text
