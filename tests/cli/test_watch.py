"""`manyeyes watch`."""

import codecs
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from manyeyes.cli.main import main
from manyeyes.core.runlog import RunFolder
from manyeyes.view.fake_run import config_of, fake_run


def test_a_snapshot_of_the_latest_run(runs, capsys) -> None:
    fake_run(runs / "tiny-1", scale=0.1, upto=0.9)
    assert main(["watch", "--once"]) == 0
    out = capsys.readouterr().out
    assert "joint" in out and "loss" in out and "vqa" not in out
    assert main(["watch", "tiny-1"]) == 0  # no terminal: a snapshot as well
    assert capsys.readouterr().out.splitlines()[:8] == out.splitlines()[:8]


def test_a_run_without_steps_and_without_a_log(runs, capsys) -> None:
    RunFolder.create(runs / "tiny-1", config_of())
    assert main(["watch", "--once"]) == 0
    assert "no step yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "manyeyes run tiny"),
        (["nothing"], "no run 'nothing'"),
        (["folder"], "not a run folder"),
        (["--every", "0"], "--every must be above 0"),
    ],
)
def test_wrong_input_is_one_line(arguments, says, runs, tmp_path, capsys) -> None:
    (tmp_path / "here" / "folder").mkdir()
    assert main(["watch", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_damaged_log_is_one_line(runs, capsys) -> None:
    run = fake_run(runs / "tiny-1", scale=0.02)
    run.metrics_path.write_text("not json\n" + run.metrics_path.read_text())
    assert main(["watch", "--once"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "line 1 is not a metrics row" in line


def test_the_report_is_rewritten_and_metrics_exported(runs, tmp_path, capsys) -> None:
    pytest.importorskip("tensorboard")
    run = fake_run(runs / "tiny-1", scale=0.05)
    assert main(["watch", "--html", "--tensorboard", str(tmp_path / "board")]) == 0
    assert "values written" in capsys.readouterr().out and run.report_path.exists()
    assert any((tmp_path / "board").glob("events*"))


def in_a_terminal(arguments: list[str], *, until: str, then) -> tuple[str, int]:
    """What it writes into a terminal, and its status; `then(process)` is called once it has written `until`."""
    reader, writer = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "110", "LINES": "50"}
    code = "import sys; from manyeyes.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=writer, stdout=writer, stderr=writer, env=environment
    )
    os.close(writer)
    seen, called = "", False
    try:
        for data in written(reader, deadline=time.monotonic() + 60):
            seen += data
            if not called and until in plain(seen):
                called = True
                then(process)
        assert called, plain(seen)
        return plain(seen), process.wait(timeout=30)
    finally:
        os.close(reader)
        process.kill()
        process.wait()


def written(reader: int, *, deadline: float):
    """What comes out of a terminal, until it is closed at the other end."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            data = os.read(reader, 65536)
        except OSError:  # closed
            return
        if not data:
            return
        yield decoder.decode(data)
    raise TimeoutError("the command did not end in time")


def plain(text: str) -> str:
    """Without colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_it_follows_to_the_end_of_a_run(runs) -> None:
    run = fake_run(runs / "tiny-1", scale=0.03, upto=0.9)

    def finish(process) -> None:
        run.log("finished", 36, seconds=1.0)

    text, status = in_a_terminal(["watch", "--every", "0.2", "--html"], until="joint", then=finish)
    assert status == 0 and "joint" in text and "finished" in text
    assert "finished" in run.report_path.read_text()


def test_ctrl_c_leaves_the_run_alone(runs) -> None:
    fake_run(runs / "tiny-1", scale=0.03, upto=0.9)

    def interrupt(process) -> None:
        process.send_signal(signal.SIGINT)

    text, status = in_a_terminal(["watch", "--every", "0.2"], until="joint", then=interrupt)
    assert status == 0 and "the run goes on" in text and "Traceback" not in text
