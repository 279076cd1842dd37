"""`Cells`: code of one agent, run in this process: variables are kept, what it shows is caught, errors are one line.

    Cells({"np": numpy}).run("x = 41\\nx + 1", most=1000)     {"shown": [("text", "42\\n")], "status": "ok", "count": 1}

Like IPython where a small model can tell the difference, and thirty times cheaper: the last expression is shown, `_`
is the last value, `display` shows pictures, a `;` at the end shows nothing. No magics, no `!` lines, no tracebacks:
the line of an error is what an agent can act on.

A file of its own without imports of this package: it runs inside the sandbox, where nothing else of us is.

Report: App. D (tools: stateful IPython).
"""

import ast
import builtins
import io
import signal
import sys
import textwrap
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn

MOST_PICTURES = 8
"""That one call hands over; the tool shows no more."""
MOST_PICTURED = 4 * 2**20
"""Bytes of them."""


class TooMuch(KeyboardInterrupt):
    """It showed more than it may."""


class Screen(io.TextIOBase):
    """What code prints, in order, pictures between text; stands in for `sys.stdout` and `sys.stderr`.

    Args:
        most: characters; whoever writes more is stopped.
    """

    encoding = "utf-8"

    def __init__(self, most: int) -> None:
        self.shown: list[tuple[str, str | bytes]] = []
        self.too_much = False
        self._left, self._text = most, list[str]()
        self._pictures, self._pictured = 0, 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str, /) -> int:
        """Take text. Raises TooMuch."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._text.append(text[: self._left])
        self._left -= len(text)
        if self._left < 0:
            self._stop()
        return len(text)

    def picture(self, kind: str, content: bytes) -> None:
        """Take a picture. Raises TooMuch."""
        self._pictures, self._pictured = self._pictures + 1, self._pictured + len(content)
        if self._pictured > MOST_PICTURED:
            self._stop()
        if self._pictures > MOST_PICTURES:
            self.write("[one more picture, not shown]\n")
            return
        self.close_text()
        self.shown.append((kind, content))

    def close_text(self) -> None:
        """End a stretch of text."""
        if text := "".join(self._text):
            self.shown.append(("text", text.encode(errors="replace").decode()))  # code can print what is no text
        self._text = []

    def _stop(self) -> NoReturn:
        self._left, self.too_much = 0, True
        raise TooMuch


class Cells:
    """See the module.

    Args:
        names: that code finds at first.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins} | dict(names)
        self.names["display"] = self.display
        self.count = 0
        self._screen, self._interrupted = Screen(0), False

    def run(self, code: str, *, most: int) -> dict[str, Any]:
        """Run code.

        Args:
            most: characters that it may show.

        Returns:
            "shown": pairs of a kind ("text", "png", "jpeg") and what; "status": "ok", "error" (`shown` ends with its
            line), "interrupted" (by a signal, whatever the code made of it) or "too_much"; "count": how many ran.
        """
        self.count += 1
        self._screen = screen = Screen(most)
        before = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = screen
        try:
            status = self._status(code)
        finally:
            sys.stdout, sys.stderr = before
        screen.close_text()
        return {"shown": screen.shown, "status": "too_much" if screen.too_much else status, "count": self.count}

    def display(self, *values: Any) -> None:
        """Show values: pictures as such, others as text."""
        for value in values:
            for kind in ("png", "jpeg"):
                drawn = _drawn(value, kind)
                if drawn is not None:
                    self._screen.picture(kind, drawn)
                    break
            else:
                self._screen.write(f"{value!r}\n")

    def _status(self, code: str) -> str:
        file, status, self._interrupted = f"<cell {self.count}>", "ok", False
        try:
            signal.signal(signal.SIGINT, self._interrupt)
            try:
                self._execute(textwrap.dedent(code), file)
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except BaseException as error:  # the boundary: whatever code raises, its agent is told, and goes on
            if not self._screen.too_much:
                self._tell(error, file)
            status = "error"
        return "interrupted" if self._interrupted else status

    def _interrupt(self, *_: object) -> NoReturn:
        self._interrupted = True
        raise KeyboardInterrupt

    def _execute(self, code: str, file: str) -> None:
        tree = ast.parse(code, file)
        last = tree.body.pop() if tree.body and _is_shown(tree.body[-1], code) else None
        exec(compile(tree, file, "exec"), self.names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), file, "eval"), self.names)
            if value is not None:
                self.names["_"] = value
                self.display(value)

    def _tell(self, error: BaseException, file: str) -> None:
        try:
            self._screen.write(f"{error_line(error, file)}\n")
        except BaseException:  # an exception's own text can raise, or be without end
            if not self._screen.too_much:
                self._screen.write(f"{type(error).__name__}\n")


def error_line(error: BaseException, file: str) -> str:
    """An exception in one line, with the line of the code that raised it."""
    if isinstance(error, SyntaxError):
        said, line = f"{type(error).__name__}: {error.msg}", error.lineno if error.filename == file else None
    else:
        said, line = traceback.format_exception_only(error)[-1].strip(), _line(error.__traceback__, file)
    return said if line is None else f"{said} (line {line})"


def _line(trace: TracebackType | None, file: str) -> int | None:
    """The innermost line of a file that a traceback goes through."""
    found = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _is_shown(statement: ast.stmt, code: str) -> bool:
    return isinstance(statement, ast.Expr) and not code.rstrip().endswith(";")


def _drawn(value: Any, kind: str) -> bytes | None:
    """A value as an encoded picture, in the way that Jupyter asks for one."""
    draw = getattr(type(value), f"_repr_{kind}_", None)
    drawn = None if draw is None else draw(value)
    return drawn if isinstance(drawn, bytes) else None
