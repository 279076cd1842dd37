"""HTML that cannot be broken by what it shows: elements are built, and all text in them is escaped.

    tag("p", "1 < 2", class_="note")    →    <p class="note">1 &lt; 2</p>

Only `Markup` passes unescaped, and only `tag` and `trusted` make it.
"""

import html
from collections.abc import Iterable
from typing import TypeAlias

from manyeyes.view.wording import printable

_EMPTY = {"meta", "image", "rect", "line", "path", "circle"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "str | float | None | Iterable[Child]"


def trusted(text: str) -> Markup:
    """Text of our own that is HTML, CSS or a script: passes as it is."""
    return Markup(text)


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """An element. An attribute that is None or False is left out; `class_` is class, `data_x` is data-x.

    Example:
        >>> tag("td", "<b>", class_="number", title=None)
        '<td class="number">&lt;b&gt;</td>'
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))
    return Markup(f"<{name}{written}/>" if name in _EMPTY else f"<{name}{written}>{joined(children)}</{name}>")


def joined(child: Child) -> Markup:
    """One or several children after each other, escaped where they are no Markup."""
    if isinstance(child, Markup):
        return child
    if child is None:
        return Markup()
    if isinstance(child, str | int | float):
        return Markup(html.escape(printable(child)))
    return Markup("".join(joined(one) for one in child))


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    name = "viewBox" if name == "viewbox" else name
    return f" {name}" if value is True else f' {name}="{html.escape(printable(value))}"'
