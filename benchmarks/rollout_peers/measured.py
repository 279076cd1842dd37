"""The case that every system runs, and how a run of it is measured; needs the standard library only.

    N tasks at once, each T turns: a completion of a mock, then a tool that takes a log-normal time

A process measures one run, after a small one that loads what is loaded late. CPU is user and system time of the process
and its children; memory is the peak resident size of the run less the size before it. Everybody's garbage collector is
spared: what was there before the run is frozen, and collections are rare.

Lag of the event loop: someone wants to be woken every 10 ms. Who comes late has also missed the times in between, which
count as well; otherwise a stall of a second would be one late arrival among many. `own` is the part of it in which this
process had a processor: on a busy machine the rest is other programs'.
"""

import argparse
import asyncio
import gc
import json
import math
import os
import random
import resource
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

GIVEN = 32
"""Tokens that a task begins with, and that a tool gives."""
TICK = 0.01
"""Seconds between two looks at the event loop."""
KEY = "not-a-secret"
"""Clients of peers refuse to start without a key."""


@dataclass(frozen=True)
class Case:
    """What is run.

    Attributes:
        url: of the mock server; "" for completions made in the same process.
        tasks: N; `turns` of each; `tokens` of each completion.
        delay, sigma: median of a tool's seconds, and the spread of its logarithm.
        group: tasks that belong together, where a system has groups.
        options: more that a system's script understands.
    """

    url: str = ""
    tasks: int = 1
    turns: int = 4
    tokens: int = 64
    delay: float = 1.0
    sigma: float = 0.6
    group: int = 8
    seed: int = 0
    options: frozenset[str] = frozenset()

    def delays(self) -> Callable[[], float]:
        """Draws the seconds that a tool takes."""
        draw, middle = random.Random(self.seed), math.log(self.delay) if self.delay else 0.0
        return lambda: draw.lognormvariate(middle, self.sigma) if self.delay else 0.0


@dataclass
class LoopLag:
    """How late an event loop is; see the module."""

    late: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            due, cpu = time.perf_counter() + TICK, time.process_time()
            await asyncio.sleep(TICK)
            lateness = time.perf_counter() - due
            own = min(lateness, time.process_time() - cpu)
            self.late += _missed(lateness)
            self.own += _missed(own)

    def told(self) -> dict[str, float]:
        """Seconds, by share of the times at which someone wanted to be woken."""
        late, own = sorted(self.late) or [0.0], sorted(self.own) or [0.0]
        return {
            "p50": late[len(late) // 2], "p99": late[len(late) * 99 // 100], "max": late[-1],
            "own_p99": own[len(own) * 99 // 100], "own_max": own[-1],
        }  # fmt: skip


def _missed(lateness: float) -> list[float]:
    """Of someone who came late, and of those times in between that he missed."""
    return [max(0.0, lateness - missed * TICK) for missed in range(max(1, math.ceil(lateness / TICK)))]


Told = Callable[[], dict[str, Any]]
Run = Callable[[Case], Coroutine[Any, Any, Told]]


def measure(run: Run, packages: Sequence[str]) -> None:
    """Run the case of the command line once, print what it took as one line of JSON.

    Args:
        run: gives what tells afterwards, unmeasured, what came out of a case: `finished`, the tasks that ended as they
            should, and more for the table.
    """
    case = _asked()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=_loops()) as runner:  # one loop for both: clients are kept
        runner.run(run(replace(case, tasks=min(8, case.tasks), delay=0.0)))
        print("warm", flush=True)
        input()  # the mock's counters begin anew
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 1000)
        size, cpu, began = _begin_peak(), _cpu(), time.perf_counter()
        lag = LoopLag()
        found = runner.run(_watched(run(case), lag))
        wall, took = time.perf_counter() - began, _cpu() - cpu
        told = {"wall": wall, "cpu": took, "kib_before": size, "kib": _status("VmHWM") - size, "lag": lag.told()}
    print(json.dumps(told | found() | {"versions": {name: version(name) for name in packages}}), flush=True)


async def _watched(work: Coroutine[Any, Any, Told], lag: LoopLag) -> Told:
    watching = asyncio.create_task(lag.watch())
    try:
        return await work
    finally:
        watching.cancel()


def _asked() -> Case:
    parser = argparse.ArgumentParser()
    for name, value in vars(Case()).items():
        if name != "options":
            parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--options", nargs="*", default=[])
    asked = parser.parse_args()
    asked.options = frozenset(asked.options)
    return Case(**vars(asked))


def _loops() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes event loops; None makes Python's own."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _begin_peak() -> float:
    """Forget the peak so far; returns the resident size in KiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name)))
