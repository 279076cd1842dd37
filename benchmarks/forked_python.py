"""What does Python cost an attempt that looks at one picture once? A forked child beside a kernel of IPython.

    python benchmarks/forked_python.py [--rollouts 1000] [--kernels 64] [--at-once 16] [--repeats 3]

A rollout: open the toolset, one call `print(im.shape)` on a picture of 64x64 that is a file inside, close.
Each run is a fresh process with one thread to a library, in a control group that counts the processor time of all that
it starts: sandbox, children, kernels, and what the kernel does for them. The start of the first sandbox is not counted
in a rollout; it is told apart. All take turns; the median of the repeats. Kernels are the toolset `ipython` as the
puzzles use it: pictures in a folder of the host, read by the call itself.

Needs Linux, a sandbox, and the right to make groups of the controller cpuacct (version 1).
Prints a table, writes benchmarks/results/forked_python.json.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.tools.forked_python import ForkedPython
from manyeyes.agent.tools.forked_python_pool import ForkedPythons
from manyeyes.agent.tools.ipython import IPython
from manyeyes.agent.workspace import Workspace

RESULT = Path(__file__).parent / "results" / "forked_python.json"
GROUPS = ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct")
LOAD = "import numpy as np; from PIL import Image; im = np.array(Image.open('/inputs/picture.png'))"
CALL = "print(im.shape)"
SHOWN = "(64, 64, 3)\n"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
GOAL_MS = 15.0

Rollout = Callable[[], Awaitable[None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=1000, help="with forked children")
    parser.add_argument("--kernels", type=int, default=64, help="with kernels of IPython, which take longer")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--run", choices=tuple(CONTESTANTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        print(json.dumps(asyncio.run(measured(given.run, given.rollouts, given.at_once))))
        return
    wanted = {"forked": given.rollouts, "kernels": given.kernels}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in wanted}
    for _ in range(given.repeats):
        for name, rollouts in wanted.items():
            runs[name].append(in_a_process(name, rollouts, given.at_once))
    rows = [row(name, runs[name], wanted[name]) for name in wanted]
    for one in rows:
        said = (
            f"{one['contestant']:<8} {one['cpu_ms']:>8.1f} ms of processor a rollout, {one['wall_ms']:>8.1f} ms of wall"
        )
        print(f"{said} ({one['rollouts']} rollouts, {given.at_once} at once)")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cpu": processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    told = {"machine": machine, "at_once": given.at_once, "repeats": given.repeats, "goal_cpu_ms": GOAL_MS}
    given.out.write_text(json.dumps(told | {"rows": rows}, indent=2) + "\n")


def row(name: str, runs: list[dict[str, float]], rollouts: int) -> dict[str, Any]:
    """The medians of a contestant's runs, and every run's processor time."""
    medians = {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
    return {
        "contestant": name,
        "rollouts": rollouts,
        **medians,
        "cpu_ms_runs": [round(run["cpu_ms"], 3) for run in runs],
    }


def in_a_process(name: str, rollouts: int, at_once: int) -> dict[str, float]:
    """One run."""
    line = [sys.executable, __file__, "--run", name, "--rollouts", str(rollouts), "--at-once", str(at_once)]
    done = subprocess.run(line, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


async def measured(name: str, rollouts: int, at_once: int) -> dict[str, float]:
    """Processor time and wall time of a rollout, in ms; the first one starts what all share, and is told apart."""
    group = ProcessorTime()
    try:
        rollout, close = CONTESTANTS[name]()
        began, used = time.perf_counter(), group.seconds
        await rollout()
        first = {"first_cpu_ms": 1e3 * (group.seconds - used), "first_wall_ms": 1e3 * (time.perf_counter() - began)}
        began, used, own = time.perf_counter(), group.seconds, time.process_time()
        left = iter(range(rollouts))

        async def worker() -> None:
            for _ in left:
                await rollout()

        await asyncio.gather(*(worker() for _ in range(at_once)))
        found = {
            "cpu_ms": 1e3 * (group.seconds - used) / rollouts,
            "own_cpu_ms": 1e3 * (time.process_time() - own) / rollouts,
            "wall_ms": 1e3 * (time.perf_counter() - began) / rollouts,
        }
        await close()
        return found | first
    finally:
        group.leave()


class ProcessorTime:
    """A control group that this process joins, and all that it starts with it."""

    def __init__(self) -> None:
        top = next((Path(path) for path in GROUPS if Path(path, "cpuacct.usage").exists()), None)
        if top is None:
            raise SystemExit("needs the control group cpuacct (version 1); this machine has none")
        self._top, self._folder = top, top / f"manyeyes-benchmark-{os.getpid()}"
        self._folder.mkdir()
        self._join(self._folder)

    @property
    def seconds(self) -> float:
        """Of all processes so far, those that are gone included."""
        return int((self._folder / "cpuacct.usage").read_text()) / 1e9

    def leave(self) -> None:
        """Go back, and remove it."""
        self._join(self._top)
        for _ in range(100):
            with suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.02)

    def _join(self, folder: Path) -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))


def picture() -> bytes:
    """64x64, of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def forked() -> tuple[Rollout, Callable[[], Awaitable[None]]]:
    """Children of one warm process."""
    pythons, content = ForkedPythons(), picture()

    async def rollout() -> None:
        python = ForkedPython(pythons, files={"picture.png": content}, preamble=LOAD)
        await python.open()
        assert (await python.run(CALL)).text == SHOWN
        await python.close()

    return rollout, pythons.close


def kernels() -> tuple[Rollout, Callable[[], Awaitable[None]]]:
    """A kernel of IPython each, as environments have used it."""
    shared, content = SharedSandbox(), picture()

    def fill(workspace: Workspace) -> None:
        (workspace.inputs / "picture.png").write_bytes(content)

    async def rollout() -> None:
        async with shared.lent(fill) as workspace:
            python = IPython(await shared.kernels(), workspace, str(workspace.work))
            result = await python.run(f"{LOAD}\n{CALL}", seconds=120.0)
            assert result.text == SHOWN, result.text
            await python.close()

    return rollout, shared.close


CONTESTANTS = {"forked": forked, "kernels": kernels}


def processor() -> str:
    """Its name."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor()


if __name__ == "__main__":
    main()
