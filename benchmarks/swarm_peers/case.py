"""The case that every system runs, and how a run of it is measured; needs the standard library only.

A script for the mock endpoint travels inside of the system prompts, as a marker that systems pass on untouched:

    orchestrator    first answer: its calls;  second answer: "merged"
    sub-agent       M answers with one call of `look_up` each;  then "found it"

A process measures one run, after one of a single sub-agent that loads what is loaded late. Memory is the
peak resident size of the run less the size before it; CPU is user and system time of the process and its children.
"""

import argparse
import asyncio
import base64
import gc
import json
import os
import resource
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FOUND, MERGED = "found it", "merged"
KEY = "not-a-secret"
"""Clients of peers refuse to start without a key."""


@dataclass
class Case:
    """What is run.

    Attributes:
        url: base of the endpoint.
        agents: sub-agents; `steps`: calls of `look_up` that each makes, one after the other.
        tuned: pool limits lifted and uvloop, where a system has such settings; otherwise everything as it comes.
        cpu: seconds of CPU at each call of `look_up`, in order.
    """

    url: str
    agents: int
    steps: int
    tuned: bool = True
    cpu: list[float] = field(default_factory=list)

    def found(self, key: str) -> str:
        """What `look_up` gives."""
        self.cpu.append(time.process_time())
        return f"value of {key}"

    @property
    def most_turns(self) -> int:
        """Answers of a sub-agent, with room to spare."""
        return self.steps + 10


Run = Callable[[Case], Coroutine[Any, Any, str]] | Callable[[Case], str]


def finder(case: Case, *, end: dict[str, Any] | None = None) -> str:
    """System prompt of a sub-agent. `end`: the call that it ends with where a text is no end."""
    step = {"name": "look_up", "arguments": {"key": "{i}"}}
    return "You look things up. " + _marker({"role": "finder", "steps": case.steps, "call": step, "end": end})


def orchestrator(
    case: Case, call: dict[str, Any], *, first: Sequence[dict[str, Any]] = (), end: dict[str, Any] | None = None
) -> str:
    """System prompt of the orchestrator.

    Args:
        call: that delegates; "{i}" stands for the number of the sub-agent.
        first: calls of the same answer that come before.
        end: the call that it ends with where a text is no end.
    """
    script = {"role": "orchestrator", "agents": case.agents, "call": call, "first": list(first), "end": end}
    return "You hand out work. " + _marker(script)


def _marker(script: dict[str, Any]) -> str:
    return f"[[mock {base64.b64encode(json.dumps(script).encode()).decode()}]]"


def measure(run: Run, packages: Sequence[str]) -> None:
    """Run the case of the command line once, print what it took as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--agents", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--defaults", action="store_true")
    asked = parser.parse_args()
    case = Case(asked.url, asked.agents, asked.steps, tuned=not asked.defaults)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=_loops(tuned=case.tuned)) as runner:  # one loop for both: peers keep clients
        took = _measured(case, lambda case: said if isinstance(said := run(case), str) else runner.run(said))
    print(json.dumps(took | {"versions": {name: version(name) for name in packages}}), flush=True)


def _loops(*, tuned: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes event loops; None makes Python's own. Systems of threads need neither, and may have no uvloop."""
    if not tuned or find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def _measured(case: Case, run: Callable[[Case], str]) -> dict[str, Any]:
    run(Case(case.url, 1, case.steps, case.tuned))
    print("warm", flush=True)
    input()  # the endpoint's counters begin anew
    gc.collect()
    size, cpu, began = _begin_peak(), _cpu(), time.perf_counter()
    said = run(case)
    wall = time.perf_counter() - began
    return {
        "said": said, "wall": wall, "cpu": _cpu() - cpu, "kib_before": size, "kib": _status("VmHWM") - size,
        "loop_cpu": case.cpu if case.agents == 1 else [],
    }  # fmt: skip


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
