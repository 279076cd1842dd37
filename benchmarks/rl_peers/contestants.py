"""Who takes part: a process a side, kept over all rounds; peers live in environments made from requirements-*.txt."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rl_peers.case import Case

HERE = Path(__file__).parent
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
QUIET |= {"TRANSFORMERS_VERBOSITY": "error", "TRL_EXPERIMENTAL_SILENCE": "1"}
"""Nobody reports home while it is measured."""
TAIL = 1200
"""Characters of an error that are kept."""


class Contestant(NamedTuple):
    """A system in one configuration.

    Attributes:
        name: for people.
        script: in this folder.
        environment: "" for the one that this process runs in.
        options: that the script understands.
        threads: of its arithmetic.
    """

    name: str
    script: str
    environment: str = ""
    options: tuple[str, ...] = ()
    threads: int = 2


SYNC = Contestant("manyeyes, synchronous loop", "manyeyes_rl.py", options=("loop=sync", "engine=2"))
ASYNC = Contestant("manyeyes, asynchronous loop", "manyeyes_rl.py", options=("loop=async", "engine=2"))
TRL = Contestant("TRL", "peer_trl.py", "trl")


class Failed(Exception):
    """A side that gave no result."""


class Side:
    """A running contestant; `with Side.of(…)` ends it.

    Attributes:
        ready: what it said of itself.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", errors: Any, limit: float) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._errors, self._limit = process, errors, limit
        self._pipe, self._rest = process.stdout.fileno(), b""
        self.ready = self._told()

    @classmethod
    @contextmanager
    def of(cls, one: Contestant, case: Case, *, environments: Path, limit: float) -> "Iterator[Side]":
        """Started and ready.

        Raises:
            Failed: it gave no sign in time, or ended.
        """
        case = replace(case, threads=one.threads, options=one.options)
        python = str(_python(environments, one.environment)) if one.environment else sys.executable
        env = os.environ | QUIET | {"OMP_NUM_THREADS": str(one.threads)}
        with tempfile.TemporaryFile("w+b") as errors:
            process = subprocess.Popen(
                [python, str(HERE / one.script), *case.arguments()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=env,
            )  # fmt: skip
            try:
                yield cls(process, errors, limit)
            finally:
                process.kill()
                process.wait()

    def round(self) -> dict[str, Any]:
        """What a round took.

        Raises:
            Failed: see `of`.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self._told()

    def _told(self) -> dict[str, Any]:
        """The next line of JSON; whatever else it prints is passed over."""
        deadline = time.monotonic() + self._limit
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if end:
                self._rest = rest
                if line.startswith(b"{"):
                    return json.loads(line)
                continue
            if not select.select([self._pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise Failed(f"no result in {self._limit:g} s {self._said()}")
            block = os.read(self._pipe, 65536)
            if not block:
                raise Failed(f"ended without a result: {self._said()}")
            self._rest += block

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-TAIL:].strip()


def make_environment(folder: Path, name: str) -> None:
    """Make it where it is not there yet, or other versions are wanted now."""
    wanted, made = HERE / f"requirements-{name}.txt", folder / name / "requirements.txt"
    if made.is_file() and made.read_text() == wanted.read_text():
        return
    print(f"making {folder / name}", flush=True)
    venv.create(folder / name, with_pip=True)
    pip = [str(_python(folder, name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(wanted)], check=True)
    made.write_text(wanted.read_text())


def _python(folder: Path, name: str) -> Path:
    return folder / name / "bin" / "python"
