"""`manyeyes swarm`: what is typed wrongly is one line; a task on a fake endpoint; the demo; stop and resume."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manyeyes.agent.fakes import FakeEndpoint
from manyeyes.agent.record import plain_outcome
from manyeyes.agent.task import Outcome
from manyeyes.cli.main import main
from manyeyes.cli.swarm import Options, demo_again, new_folder
from manyeyes.cli.swarm_attend import ask_first, endpoint_key, told
from manyeyes.cli.swarm_view import View
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event, Journal, read
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.swarm.session import Session, SessionConfig

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
        (["demo", "--model", "nowhere"], "no run 'nowhere'"),
        (["x", "--model", "nowhere", "--code", "off"], "no run 'nowhere'"),
        (["x", "--endpoint", "http://x", "--model", "m", "--search", "local:no", "--code", "off"], "no such folder"),
        (["export"], "swarm export RUN"),
        (["x", "--endpoint", "http://x", "--model", "m", "--inputs", "nowhere", "--code", "off"], "--inputs nowhere"),
        (["x", "--endpoint", "http://x", "--model", "m", "--mcp", "nowhere.json"], "nowhere.json: No such file"),
        (["x", "--endpoint", "http://x", "--model", "m", "--depth", "0", "--code", "off"], "--depth must be 1 or more"),
        (["demo", "--endpoint", "http://x"], "needs a model"),
        (["x", "--endpoint", "http://x", "--model", "m", "--search", "searxng"], "searxng:http"),
        (["x", "--endpoint", "http://x", "--model", "m", "--search", "brave"], "MANYEYES_SEARCH_KEY"),
        (["x", "--endpoint", "localhost:8000", "--model", "m"], "http:// or https://"),
        (["x", "--endpoint", "http://me:pw@x/v1", "--model", "m"], "no name, password or query"),
        (["x", "--endpoint", "http://x/v1/chat/completions", "--model", "m"], "leave out /chat/completions"),
        (["x", "--endpoint", "http://x", "--model", "m", "--concurrency", "0"], "--concurrency must be 1 or more"),
        (["x", "--endpoint", "http://x", "--model", "m", "--port", "99999"], "--port must be between"),
        (["x", "--endpoint", "http://x", "--model", "m", "--code", "off", "--tokens", "-4"], "--tokens must be more"),
        (["x", "--endpoint", "http://x", "--model", "m", "--code", "off", "--seconds", "0"], "--seconds must be more"),
        (["x", "--endpoint", "http://x", "--model", "m", "--code", "off", "--most-agents", "0"], "--most-agents must"),
        (["x", "--endpoint", "http://x", "--model", "m", "--code", "off", "--price", "-1", "2"], "not be negative"),
        (
            ["x", "--endpoint", "http://x", "--model", "m", "--code", "off", "--folder", "/proc/x"],
            "name another folder",
        ),
        (["demo", "please"], "leave out 'please'"),
        (["resume", "one", "two"], "name the run"),
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


@contextmanager
def serving(policy) -> Iterator[str]:
    """An endpoint in a thread of its own."""
    loop, server = asyncio.new_event_loop(), FakeEndpoint(policy)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(30)
    yield server.url
    asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def test_agents_search_a_folder_of_pages(runs, tmp_path: Path, capsys) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "danube.md").write_text("# Danube\n\nThe Danube is 2,850 km long.\n")

    def policy(messages) -> Message:
        results = [message.text for message in messages if message.role == "tool"]
        if not results:
            return assistant("", calls=(ToolCall("a", "search", '{"queries": ["Danube"]}'),))
        if len(results) == 1:
            url = re.search(r"https://folder\.invalid/\S+", results[0])
            assert url is not None
            return assistant("", calls=(ToolCall("b", "open", json.dumps({"url": url[0]})),))
        return assistant(results[1])

    with serving(policy) as url:
        words = ["swarm", "How long?", "--endpoint", url, "--model", "fake", "--mode", "single"]
        assert main([*words, "--search", f"local:{tmp_path / 'pages'}", "--code", "off", "--plain"]) == 0
    assert "2,850 km long" in capsys.readouterr().out


def test_a_dead_endpoint_ends_with_its_reason(runs, capsys, monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.openai_chat.FIRST_PAUSE", 0.001)
    assert main(["swarm", "3 2", "--endpoint", "http://127.0.0.1:9/v1", "--model", "fake"]) == 1
    assert "cannot be reached" in capsys.readouterr().out


def test_an_endpoint_that_wants_a_key_says_where_it_comes_from(runs, capsys, monkeypatch) -> None:
    async def refused(session, *_, **__) -> Outcome:
        return Outcome("error", "", "http://x/v1: HTTP 401: who are you?")

    monkeypatch.delenv("MANYEYES_API_KEY", raising=False)
    monkeypatch.setattr("manyeyes.swarm.session.Session.run", refused)
    assert main(["swarm", "x", "--endpoint", "http://x/v1", "--model", "m", "--code", "off", "--plain"]) == 1
    assert "export MANYEYES_API_KEY=" in capsys.readouterr().out


@pytest.mark.parametrize(("key", "taken"), [("sk-one\n", "sk-one"), (" sk-one ", "sk-one"), ("", "")])
def test_a_key_is_taken_without_the_line_break_of_its_file(monkeypatch, key: str, taken: str) -> None:
    monkeypatch.setenv("MANYEYES_API_KEY", key)
    assert endpoint_key() == taken


def test_a_key_that_cannot_be_one_is_refused_and_not_shown(monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_API_KEY", "sk-one\nsk-two")
    with pytest.raises(ConfigError, match="MANYEYES_API_KEY") as caught:
        endpoint_key()
    assert "sk-" not in str(caught.value)


def test_a_run_that_is_over_tells_its_answer_without_its_tools(runs, capsys, tmp_path) -> None:
    folder = runs / "over"
    config = SessionConfig("x", endpoint="http://x/v1", model="m", mcp=str(tmp_path / "gone.json"))
    Session.create(folder, config)
    with Journal(folder) as journal:
        journal.append("run.started", mode="swarm", model="m")
        journal.append("agent.created", agent="main", role="", task="main", prompt="x", call="")
        journal.append("agent.finished", agent="main", outcome=plain_outcome(Outcome("done", "42")))
    assert main(["swarm", "export", "over", "--to", str(tmp_path / "a.md")]) == 2
    assert "manyeyes swarm resume" in capsys.readouterr().err
    assert main(["swarm", "resume", "over", "--plain"]) == 0
    assert "42" in capsys.readouterr().out and (folder / "answer.md").read_text() == "42\n"


def test_names_that_agents_gave_to_files_do_nothing_to_the_terminal(runs, capsys) -> None:
    session = Session.create(runs / "one", SessionConfig("x", endpoint="http://x/v1", model="m"))
    (session.folder / "artefacts" / "\x1b]0;owned\x07.txt").touch()
    told(session, Outcome("done", "\x1b[2J42"))
    said = capsys.readouterr().out
    assert "artefact: " in said and "42" in said and "\x1b" not in said and "\x07" not in said


def test_what_never_began_sends_no_spans(runs, capsys) -> None:
    Session.create(runs / "new", SessionConfig("x", endpoint="http://x/v1", model="m"))
    assert main(["swarm", "export", "new", "--to", "http://127.0.0.1:9"]) == 2
    assert "has not begun" in capsys.readouterr().err


def test_the_end_of_the_input_is_no_yes(runs, monkeypatch, capsys) -> None:
    folder = runs / "stopped"
    session = Session.create(folder, SessionConfig("x", endpoint="http://x/v1", model="m"))
    with Journal(folder) as journal:
        journal.append("run.started", mode="swarm", model="m")
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", _ends)
    with pytest.raises(ConfigError, match="nothing was changed"):
        ask_first(session, yes=False)


def _ends(prompt: str) -> str:
    raise EOFError


def test_a_run_of_a_demo_is_not_resumed_without_its_rules(runs, capsys) -> None:
    Session.create(runs / "demo" / "one", SessionConfig("x", model="rules"))
    assert main(["swarm", "resume", str(runs / "demo" / "one"), "--yes"]) == 2
    error = capsys.readouterr().err
    assert "names no endpoint" in error and f"manyeyes swarm demo --folder {runs / 'demo'}" in error


def test_a_run_that_never_began_costs_nothing_to_resume(runs, capsys) -> None:
    ask_first(Session.create(runs / "new", SessionConfig("x", endpoint="http://x/v1", model="m")), yes=False)
    assert capsys.readouterr().out == ""


def test_what_was_paused_and_resumed_is_not_said_to_be_paused(monkeypatch, capsys) -> None:
    view = View(plain=True)
    monkeypatch.setattr(View, "attended", True)
    events = [Event(0, "run.started", 1.0), Event(1, "run.paused", 2.0, data={"reason": "HTTP 402"})]
    view.replay([*events, Event(2, "run.resumed", 9.0)])
    assert capsys.readouterr().out == "" and not view.state.paused_for
    view.take(Event(3, "run.paused", 10.0, data={"reason": "HTTP 402"}))
    assert "paused: HTTP 402" in capsys.readouterr().out


def test_a_demo_goes_on_with_what_it_was_begun_with() -> None:
    options = Options(("demo",), tasks=1, questions=0, endpoint="http://x/v1", model="a b")
    again = demo_again(options, Path("my runs"))
    assert again == "demo --folder 'my runs' --tasks 1 --questions 0 --endpoint http://x/v1 --model 'a b'"


def test_a_demo_whose_endpoint_is_dead_says_so_and_fails(runs, capsys, monkeypatch) -> None:
    monkeypatch.setattr("manyeyes.agent.openai_chat.FIRST_PAUSE", 0.001)
    flags = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--plain"]
    assert main(["swarm", "demo", "--tasks", "1", "--questions", "0", *flags]) == 1
    said = capsys.readouterr().out
    assert "single failed" in said and "swarm failed" in said and "cannot be reached" in said
    (folder,) = runs.glob("swarm-demo-*")
    assert main(["swarm", "show", str(folder)]) == 2
    assert "holds 2 runs" in capsys.readouterr().err


def test_runs_of_the_same_second_have_folders_of_their_own(runs, monkeypatch) -> None:
    taken = iter([runs / "swarm-1", runs / "swarm-1", runs / "swarm-2"])
    monkeypatch.setattr("manyeyes.cli.swarm.new_run_path", lambda *_: next(taken))
    assert [new_folder("swarm"), new_folder("swarm")] == [runs / "swarm-1", runs / "swarm-2"]


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
