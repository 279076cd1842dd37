"""What calls of pyautogui do, as input events; names and order of parameters are pyautogui's (0.9.54).

Parameters that have no meaning here (tweens, logging) are taken and ignored. Places are fractions of the screen; see
`computer_code`.

Report: App. E.7.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from manyeyes.agent.environments.input_event import (
    Button,
    Event,
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
from manyeyes.agent.environments.key_names import key_of

MOST_EVENTS = 2_000
MOST_TYPED = 4_000
"""Characters."""
MOST_CLICKS, MOST_PRESSES, MOST_NOTCHES = 10, 100, 1_000
DRAG_PIECES = 12
"""Into which a drag is cut: pages follow a pointer by its moves."""
BUTTONS: dict[str, Button] = {"left": "left", "primary": "left", "middle": "middle", "right": "right",
                              "secondary": "right"}  # fmt: skip


def _moved(x: Any, y: Any, *, pieces: int = 1) -> list[Event]:
    """To a place; nowhere when none is given, as in pyautogui."""
    if isinstance(x, list) and len(x) == 2 and y is None:
        x, y = x
    if x is None and y is None:
        return []
    if x is None or y is None:
        raise ValueError("a place needs both x and y")
    return [Move(_fraction("x", x), _fraction("y", y), pieces)]


def _fraction(name: str, value: Any) -> float:
    number = _number(name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must be a fraction of the screen, 0 to 1, got {value}")
    return number


def _number(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, got {value!r:.80}")
    return number


def _count(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 0 to {most}, got {value!r}")
    return value


def _button(name: Any) -> Button:
    if not isinstance(name, str) or name.lower() not in BUTTONS:
        raise ValueError(f"button must be one of {', '.join(BUTTONS)}, got {name!r}")
    return BUTTONS[name.lower()]


def _click(x=None, y=None, clicks=1, interval=0.0, button="left", duration=0.0, tween=None, logScreenshot=None,
           _pause=True) -> list[Event]:  # fmt: skip
    which = _button(button)
    pressed = [event for count in range(1, _count("clicks", clicks, MOST_CLICKS) + 1)
               for event in (Press(which, count), Release(which, count))]  # fmt: skip
    return [*_moved(x, y), *pressed]


def _clicks(clicks: int, button: str) -> Callable[..., list[Event]]:
    def click(x=None, y=None, interval=0.0, button=button, duration=0.0, tween=None, logScreenshot=None,
              _pause=True) -> list[Event]:  # fmt: skip
        return _click(x, y, clicks, button=button)

    return click


def _move_to(x=None, y=None, duration=0.0, tween=None, logScreenshot=False, _pause=True) -> list[Event]:
    return _moved(x, y, pieces=1 if not _number("duration", duration) else DRAG_PIECES)


def _move_by(xOffset=0.0, yOffset=0.0, duration=0.0, tween=None, logScreenshot=False, _pause=True) -> list[Event]:
    return [MoveBy(*_offset(xOffset, yOffset))]


def _offset(dx: Any, dy: Any) -> tuple[float, float]:
    found = tuple(_number(name, 0.0 if value is None else value) for name, value in (("xOffset", dx), ("yOffset", dy)))
    if any(abs(value) > 1.0 for value in found):
        raise ValueError(f"offsets are fractions of the screen, -1 to 1, got {found}")
    return found[0], found[1]


def _drag_to(x=None, y=None, duration=0.0, tween=None, button="left", logScreenshot=None, _pause=True,
             mouseDownUp=True) -> list[Event]:  # fmt: skip
    return _held(_moved(x, y, pieces=DRAG_PIECES), button, mouseDownUp)


def _drag_by(xOffset=0.0, yOffset=0.0, duration=0.0, tween=None, button="left", logScreenshot=None, _pause=True,
             mouseDownUp=True) -> list[Event]:  # fmt: skip
    return _held([MoveBy(*_offset(xOffset, yOffset), DRAG_PIECES)], button, mouseDownUp)


def _held(moves: list[Event], button: Any, down_up: Any) -> list[Event]:
    which = _button(button)
    return [Press(which), *moves, Release(which)] if down_up else moves


def _mouse_down(
    x=None, y=None, button="left", duration=0.0, tween=None, logScreenshot=None, _pause=True
) -> list[Event]:
    return [*_moved(x, y), Press(_button(button))]


def _mouse_up(x=None, y=None, button="left", duration=0.0, tween=None, logScreenshot=None, _pause=True) -> list[Event]:
    return [*_moved(x, y), Release(_button(button))]


def _scroll(clicks, x=None, y=None, logScreenshot=None, _pause=True) -> list[Event]:
    return [*_moved(x, y), Wheel(up=_notches(clicks))]


def _hscroll(clicks, x=None, y=None, logScreenshot=None, _pause=True) -> list[Event]:
    return [*_moved(x, y), Wheel(left=-_notches(clicks))]


def _notches(clicks: Any) -> int:
    number = round(_number("clicks", clicks))
    return max(-MOST_NOTCHES, min(MOST_NOTCHES, number))


def _write(message="", interval=0.0, logScreenshot=None, _pause=True) -> list[Event]:
    if isinstance(message, list):
        return [event for key in message for event in _pressed(key)]
    if not isinstance(message, str | int | float):
        raise ValueError(f"message must be a text, got {message!r}")
    if len(str(message)) > MOST_TYPED:
        raise ValueError(f"the text has {len(str(message)):,} characters, {MOST_TYPED:,} can be typed at once")
    return [Typed(str(message))] if str(message) else []


def _press(keys="", presses=1, interval=0.0, logScreenshot=None, _pause=True) -> list[Event]:
    once = [event for name in (keys if isinstance(keys, list) else [keys]) for event in _pressed(name)]
    times = _count("presses", presses, MOST_PRESSES)
    if len(once) * times > MOST_EVENTS:
        raise ValueError(f"these are more than {MOST_EVENTS:,} key events")
    return once * times


def _pressed(name: Any) -> list[Event]:
    key = _key(name)
    return [KeyDown(key), KeyUp(key)]


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"a key is a text such as 'enter', got {name!r}")
    return key_of(name)


def _hotkey(*keys, interval=0.0, logScreenshot=None, _pause=True) -> list[Event]:
    names: Sequence[Any] = keys[0] if len(keys) == 1 and isinstance(keys[0], list) else keys
    down = [_key(name) for name in names]
    return [*(KeyDown(key) for key in down), *(KeyUp(key) for key in reversed(down))]


def _key_down(key, logScreenshot=None, _pause=True) -> list[Event]:
    return [KeyDown(_key(key))]


def _key_up(key, logScreenshot=None, _pause=True) -> list[Event]:
    return [KeyUp(_key(key))]


def _sleep(seconds) -> list[Event]:
    return [Pause(max(0.0, _number("seconds", seconds)))]


def _wait() -> list[Event]:
    return [Wait()]


def _terminate(status, answer="") -> list[Event]:
    if status not in ("success", "failure"):
        raise ValueError(f"status must be 'success' or 'failure', got {status!r}")
    return [Terminate(status, "" if answer is None else str(answer))]


CALLS: dict[str, Callable[..., list[Event]]] = {
    "pyautogui.click": _click, "pyautogui.leftClick": _clicks(1, "left"), "pyautogui.rightClick": _clicks(1, "right"),
    "pyautogui.middleClick": _clicks(1, "middle"), "pyautogui.doubleClick": _clicks(2, "left"),
    "pyautogui.tripleClick": _clicks(3, "left"), "pyautogui.moveTo": _move_to, "pyautogui.moveRel": _move_by,
    "pyautogui.move": _move_by, "pyautogui.dragTo": _drag_to, "pyautogui.dragRel": _drag_by,
    "pyautogui.drag": _drag_by, "pyautogui.mouseDown": _mouse_down, "pyautogui.mouseUp": _mouse_up,
    "pyautogui.scroll": _scroll, "pyautogui.vscroll": _scroll, "pyautogui.hscroll": _hscroll,
    "pyautogui.write": _write, "pyautogui.typewrite": _write, "pyautogui.press": _press,
    "pyautogui.hotkey": _hotkey, "pyautogui.keyDown": _key_down, "pyautogui.keyUp": _key_up,
    "pyautogui.sleep": _sleep, "time.sleep": _sleep, "computer.wait": _wait, "computer.terminate": _terminate,
}  # fmt: skip
"""By name; each raises ValueError or UnknownKey for arguments that mean nothing."""
