"""`manyeyes swarm`: what is typed wrongly is one line; a task on a fake endpoint; the demo; stop and resume."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from manyeyes.cli.main import main
from manyeyes.core.journal import read

SERVER = Path(__file__).parents[1] / "swarm" / "swarm_server.py"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to do"),
        (["find it"], "--endpoint URL --model NAME"),
        (["find it", "--endpoint", "http://x", "--model", "m", "--search", "gogle"], "expected searxng, tavily"),
        (["find it", "--endpoint", "http://x", "--model", "m", "--preset", "big"], "browsecomp, widesearch, internal"),
        (["find it", "--endpoint", "http://x", "--model", "m", "--cost", "1"], "--price"),
        ([" ", "--endpoint", "http://x", "--model", "m"], "needs a task"),
        (["resume"], "name the run"),
        (["resume", "nowhere"], "no run 'nowhere'"),
        (["resume", "nowhere", "--search", "tavily"], "leave out --search"),
        (["resume", "nowhere", "--mode", "single", "--code", "off"], "leave out --mode, --code"),
        (["show", "nowhere"], "no run 'nowhere'"),
        (["export"], "swarm export RUN"),
        (["x", "--endpoint", "http://x", "--model", "m", "--inputs", "nowhere", "--code", "off"], "--inputs nowhere"),
        (["x", "--endpoint", "http://x", "--model", "m", "--mcp", "nowhere.json"], "nowhere.json: No such file"),
        (["x", "--endpoint", "http://x", "--model", "m", "--depth", "0", "--code", "off"], "--depth must be 1 or more"),
        (["demo", "--endpoint", "http://x"], "needs both"),
        (["x", "--endpoint", "http://x", "--model", "m", "--search", "searxng"], "searxng:http"),
        (["x", "--endpoint", "http://x", "--model", "m", "--search", "brave"], "MANYEYES_SEARCH_KEY"),
    ],
)
def test_wrong_input_is_one_line(runs, arguments: list[str], said: str, capsys) -> None:
    assert main(["swarm", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert not list(runs.glob("*"))


@pytest.fixture
def endpoint():
    server = subprocess.Popen([sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.kill()
    server.wait()


def test_a_task_is_done_on_an_endpoint_and_leaves_a_run_without_the_key(runs, endpoint, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_API_KEY", "sk-very-secret")
    assert main(["swarm", "3 2", "--endpoint", endpoint, "--model", "fake"]) == 0
    said = capsys.readouterr().out
    assert "merged: found 0 | found 1 | found 2" in said and "3 sub-agents" in said and "critical" in said
    (folder,) = runs.glob("swarm-*")
    assert (folder / "answer.md").read_text().startswith("merged")
    assert not any(b"very-secret" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert json.loads((folder / "config.json").read_text())["task"] == "3 2"


def test_inputs_are_there_and_what_came_of_it_is_exported(runs, endpoint, capsys, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("read me")
    given = ["--inputs", str(tmp_path / "notes.txt"), "--code", "off", "--plain"]
    assert main(["swarm", "2 1", "--endpoint", endpoint, "--model", "fake", *given]) == 0
    (folder,) = runs.glob("swarm-*")
    assert (folder / "inputs" / "notes.txt").read_text() == "read me"
    (folder / "answer.md").write_text("| City | People |\n|---|---|\n| Rome | 2.8 |\n")
    for suffix, holds in (
        (".csv", b"Rome,2.8"),
        (".md", b"| Rome | 2.8 |"),
        (".html", b"<!doctype html>"),
        (".xlsx", b"PK"),
    ):
        assert main(["swarm", "export", folder.name, "--to", str(tmp_path / f"out{suffix}")]) == 0
        assert holds in (tmp_path / f"out{suffix}").read_bytes()
    capsys.readouterr()
    for to, said in (("", "--to FILE"), ("out.pdf", "got 'out.pdf'"), ("no/where.csv", "no folder no")):
        assert main(["swarm", "export", folder.name, "--to", to]) == 2 and said in capsys.readouterr().err


def test_a_dead_endpoint_ends_with_its_reason(runs, capsys, monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.openai_chat.FIRST_PAUSE", 0.001)
    assert main(["swarm", "3 2", "--endpoint", "http://127.0.0.1:9/v1", "--model", "fake"]) == 1
    assert "cannot be reached" in capsys.readouterr().out


def test_the_demo_runs_both_modes_and_the_swarm_is_no_worse(runs, capsys, monkeypatch) -> None:
    from manyeyes.swarm import demo

    monkeypatch.setattr(demo.DemoConfig, "__init__", _quick(demo.DemoConfig))
    assert main(["swarm", "demo", "--tasks", "1", "--plain"]) == 0
    said = capsys.readouterr().out
    assert "single" in said and "swarm" in said and "faster" in said and "answer right" in said
    assert len(list(runs.glob("swarm-demo-*/*/answer.md"))) == 4


def _quick(kind):
    original = kind.__init__

    def init(self, **settings) -> None:
        original(self, **(settings | {"model_seconds": 0.0, "page_seconds": 0.0}))

    return init


def test_ctrl_c_stops_and_resume_goes_on(runs, endpoint) -> None:
    command = [sys.executable, "-m", "manyeyes.cli.main", "swarm"]
    flags = ["--endpoint", endpoint, "--model", "fake"]
    first = subprocess.Popen([*command, "4 30", *flags], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    deadline = time.monotonic() + 60
    while not (found := list(runs.glob("swarm-*/events.jsonl"))) or found[0].read_text().count("tool.finished") < 8:
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 130 and "resume" in said
    (folder,) = runs.glob("swarm-*")
    again = subprocess.run(
        [*command, "resume", folder.name], capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )
    assert again.returncode == 0 and "merged: found 0" in again.stdout, again.stderr
    assert "agents are not finished" in again.stdout and "Spent so far" in again.stdout
    events = read(folder).events
    turns = Counter((event.agent, event.data["turn"]) for event in events if event.kind == "llm.finished")
    assert set(turns.values()) == {1} and [e.kind for e in events].count("run.resumed") == 1
