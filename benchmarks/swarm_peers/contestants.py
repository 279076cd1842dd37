"""Who takes part, and one run of one of them: a process of its own beside the mock endpoint, each on a core of its own.

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
MOCK = HERE.parent / "swarm_mock.py"
QUIET = {
    "LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
}  # fmt: skip
"""Nobody reports home while it is measured."""
TAIL = 600
"""Characters of an error that are kept."""


class Contestant(NamedTuple):
    """A system in one configuration.

    Attributes:
        name: for people.
        script: in this folder.
        environment: "" for the one that this process runs in.
        tuned: pool limits lifted, uvloop, threads as needed; otherwise as it comes.
    """

    name: str
    script: str
    environment: str = ""
    tuned: bool = True


OURS = Contestant("manyeyes", "manyeyes_swarm.py")
PEERS = (
    Contestant("openai-agents", "peer_openai_agents.py", "openai_agents"),
    Contestant("pydantic-ai", "peer_pydantic_ai.py", "pydantic_ai"),
    Contestant("deepagents", "peer_deepagents.py", "deepagents"),
    Contestant("smolagents", "peer_smolagents.py", "smolagents"),
)
AS_THEY_COME = tuple(peer._replace(name=f"{peer.name}, as it comes", tuned=False) for peer in PEERS)


class Load(NamedTuple):
    """What is run: N sub-agents of M steps."""

    agents: int
    steps: int

    @property
    def calls(self) -> int:
        """Of the model: two of the orchestrator, M + 1 of each sub-agent."""
        return 2 + self.agents * (self.steps + 1)

    def bound(self, latency: float) -> float:
        """Seconds of the critical path: the calls that must follow one another."""
        return (2 + self.steps + 1) * latency


class Endpoint(NamedTuple):
    """The mock endpoint's process."""

    url: str
    latency: float

    def stats(self) -> dict[str, Any]:
        """What it counted since the last question."""
        with urllib.request.urlopen(self.url.replace("/v1", "/stats"), timeout=60) as answer:
            return json.load(answer)


@contextmanager
def endpoint(latency: float, *, agents: int) -> Iterator[Endpoint]:
    """A mock endpoint that ends with the block."""
    command = [sys.executable, str(MOCK), "--latency", str(latency), "--agents", str(agents)]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: _pin(1)
    )
    try:
        assert server.stdout is not None
        yield Endpoint(server.stdout.readline().strip(), latency)
    finally:
        server.kill()
        server.wait()


def make_environments(folder: Path, contestants: list[Contestant]) -> None:
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


def run(one: Contestant, load: Load, at: Endpoint, *, environments: Path, limit: float) -> dict[str, Any]:
    """One run in a fresh process: what it took and what the endpoint saw, or `error`."""
    python = str(_python(environments, one.environment)) if one.environment else sys.executable
    command = [python, str(HERE / one.script), at.url, "--agents", str(load.agents), "--steps", str(load.steps)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*command, *([] if one.tuned else ["--defaults"])],
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
    return valid(took, load)


def _driven(process: subprocess.Popen[bytes], at: Endpoint, limit: float) -> dict[str, Any]:
    """Wait until the process is warm, let the endpoint count anew, then let it run."""
    lines = _Lines(process)
    lines.wait(b"warm", limit)
    at.stats()
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    took = json.loads(lines.wait(b"{", limit))
    return took | {"endpoint": at.stats()}


class _Failed(Exception):
    """A run that gave no result."""


class _Lines:
    """A process's lines, with a deadline."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
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


def valid(took: dict[str, Any], load: Load) -> dict[str, Any]:
    """A run counts when the answer is right, and calls and results are as many as they must be."""
    seen = took["endpoint"]
    right = took["said"] == "merged" and seen["strange"] == 0 and seen["in_flight"] == 0
    if right and seen["calls"] == seen["answers"] == load.calls and seen["reported"] >= load.agents:
        return took
    told = {name: seen[name] for name in ("calls", "answers", "strange", "in_flight", "reported")}
    return {"error": f"void: {load.calls} calls and {load.agents} results expected, got {told}, {took['said']!r}"}


def _pin(place: int) -> None:
    """Bind this process to one core, where there are two."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[place]})


def _python(folder: Path, name: str) -> Path:
    return folder / name / "bin" / "python"
