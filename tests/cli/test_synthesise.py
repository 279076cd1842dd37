"""`manyeyes synthesise`: from the command line to a file that `manyeyes run` learns from."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.fakes import FakeEndpoint
from manyeyes.cli.flags import parsed
from manyeyes.cli.synthesise import Options, main
from manyeyes.cli.teachers import Models, key_for, named
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.messages import Message, assistant
from manyeyes.data.dialogue_file import DialogueFile


def policy(messages: Sequence[Message]) -> Message:
    """Adds one; grades whatever it is to grade with the best level."""
    said = messages[-1].text
    if '"mark"' in said:
        form = json.loads(said.splitlines()[-1])
        levels = {name: int(str(value)[-2]) for name, value in form.items() if name != "mark"}
        return assistant(json.dumps({"mark": form["mark"]} | levels))
    return assistant(str(int(said.split()[2]) + 1), reasoning="I add.")


@contextmanager
def endpoint(key: str = "") -> Iterator[str]:
    """The address of an endpoint that serves from a thread of its own: the command has an event loop of its own."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), list[Any]()

    async def serve() -> None:
        async with FakeEndpoint(policy, key=key) as fake:
            found.extend((fake.url, stop := asyncio.Event()))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(found[1].set)
        thread.join()


def ran(*words: str) -> int:
    return main(parsed(Options, words, command="manyeyes synthesise", about=None))


@pytest.fixture
def seeds(runs: Path) -> str:
    """A file of seeds in the folder that the user is in."""
    Path("mine.jsonl").write_text(
        "\n".join(json.dumps({"prompt": f"What is {n} + 1?", "truth": str(n + 1)}) for n in range(5))
    )
    return "mine.jsonl"


def test_pipelines_are_listed(capsys) -> None:
    assert ran() == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("reasoning", "dialogue", "tools", "zero_vision"))


def test_a_teacher_behind_an_endpoint_and_a_grader(runs: Path, seeds: str, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_API_KEY", "sk-0123456789")
    with endpoint("sk-0123456789") as url:
        words = (seeds, "--teacher", f"kimi@{url}", "--judge", f"other@{url}", "--folder", "out")
        assert ran(*words) == 0
        out = capsys.readouterr().out
        assert "5 dialogues" in out and "stages.sft.mixture.segments.0.weights." in out
        before = Path("out/dialogues.jsonl").read_bytes()
        assert ran(*words) == 0 and Path("out/dialogues.jsonl").read_bytes() == before
    file = DialogueFile("out/dialogues.jsonl")
    assert len(file) == 5 and file.dialogue(4).messages[-1].text == "5"
    origin = json.loads(before.splitlines()[0])["provenance"]
    assert origin["teacher"] == f"kimi@{url}" and origin["stages"]["grade"]["score"] == 1.0
    assert b"sk-0123456789" not in b"".join(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())


def test_a_model_of_ones_own_is_a_teacher(runs: Path, seeds: str, random_model: Path, capsys) -> None:
    """It has learned nothing, so nothing is kept; what it said is there all the same."""
    assert ran(seeds, "--teacher", str(random_model), "--tokens", "8", "--seeds", "2", "--folder", "out") == 1
    assert "nothing was kept" in capsys.readouterr().out
    report = json.loads(Path("out/report.json").read_text())
    assert report["candidates"] == 2 and all(counts["unasked"] == 0 for counts in report["teachers"].values())


def test_another_question_needs_another_folder(runs: Path, seeds: str) -> None:
    with endpoint() as url:
        assert ran(seeds, "--teacher", f"a@{url}", "--folder", "out") == 0
        with pytest.raises(ConfigError, match="out was begun with seed 0, not 1; name another"):
            ran(seeds, "--teacher", f"a@{url}", "--folder", "out", "--seed", "1")
        with pytest.raises(ConfigError, match="instruction None, not 'Be brief.'"):
            ran(seeds, "--teacher", f"a@{url}", "--folder", "out", "--instruction", "Be brief.")
        Path("out/config.json").write_text("{")
        with pytest.raises(ConfigError, match="no folder of this command"):
            ran(seeds, "--teacher", f"a@{url}", "--folder", "out")
        Path("else").mkdir()
        Path("else/notes.txt").write_text("mine")
        with pytest.raises(ConfigError, match="not empty; name another --folder"):
            ran(seeds, "--teacher", f"a@{url}", "--folder", "else")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing", "--teacher", "a@http://x"], "no domain 'nothing'; there are reasoning"),
        (["tools"], "name a teacher"),
        (["tools", "--teacher", "a@ftp://x"], "must begin with http"),
        (["tools", "--teacher", "a@localhost:8000"], "begins with http:// or https://"),
        (["tools", "--teacher", "a@http://x", "--keep", "0"], "--keep must be at least 1"),
        (["tools", "--teacher", "a@http://a-b.c", "--judge", "a@http://a.b.c"], "would both be sent the key in"),
        (["tools", "--teacher", "@http://x"], "expected NAME@URL"),
        (["tools", "--teacher", "gone"], "no run 'gone'"),
        (["tools", "--teacher", "a@http://x", "--judge", "gone"], "no run 'gone'"),
        (["tools", "--teacher", "a@http://x", "--seeds", "0"], "--seeds must be at least 1"),
        (["tools", "--teacher", "a@http://x", "--least-grade", "2"], "--least-grade must be from 0 to 1"),
        (["gone.jsonl", "--teacher", "a@http://x"], "gone.jsonl: cannot be read"),
    ],
)
def test_wrong_input_is_refused_before_a_folder_is_made(words: list[str], says: str, runs: Path) -> None:
    with pytest.raises(ManyeyesError, match=says):
        ran(*words, "--folder", "out")
    assert not Path("out").exists() and not runs.exists()


def test_no_host_is_sent_the_key_of_another(monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_API_KEY", "key-of-one-host")
    monkeypatch.setenv("MANYEYES_API_KEY_API_B_COM_8443", "key-of-the-other")
    one, other = named("a@https://api.a.com/v1"), named("b@https://api.b.com:8443/v1")
    assert key_for(one, [one]) == key_for(one, [one, named("c@https://api.a.com/v1")]) == "key-of-one-host"
    assert key_for(other, [one, other]) == "key-of-the-other" and key_for(one, [one, other]) == ""
    assert Models(["a@https://api.a.com/v1"], at_once=1).keys == ["key-of-one-host"]


def test_people_are_told_when_seeds_are_left_out(runs: Path, seeds: str, capsys) -> None:
    many = [json.dumps({"prompt": f"What is {n} + 1?", "truth": str(n + 1)}) for n in range(70)]
    Path(seeds).write_text("\n".join(many))
    with endpoint() as url:
        assert ran(seeds, "--teacher", f"a@{url}", "--folder", "some", "--seeds", "2") == 0
        assert "holds 70 seeds; --seeds takes the first 2" in capsys.readouterr().out
        assert ran(seeds, "--teacher", f"a@{url}", "--folder", "all") == 0
    out = capsys.readouterr().out
    assert "70 seeds, 1 teacher, in all" in out and "takes the first" not in out
    assert json.loads(Path("all/report.json").read_text())["candidates"] == 70


def test_names_of_models_may_hold_what_names_of_hosts_cannot() -> None:
    one = named("me@org/model@https://API.a.com/v1")
    assert (one.name, one.host) == ("me@org/model", "api.a.com")


def test_a_model_of_ones_own_is_written_down_by_name_alone(random_model: Path, tmp_path: Path) -> None:
    assert named(str(random_model)).label in random_model.parts[-2:]
    run = tmp_path / "run-1"
    (run / "model").mkdir(parents=True)
    (run / "model" / "config.json").write_text("{}")
    (run / "config.json").write_text("{}")
    (run / "metrics.jsonl").write_text("")
    assert named(str(run)).label == "run-1" and named(str(run / "model")).label == "run-1"
