"""`manyeyes serve`: what is refused before anything is loaded, what is printed, and how it stops."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from manyeyes.cli.flags import parsed
from manyeyes.cli.listening import given_token
from manyeyes.cli.serve import Options, main, serve_until_stopped
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.media import MediaRules
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.server import ChatServer

TOKENIZER = Tokenizer.tiny()
COMMAND = "from manyeyes.cli import serve; from manyeyes.cli.flags import parsed; import sys; " \
          "sys.exit(serve.main(parsed(serve.Options, sys.argv[1:], command='manyeyes serve', about='')))"  # fmt: skip


def ask(url: str, token: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
        return json.load(answer)


def test_the_whole_command_serves_a_trained_model(random_model, tmp_path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-1").symlink_to(random_model)
    arguments = [str(random_model), "--port", "0", "--name", "tiny", "--device", "cpu", "--threads", "2",
                 "--weights-root", str(random_model.parent)]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first, second, third = (process.stdout.readline() for _ in range(3))
        found, token = re.search(r"tiny is served at (\S+)", first), second.removeprefix("token: ").strip()
        assert found, process.stderr and process.stderr.read()
        assert third.startswith("computes with PyTorch") and third.endswith("CPU threads: 2\n")
        url = found[1]
        assert ask(url + "/models", token)["data"][0]["id"] == "tiny"
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "temperature": 0}
        said = ask(url + "/chat/completions", token, chat)
        assert said["usage"]["completion_tokens"] == 5 and said["choices"][0]["finish_reason"] == "length"
        schema = {"enum": ["yes", "no"]}
        said = ask(url + "/chat/completions", token, chat | {
            "max_tokens": 20, "chat_template_kwargs": {"thinking": False},
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}})  # fmt: skip
        assert json.loads(said["choices"][0]["message"]["content"]) in ("yes", "no")
        base = url.removesuffix("/v1")
        state = ask(base + "/update_weights", token, {"path": random_model.name, "version": 3})
        assert state == {"paused": False, "version": 3}
        done = ask(base + "/generate", token, {"ids": [1, 2, 3], "params": {"max_new_tokens": 4}})
        assert done["versions"] == [3] * 4 and len(done["logprobs"]) == 4
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(url + "/models", "wrong")
        assert caught.value.code == 401
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and out == "stopping\n" and err == ""
    finally:
        process.kill()


def test_sigterm_finishes_what_runs(capsys) -> None:
    async def work() -> int:
        go = asyncio.Event()
        fake = FakeSampler(lambda request: TOKENIZER.encode("Hi"), vocab_size=TOKENIZER.n_vocab, pace=go.wait)
        served = Served("tiny", TOKENIZER, MediaRules(), 512, Grammars(TOKENIZER))
        server = ChatServer(fake, served, control=fake)
        serving = asyncio.create_task(serve_until_stopped(server, "tiny", "computes with a fake", token_told=False))
        await until(lambda: "token: " in (said := capsys.readouterr().out) and server.token in said)
        body = {"model": "tiny", "prompt": "x"}
        answer = asyncio.create_task(asyncio.to_thread(ask, server.url + "/completions", server.token, body))
        await until(lambda: fake.running == 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: server.desk.draining)
        assert not serving.done()
        go.set()
        assert (await answer)["choices"][0]["text"] == "Hi"
        return await serving

    assert asyncio.run(work()) == 0
    assert "stopping; 1 answers are under way" in capsys.readouterr().out


async def until(true) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.002)


def refused(arguments: list[str]) -> str:
    with pytest.raises(ManyeyesError) as caught:
        main(parsed(Options, arguments, command="manyeyes serve", about=""))
    (line,) = str(caught.value).splitlines()
    return line


def test_a_port_that_is_taken_is_one_line_before_anything_is_loaded(random_model) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        line = refused([str(random_model), "--port", str(taken.getsockname()[1])])
    assert "cannot be used" in line and "--port" in line and "torch" not in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--token-file", "nothing.txt"], "cannot be read"),
        (["--port", "70000"], "65535"),
        (["--host", "no.such.host.invalid", "--token-file", "token.txt"], "cannot be used"),
        (["--weights-root", "nothing"], "no folder"),
        (["--device", "tpu", "--port", "0"], "expected auto, cpu"),
        (["--most-requests", "0"], "at least one"),
        (["--threads", "-1"], "--threads must be 1 or more"),
        (["--cache-tokens", "0", "--port", "0"], "cache_tokens"),
    ],
)
def test_wrong_settings_are_one_line(arguments, says, runs, random_model) -> None:
    Path("token.txt").write_text("a-token-that-is-long-enough\n")
    assert says in refused([str(random_model), *arguments])


def test_wrong_folders_are_one_line(runs, random_model, tmp_path) -> None:
    assert "manyeyes run tiny" in refused(["--port", "0"])
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "tiktoken.model" in refused([str(empty), "--port", "0"])
    for missing, says in (("tiktoken.model", "tiktoken.model"), ("*.safetensors", "safetensors")):
        cut = tmp_path / f"without-{says}"
        cut.mkdir()
        for file in random_model.iterdir():
            if not file.match(missing):
                (cut / file.name).symlink_to(file)
        assert says in refused([str(cut), "--port", "0"])


def test_the_token_of_a_file(tmp_path) -> None:
    (tmp_path / "token").write_text("a-token-that-is-long-enough\n")
    (tmp_path / "short").write_text("short")
    assert given_token(tmp_path / "token", host="127.0.0.1") == "a-token-that-is-long-enough"
    assert given_token(None, host="127.0.0.1") is None
    with pytest.raises(ManyeyesError, match="16"):
        given_token(tmp_path / "short", host="127.0.0.1")
