"""Names of keys: pyautogui's, which models write, and those of browsers.

Report: App. E.7 (pyautogui).
"""

from manyeyes.core.errors import ManyeyesError

_NAMED = {
    "alt": "Alt", "altleft": "Alt", "altright": "Alt", "backspace": "Backspace", "capslock": "CapsLock",
    "cmd": "Meta", "command": "Meta", "ctrl": "Control", "ctrlleft": "Control", "ctrlright": "Control",
    "control": "Control", "del": "Delete", "delete": "Delete", "down": "ArrowDown", "end": "End", "enter": "Enter",
    "esc": "Escape", "escape": "Escape", "home": "Home", "insert": "Insert", "left": "ArrowLeft", "meta": "Meta",
    "option": "Alt", "pagedown": "PageDown", "pageup": "PageUp", "pgdn": "PageDown", "pgup": "PageUp",
    "return": "Enter", "right": "ArrowRight", "shift": "Shift", "shiftleft": "Shift", "shiftright": "Shift",
    "space": " ", "super": "Meta", "tab": "Tab", "up": "ArrowUp", "win": "Meta", "winleft": "Meta",
    "winright": "Meta", "\n": "Enter", "\r": "Enter", "\t": "Tab",
} | {f"f{number}": f"F{number}" for number in range(1, 13)}  # fmt: skip


class UnknownKey(ManyeyesError):
    """A name that is no key."""


def key_of(name: str) -> str:
    """A browser's name for a key.

    Raises:
        UnknownKey: there is none.

    Example:
        >>> key_of("ctrl"), key_of("A"), key_of("pgdn")
        ('Control', 'A', 'PageDown')
    """
    if known := _NAMED.get(name.lower()):
        return known
    if len(name) == 1 and name.isascii() and name.isprintable():
        return name
    raise UnknownKey(
        f"there is no key {name!r:.40}; keys are the characters of a US keyboard, {', '.join(map(repr, _SHOWN))}, "
        "f1 to f12; pyautogui.write types any text"
    )


_SHOWN = ("enter", "tab", "esc", "backspace", "delete", "up", "down", "left", "right", "home", "end", "pageup",
          "pagedown", "space", "ctrl", "shift", "alt", "win")  # fmt: skip
