"""Who takes part, and one run of one of them: a process of its own beside the mock server, each on a core of its own.

Peers live in virtual environments that are made here from requirements-*.txt, one each.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
MOCK = HERE.parent / "rollout_mock.py"
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Nobody reports home while it is measured."""
TAIL = 600
"""Characters of an error that are kept."""


class Contestant(NamedTuple):
    """A system in one configuration.

    Attributes:
        name: for people.
        script: in this folder.
        environment: "" for the one that this process runs in.
        over_http: samples from the mock server.
        options: that the script understands.
    """

    name: str
    script: str
    environment: str = ""
    over_http: bool = False
    options: tuple[str, ...] = ()


TOKENS = Contestant("manyeyes, tokens", "manyeyes_tokens.py")
FAULTS = Contestant("manyeyes, tokens, in bad weather", "manyeyes_faults.py")
TEXTS = Contestant("manyeyes, texts", "manyeyes_texts.py")
HTTP = Contestant("manyeyes, tokens over HTTP", "manyeyes_tokens.py", over_http=True)
VERIFIERS = Contestant("verifiers 0.1.14 over HTTP", "peer_verifiers_0_1_14.py", "verifiers_0_1_14", over_http=True)
STUBBED = Contestant(
    "verifiers 0.1.14, client stubbed", "peer_verifiers_0_1_14.py", "verifiers_0_1_14", True, ("stub",)
)
PROCESSES = Contestant("verifiers 0.4.0, a process each", "peer_verifiers_0_4_0.py", "verifiers_0_4_0", over_http=True)
PEERS = (VERIFIERS, STUBBED, PROCESSES)


class Load(NamedTuple):
    """What is run: so many tasks at once, of so many turns, with tools of this median time; the server's pieces."""

    tasks: int
    turns: int = 4
    delay: float = 1.0
    tokens: int = 64
    pieces: int = 1

    @property
    def all_turns(self) -> int:
        """Of all tasks together."""
        return self.tasks * self.turns


class Mock(NamedTuple):
    """The mock server's process."""

    url: str

    def stats(self) -> dict[str, Any]:
        """What it counted since the last question."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=60) as answer:
            return json.load(answer)


@contextmanager
def mock(load: Load, *, latency: float = 0.05) -> Iterator[Mock]:
    """A mock server that ends with the block."""
    asked = {"latency": latency, "tokens": load.tokens, "pieces": load.pieces}
    command = [sys.executable, str(MOCK), *(f"--{name}={value}" for name, value in asked.items())]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: _pin(1)
    )
    try:
        assert server.stdout is not None
        yield Mock(server.stdout.readline().strip())
    finally:
        server.kill()
        server.wait()


def make_environments(folder: Path, contestants: Iterable[Contestant]) -> None:
    """Make the environments that are not there yet, one after the other."""
    for name in dict.fromkeys(one.environment for one in contestants if one.environment):
        wanted = HERE / f"requirements-{name}.txt"
        made = folder / name / "requirements.txt"
        if made.is_file() and made.read_text() == wanted.read_text():
            continue
        print(f"making {folder / name}", flush=True)
        venv.create(folder / name, with_pip=True)
        pip = [str(_python(folder, name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(wanted)], check=True)
        made.write_text(wanted.read_text())


def run(one: Contestant, load: Load, *, environments: Path, limit: float, seed: int = 0) -> dict[str, Any]:
    """One run in a fresh process: what it took and what came out, or `error`."""
    if not one.over_http:
        return _run(one, load, None, environments, limit, seed)
    with mock(load) as at:
        return _run(one, load, at, environments, limit, seed)


def _run(one: Contestant, load: Load, at: Mock | None, environments: Path, limit: float, seed: int) -> dict[str, Any]:
    python = str(_python(environments, one.environment)) if one.environment else sys.executable
    asked = {"tasks": load.tasks, "turns": load.turns, "delay": load.delay, "tokens": load.tokens, "seed": seed}
    asked |= {"url": at.url} if at is not None else {}
    command = [python, str(HERE / one.script), *(f"--{name}={value}" for name, value in asked.items())]
    before = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*command, *(["--options", *one.options] if one.options else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=os.environ | QUIET,
            preexec_fn=lambda: _pin(0),
        )  # fmt: skip
        try:
            took = _driven(process, at, limit)
        except _Failed as failure:
            errors.seek(0)
            return {"error": f"{failure} {errors.read()[-TAIL:]}".strip()}
        finally:
            process.kill()
            process.wait()
    return valid(one, took | {"load_average": [before, round(os.getloadavg()[0], 2)]}, load)


def _driven(process: "subprocess.Popen[bytes]", at: Mock | None, limit: float) -> dict[str, Any]:
    """Wait until the process is warm, let the server count anew, then let it run."""
    lines = _Lines(process)
    lines.wait(b"warm", limit)
    if at is not None:
        at.stats()
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    took = json.loads(lines.wait(b"{", limit))
    return took if at is None else took | {"server": at.stats()}


class _Failed(Exception):
    """A run that gave no result."""


class _Lines:
    """A process's lines, with a deadline."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self.pipe, self.rest = process.stdout.fileno(), b""

    def wait(self, begin: bytes, limit: float) -> bytes:
        """The next line that begins so."""
        deadline = time.monotonic() + limit
        while True:
            line, end, rest = self.rest.partition(b"\n")
            if end:
                self.rest = rest
                if line.startswith(begin):
                    return line
                continue
            if not select.select([self.pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise _Failed(f"did not finish in {limit:g} s")
            block = os.read(self.pipe, 65536)
            if not block:
                raise _Failed("ended without a result:")
            self.rest += block


def valid(one: Contestant, took: dict[str, Any], load: Load) -> dict[str, Any]:
    """A run counts when every task came to its end with as many turns as it has; in bad weather they are counted."""
    if one is FAULTS:
        return took
    if took["finished"] != load.tasks or took["turns"] != load.all_turns:
        told = f"{took['finished']} tasks and {took['turns']} turns"
        return {
            "error": f"void: {load.tasks} tasks and {load.all_turns} turns expected, got {told}; {took.get('errors')}"
        }
    server = took.get("server")
    if server is not None and "stub" not in one.options and server["answers"] != load.all_turns:
        return {"error": f"void: the server gave {server['answers']} answers, expected {load.all_turns}"}
    return took


def _pin(place: int) -> None:
    """Bind this process to one core, where there are two."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[place]})


def _python(folder: Path, name: str) -> Path:
    return folder / name / "bin" / "python"
