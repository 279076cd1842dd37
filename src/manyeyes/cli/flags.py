"""Command lines to options, by tyro; what is wrong with one is said in one line.

tyro draws a box of ten lines around each mistake. Its texts are good, so they are read back out of the box: the
mistake, the nearest flags. A box that is not understood is shown as it is.
"""

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from typing import TypeVar

Options = TypeVar("Options")

_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_RULE = re.compile(r"^[─-]{3,}$", re.MULTILINE)
_SIMILAR = ("Perhaps you meant", "Arguments similar to")


def parsed(options: type[Options], arguments: Sequence[str], *, command: str, about: str | None) -> Options:
    """The options that the arguments say.

    Raises:
        SystemExit: 0 after the help text; 2 after one line on standard error.
    """
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            found = tyro.cli(
                options, prog=command, description=about, args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
            )
    except SystemExit as ended:
        line = _one_line(said.getvalue(), command) if ended.code else ""
        print(line or said.getvalue(), file=sys.stderr, end="\n" if line else "")
        raise
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise
    sys.stderr.write(said.getvalue())  # warnings, such as that of a type it does not know
    return found


def _one_line(box: str, command: str) -> str:
    """What tyro's box says; "" when it is drawn in another way."""
    # Indented by 8 are the help texts of flags.
    mistake, *more = re.split(_RULE, "\n".join(row for row in _rows(box) if not row.startswith(" " * 8)))
    mistake = " ".join(mistake.split()).rstrip(".")
    if not mistake:
        return ""
    similar = "\n".join(part for part in more if part.strip().startswith(_SIMILAR))
    near = re.findall(r"^ {4}(--[\w-]+)", similar, re.MULTILINE)
    hint = f"did you mean {' or '.join(sorted(near[:3]))}? " if near else ""
    return f"manyeyes: {mistake}; {hint}`{command} --help` explains the options"


def _rows(box: str) -> list[str]:
    """What stands inside the box, which has no sides where the terminal can draw none."""
    lines = _COLOUR.sub("", box).splitlines()
    framed = [line[2:-1].rstrip() for line in lines if line.startswith("│ ")]
    return framed or [line[2:].rstrip() for line in lines[2:]]
