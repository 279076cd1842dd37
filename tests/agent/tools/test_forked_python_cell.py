"""`Cells`: what code of an agent shows, in this process."""

import signal
from collections.abc import Iterator

import pytest

from manyeyes.agent.tools.forked_python_cell import MOST_PICTURES, Cells


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


class Drawn:
    def __init__(self, size: int = 3) -> None:
        self.size = size

    def _repr_png_(self) -> bytes:
        return b"p" * self.size


def text(code: str, cells: Cells | None = None, most: int = 1000) -> str:
    shown = (cells or Cells({"Drawn": Drawn})).run(code, most=most)["shown"]
    return "".join(what for kind, what in shown if kind == "text")


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2\n"),
        ("1 + 1;", ""),
        ("x = 3", ""),
        ("None", ""),
        ("print('a'); 'b'", "a\n'b'\n"),
        ("  x = 1\n  x", "1\n"),
        ("import sys; print('e', file=sys.stderr)", "e\n"),
        ("display(1, 'two')", "1\n'two'\n"),
        ("foo", "NameError: name 'foo' is not defined (line 1)\n"),
        ("x = 1\n\n1 / 0", "ZeroDivisionError: division by zero (line 3)\n"),
        ("def f():\n    return {}['k']\nf()", "KeyError: 'k' (line 2)\n"),
        ("import json\njson.loads('{')", "line 2)\n"),
        ("x = (", "SyntaxError: '(' was never closed (line 1)\n"),
        ("import sys; sys.exit(3)", "SystemExit: 3 (line 1)\n"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (line 1)\n"),
        ("class Bad(Exception):\n    def __str__(self): raise ValueError\nraise Bad", "line 3)\n"),
        ("class Odd:\n    def __repr__(self): return 5\nOdd()", "TypeError: __repr__ returned non-string (type int)"),
        ("import sys; sys.stdout.write(b'x')", "TypeError: write() argument must be str, not bytes (line 1)\n"),
    ],
)
def test_what_code_shows(code, shown) -> None:
    said = text(code)
    assert said == shown or (len(shown) > 6 and shown in said)


def test_variables_are_kept_and_errors_leave_them() -> None:
    cells = Cells({})
    assert [text(code, cells) for code in ("x = 41", "1 / 0", "x + 1", "_")][2:] == ["42\n", "42\n"]
    assert cells.run("pass", most=9) == {"shown": [], "status": "ok", "count": 5}


def test_an_error_in_an_earlier_cell_has_no_line_of_this_one() -> None:
    cells = Cells({})
    text("def f():\n    return nothing", cells)
    assert text("x = 1\nf()", cells) == "NameError: name 'nothing' is not defined (line 2)\n"


def test_pictures_stand_between_text() -> None:
    shown = Cells({"Drawn": Drawn}).run("print('a'); display(Drawn()); print('b')\nDrawn(2)", most=99)["shown"]
    assert shown == [("text", "a\n"), ("png", b"ppp"), ("text", "b\n"), ("png", b"pp")]


def test_pictures_have_a_number_and_a_size() -> None:
    many = Cells({"Drawn": Drawn}).run(f"display(*[Drawn()] * {MOST_PICTURES + 2})", most=999)
    assert len([kind for kind, _ in many["shown"] if kind == "png"]) == MOST_PICTURES
    assert many["shown"][-1] == ("text", "[one more picture, not shown]\n" * 2)
    large = Cells({"Drawn": Drawn}).run("display(Drawn(3 << 20)); display(Drawn(3 << 20))", most=999)
    assert large["status"] == "too_much" and len(large["shown"]) == 1


def test_who_shows_too_much_is_stopped_even_when_he_catches_it() -> None:
    endless = Cells({}).run("while True: print('x')", most=10)
    assert endless == {"shown": [("text", "x\n" * 5)], "status": "too_much", "count": 1}
    stubborn = "n = 0\nwhile n < 5:\n    try: print('xx')\n    except BaseException: n += 1"
    assert Cells({}).run(stubborn, most=4) == {"shown": [("text", "xx\nx")], "status": "too_much", "count": 1}
    one = Cells({}).run("'y' * 100", most=4)
    assert one == {"shown": [("text", "'yyy")], "status": "too_much", "count": 1}


def test_an_interrupt_reaches_code_and_only_code() -> None:
    cells = Cells({})
    assert text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(9): pass", cells).startswith(
        "KeyboardInterrupt"
    )
    assert cells.run("import signal\nsignal.raise_signal(signal.SIGINT)", most=99)["status"] == "interrupted"
    assert cells.run("raise KeyboardInterrupt", most=99)["status"] == "error", "it raised this itself"
    signal.raise_signal(signal.SIGINT)
    assert text("'alive'", cells) == "'alive'\n"
