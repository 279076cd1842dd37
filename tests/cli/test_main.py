"""`manyeyes`: how commands are found, how failures end."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from manyeyes.cli import main as command
from manyeyes.cli.main import COMMANDS, main
from manyeyes.core.errors import DataError


def one_line(capsys) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


def stand_in(monkeypatch, behave) -> None:
    import dataclasses

    options = dataclasses.make_dataclass("Options", [("name", str, "")], frozen=True)
    module = SimpleNamespace(Options=options, main=lambda options: behave(), __doc__="a stand-in")
    monkeypatch.setattr(command.importlib, "import_module", lambda name: module)


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_help_names_every_command(arguments, capsys) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("manyeyes 0.")


@pytest.mark.parametrize(("typed", "hint"), [("rnu", "manyeyes run"), ("wacth", "manyeyes watch"), ("xyzzy", "--help")])
def test_a_misspelt_command_is_one_line(typed, hint, capsys) -> None:
    assert main([typed]) == 2
    line = one_line(capsys)
    assert repr(typed) in line and hint in line


@pytest.mark.parametrize("name", ["run", "see", "chat", "recipes", "watch"])
def test_help_of_a_command_is_shown_without_torch(name) -> None:
    code = (
        "import sys; from manyeyes.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, name, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"usage: manyeyes {name}" in done.stdout and "--no-" not in done.stdout


def test_an_unknown_flag_exits_2_and_suggests_the_near_one(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "tiny", "--steps-scal", "2"])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert "--steps-scal, 2" in line and "did you mean --steps-scale? `manyeyes run --help`" in line
    assert line.startswith("manyeyes: ") and printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "Missing from manyeyes run: RECIPE"),
        (["run", "tiny", "--threads", "many"], "--threads: invalid literal for int() with base 10: 'many'"),
        (["run", "tiny", "--folder"], "Missing value for argument '--folder'"),
        (["convert", "a", "b", "--to", "int9"], "Expected one of ('int4', 'bf16', 'fp32')"),
        (["recipes", "tiny", "extra"], "Unrecognized options: extra"),
        (["see", "--bogus"], "Unrecognized options: --bogus"),
        (["run", "tiny", "--quiett", "--step-scale", "2"], "did you mean --quiet or --steps-scale?"),
    ],
)
def test_missing_and_misread_values_exit_2_with_one_line(arguments, says, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    line = one_line(capsys)
    assert line.startswith("manyeyes: ") and says in line and f"`manyeyes {arguments[0]} --help`" in line


@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii"}, {"FORCE_COLOR": "1"}, {"COLUMNS": "40"}])
def test_a_wrong_flag_is_one_line_on_any_terminal(settings) -> None:
    code = "import sys; from manyeyes.cli.main import main; main(['run', 'tiny', '--step-scale', '2'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **settings})
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "did you mean --steps-scale?" in line and "\x1b" not in line


def test_a_mistake_that_is_drawn_in_another_way_is_shown_as_it_is(monkeypatch, capsys) -> None:
    import tyro

    def fail(*_, **__) -> None:
        print("unlike anything", file=sys.stderr)
        sys.exit(2)

    monkeypatch.setattr(tyro, "cli", fail)
    with pytest.raises(SystemExit):
        main(["recipes"])
    assert capsys.readouterr().err == "unlike anything\n"


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (DataError("cats.json: cut short, fetch it again"), 2, "manyeyes: cats.json: cut short, fetch it again"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "pip install 'manyeyes[train]'"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_expected_failures_are_one_line(error, status, says, capsys, monkeypatch) -> None:
    def fail() -> int:
        raise error

    stand_in(monkeypatch, fail)
    assert main(["run"]) == status
    assert says in one_line(capsys)


def test_a_bug_keeps_its_traceback(monkeypatch) -> None:
    stand_in(monkeypatch, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["run"])


def test_statuses_and_system_exits_pass_through(monkeypatch) -> None:
    stand_in(monkeypatch, lambda: 7)
    assert main(["run"]) == 7
    stand_in(monkeypatch, lambda: sys.exit(3))
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 3


def test_what_a_terminal_cannot_write_is_spelt_out(monkeypatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    stand_in(monkeypatch, lambda: print("✓ blå") or 0)
    assert main(["run"]) == 0
    sys.stdout.flush()
    assert written.getvalue() == b"\\u2713 bl\\xe5\n"


def test_a_closed_pipe_is_quiet() -> None:
    code = "import sys; from manyeyes.cli.main import main; sys.exit(main(['recipes', 'tiny']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_what_tyro_says_on_success_is_passed_on(monkeypatch, capsys) -> None:
    import tyro

    from manyeyes.cli.recipes import Options

    def warns(*_, **__) -> Options:
        print("a warning", file=sys.stderr)
        return Options()

    monkeypatch.setattr(tyro, "cli", warns)
    assert main(["recipes"]) == 0
    assert capsys.readouterr().err == "a warning\n"
