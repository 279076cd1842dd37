"""What does a swarm cost beside its model calls? N sub-agents of M steps against a mock endpoint of fixed latency.

    python benchmarks/swarm_overhead.py [--repeats 5] [--agents 100 1000] [--peers-at 100] [--limit 300]

manyeyes, streaming and with its journal on, beside openai-agents, pydantic-ai, deepagents and smolagents: the same
endpoint, the same script (swarm_peers/case.py), each peer in an environment of its own, delegating as its
documentation says, without tracing, with the limits of its HTTP pool lifted and on uvloop ("as it comes": neither).
Peers do not stream, which is how their sub-agents run unless told otherwise. Linux only.

Each run is a fresh process on one core, the endpoint has another. All take turns in one interleaved run; the first
round warms up and is not counted. A run counts only when calls and results are as many as they must be. The bound is
the critical path: (2 + M + 1) calls that follow one another. CPU is the client's, divided by the calls; memory is the
peak over what the process had before, divided by N. Besides: the ramp (128 sub-agents: seconds from the end of the
orchestrator's answer until the k-th asks for the first time), and a step's CPU over the length of its history.

Prints a table, writes benchmarks/results/swarm_overhead.json.
"""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import swarm_history
from swarm_peers.contestants import (
    AS_THEY_COME,
    OURS,
    PEERS,
    Contestant,
    Endpoint,
    Load,
    endpoint,
    make_environments,
    run,
)

RESULT = Path(__file__).parent / "results" / "swarm_overhead.json"
ENVIRONMENTS = Path.home() / ".cache" / "manyeyes" / "benchmark-peers"
RAMP = Load(agents=128, steps=1)
SHORT_REPEATS = 3
"""Of the ramp and of long histories, whose figures come from many steps each."""
MANY, LARGE_REPEATS = 200, 1
"""With more sub-agents than that, a run takes peers a minute or more; it is counted so often."""
WALL_GOALS = {100: 1.25, 1000: 2.6}
"""Over the bound, by sub-agents."""


@dataclass
class Field:
    """Who takes part, where, and what came out.

    Attributes:
        runs: good ones by load and name; `failures`: why the others are void.
    """

    environments: Path
    limit: float
    runs: dict[tuple[Load, str], list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[tuple[Load, str], list[str]] = field(default_factory=dict)

    def rounds(self, contestants: Sequence[tuple[Contestant, int]], load: Load, at: Endpoint) -> None:
        """Everybody in turn, each so often after a round that warms up; who fails that one is not asked again."""
        left = dict(contestants)
        for number in range(max(left.values()) + 1):
            for one in [one for one, repeats in left.items() if number <= repeats]:
                took = run(one, load, at, environments=self.environments, limit=self.limit)
                if "error" in took:
                    self.failures.setdefault((load, one.name), []).append(took["error"])
                    left[one] = left[one] if number else 0
                elif number:
                    self.runs.setdefault((load, one.name), []).append(took)
                print(f"{load.agents:5d} x {load.steps:<3d} {one.name:28s} {_short(took)}", flush=True)

    def rows(self, load: Load, latency: float) -> dict[str, Any]:
        """Figures of everybody under one load."""
        names = dict.fromkeys(name for of, name in [*self.runs, *self.failures] if of == load)
        return {name: self._row(load, name, latency) for name in names}

    def _row(self, load: Load, name: str, latency: float) -> dict[str, Any]:
        good, bad = self.runs.get((load, name), []), self.failures.get((load, name), [])
        told: dict[str, Any] = {"runs": len(good), **({"void": bad} if bad else {})}
        return told | figures(good, load, latency) if good else told


def figures(runs: Sequence[dict[str, Any]], load: Load, latency: float) -> dict[str, Any]:
    """Medians, and minima beside them."""
    wall, cpu = [took["wall"] for took in runs], [1e3 * took["cpu"] / load.calls for took in runs]
    seen = [took["endpoint"] for took in runs]
    bound = load.bound(latency)
    return {
        "wall_seconds": round(statistics.median(wall), 3), "wall_seconds_min": round(min(wall), 3),
        "wall_over_bound": round(statistics.median(wall) / bound, 3),
        "cpu_ms_per_call": round(statistics.median(cpu), 3), "cpu_ms_per_call_min": round(min(cpu), 3),
        "kib_per_agent": round(statistics.median(took["kib"] / load.agents for took in runs), 1),
        "most_in_flight": max(one["most_in_flight"] for one in seen),
        "last_first_request": round(statistics.median(one["begun"][-1] for one in seen), 3),
        "first_request_of_128th": _median_of_128th(seen),
        "endpoint_busy": round(statistics.median(took["endpoint"]["cpu"] / took["wall"] for took in runs), 2),
        "versions": runs[-1]["versions"],
    }  # fmt: skip


def _median_of_128th(seen: Sequence[dict[str, Any]]) -> float | None:
    moments = [one["begun"][127] for one in seen if len(one["begun"]) >= 128]
    return round(statistics.median(moments), 3) if moments else None


class Goal(NamedTuple):
    """What was wanted, and what came out."""

    what: str
    goal: float
    found: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.found <= self.goal if self.at_most else self.found >= self.goal


def goals(results: dict[str, Any]) -> Iterator[Goal]:
    """Those of the figures that were measured."""
    for load in results["loads"]:
        ours = load["systems"].get(OURS.name, {})
        if "wall_over_bound" not in ours:
            continue
        agents = load["agents"]
        if ours["first_request_of_128th"] is not None:
            yield Goal(f"seconds to the 128th first request of {agents}", 0.5, ours["first_request_of_128th"])
        if agents not in WALL_GOALS:
            continue
        yield Goal(f"wall over bound at {agents}", WALL_GOALS[agents], ours["wall_over_bound"])
        yield Goal(f"CPU ms per call at {agents}", 0.5, ours["cpu_ms_per_call"])
        yield Goal(f"KiB per agent at {agents}", 60, ours["kib_per_agent"])
        for peer in PEERS:
            if "cpu_ms_per_call" in load["systems"].get(peer.name, {}):
                ratio = round(load["systems"][peer.name]["cpu_ms_per_call"] / ours["cpu_ms_per_call"], 1)
                yield Goal(f"CPU of {peer.name} over ours at {agents}", 8, ratio, at_most=False)
    if OURS.name in results["history"]:
        yield Goal("CPU of a step at 200 messages over 10", 2, results["history"][OURS.name]["growth"])


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for."""
    peers = [] if asked.alone else [*PEERS, *AS_THEY_COME]
    make_environments(asked.environments, peers)
    found, load_before = Field(asked.environments, asked.limit), round(os.getloadavg()[0], 2)
    loads = [Load(agents, asked.steps) for agents in asked.agents]
    tuned = [OURS, *(peer for peer in peers if peer.tuned)]
    with endpoint(asked.latency, agents=max(asked.agents, default=1)) as at:
        for load in loads:
            found.rounds(line_up(load, peers, asked), load, at)
        found.rounds([(one, min(asked.repeats, SHORT_REPEATS)) for one in tuned], RAMP, at)
    with endpoint(0.0, agents=1) as at:
        found.rounds([(one, min(asked.repeats, SHORT_REPEATS)) for one in tuned], swarm_history.LOAD, at)
    return {
        "repeats": asked.repeats, "latency": asked.latency, "machine": machine(), "load_average_before": load_before,
        "loads": [
            {
                "agents": load.agents, "steps": load.steps, "calls": load.calls,
                "bound_seconds": round(load.bound(asked.latency), 3), "systems": found.rows(load, asked.latency),
            }
            for load in (*loads, RAMP)
        ],
        "history": {
            name: swarm_history.row(runs) for (load, name), runs in found.runs.items() if load == swarm_history.LOAD
        },
    }  # fmt: skip


def line_up(load: Load, peers: Sequence[Contestant], asked: argparse.Namespace) -> list[tuple[Contestant, int]]:
    """Who runs under a load, and how often: where it takes peers minutes, less often and only at their best."""
    if load.agents > asked.peers_at:
        return [(OURS, asked.repeats)]
    large = load.agents > MANY
    repeats = min(asked.repeats, LARGE_REPEATS) if large else asked.repeats
    return [(OURS, asked.repeats), *((peer, repeats) for peer in peers if peer.tuned or not large)]


def machine() -> dict[str, Any]:
    """On what it was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "system": platform.system(), "python": platform.python_version()}


def report(results: dict[str, Any]) -> None:
    """Print the tables."""
    for load in results["loads"]:
        what = f"{load['agents']} sub-agents of {load['steps']} steps"
        print(f"\n{what}, {load['calls']} calls, bound {load['bound_seconds']} s")
        for name, row in load["systems"].items():
            print(f"  {name:28s} {_told(row)}")
    print("\nCPU ms of a step by messages sent")
    for name, row in results["history"].items():
        lengths = "  ".join(f"{length}: {ms:.2f}" for length, ms in row["cpu_ms_by_messages"].items())
        print(f"  {name:28s} {lengths}  x{row['growth']:.2f}")
    print("\ngoals")
    for goal in results["goals"]:
        print(f"  {goal['what']:48s} {goal['found']:8g}  goal {goal['goal']:g}  {'met' if goal['met'] else 'MISSED'}")


def _told(row: dict[str, Any]) -> str:
    void = f"  {len(row['void'])} void: {row['void'][-1][-160:]!r}" if "void" in row else ""
    if not row["runs"]:
        return void.strip()
    return (
        f"wall {row['wall_seconds']:7.3f} s (min {row['wall_seconds_min']:.3f})  x{row['wall_over_bound']:.2f}  "
        f"CPU {row['cpu_ms_per_call']:6.3f} ms a call (min {row['cpu_ms_per_call_min']:.3f})  "
        f"{row['kib_per_agent']:6.1f} KiB an agent  last began after {row['last_first_request']:.3f} s{void}"
    )


def _short(took: dict[str, Any]) -> str:
    return took["error"][:120] if "error" in took else f"{took['wall']:.3f} s, CPU {took['cpu']:.3f} s"


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers-at", type=int, default=100, help="most sub-agents at which peers take part")
    parser.add_argument("--alone", action="store_true", help="without peers")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a run is given up")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where peers are installed")
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    results = measure(asked)
    results["goals"] = [goal._asdict() | {"met": goal.met} for goal in goals(results)]
    report(results)
    asked.result.parent.mkdir(exist_ok=True)
    asked.result.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
