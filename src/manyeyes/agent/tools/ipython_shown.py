"""What code in a kernel shows, taken out of messages of the Jupyter protocol; nothing in them is believed to fit.

Report: App. D (tools: stateful IPython).
"""

import base64
import binascii
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

MOST_PICTURED = 32 * 2**20
"""Bytes of encoded pictures that one call may show."""


class Shown(NamedTuple):
    """Something that code printed or displayed: text, or an encoded picture."""

    kind: Literal["text", "png", "jpeg"]
    text: str = ""
    content: bytes = b""


@dataclass
class Executed:
    """What became of some code.

    Attributes:
        shown: in order.
        status: "ok", "error" (a traceback is in `shown`), "timeout", "too_much" (it showed more than it may),
            or "died" (the kernel is gone, and all variables with it).
        why: of "died".
        count: number of the cell.
        printed, pictured: characters and bytes that it showed.
    """

    shown: list[Shown] = field(default_factory=list)
    status: Literal["ok", "error", "timeout", "too_much", "died"] = "ok"
    why: str = ""
    count: int = 0
    printed: int = 0
    pictured: int = 0


def take(message: dict[str, Any], done: Executed, *, most: int) -> bool:
    """Add what a message shows.

    Args:
        most: characters in all.

    Returns:
        False when it is more than it may be; what fits is kept.
    """
    content = message["content"]
    match message.get("msg_type"):
        case "stream":
            shown = Shown("text", str(content.get("text", "")))
        case "error":
            lines = content.get("traceback")
            shown = Shown("text", "\n".join(map(str, lines)) if isinstance(lines, list) else "")
        case "execute_result" | "display_data":
            data = content.get("data")
            shown = shown_of(data) if isinstance(data, dict) else Shown("text")
        case _:
            return True
    return _add(shown, done, most)


def _add(shown: Shown, done: Executed, most: int) -> bool:
    room = max(0, most - done.printed)
    done.printed, done.pictured = done.printed + len(shown.text), done.pictured + len(shown.content)
    if shown.kind == "text":
        done.shown.append(shown._replace(text=shown.text[:room]))
    elif done.pictured <= MOST_PICTURED:
        done.shown.append(shown)
    return done.printed <= most and done.pictured <= MOST_PICTURED


def shown_of(data: dict[str, Any]) -> Shown:
    """The best form of something displayed: a picture where there is one, else text."""
    for kind in ("png", "jpeg"):
        if isinstance(encoded := data.get(f"image/{kind}"), str):
            with suppress(binascii.Error, ValueError):
                return Shown(kind, content=base64.b64decode("".join(encoded.split()), validate=True))
    text = data.get("text/plain", data.get("text/markdown", ""))
    return Shown("text", f"{text}\n" if isinstance(text, str) else "")
