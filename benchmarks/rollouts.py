"""What does a rollout cost beside its model and its tools? 100,000 tasks of 4 turns at once, and in bad weather.

    python benchmarks/rollouts.py [--quick] [--alone] [--repeats 3] [--only tokens faults texts http peers]

    tokens    a token environment, completions made in the process, a deadline on every wait, log-normal tools
    faults    the same with failures, hangs, cancellations, new weights every 10 s, and leases of a pool
    texts     the loop of texts and tools, every answer sampled, read and written as tokens
    http      the same token environment over HTTP, against a mock of the token API in a process of its own
    peers     verifiers 0.1.14 (coroutines of one process) and 0.4.0 (a process a rollout) at the N that they reach,
              against the same mock; manyeyes beside them at that N; all of them in turn, round by round

A run is a fresh process on one core, the mock has another. A run counts only when every task came to its end with all
of its turns. CPU is the client's, divided by turns; memory is the peak above what the process had before and above the
bytes of ids, log-probabilities and versions, all of which are kept until the end. Linux only.

Prints a table, writes benchmarks/results/rollouts.json.
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

from rollout_peers.contestants import (
    FAULTS,
    HTTP,
    PEERS,
    PROCESSES,
    STUBBED,
    TEXTS,
    TOKENS,
    VERIFIERS,
    Contestant,
    Load,
    make_environments,
    run,
)

RESULT = Path(__file__).parent / "results" / "rollouts.json"
ENVIRONMENTS = Path.home() / ".cache" / "manyeyes" / "benchmark-peers"
PARTS = ("tokens", "faults", "texts", "http", "peers")
MOST_MIB = 1.2 * 1024
NOTHING = ("lost", "duplicated", "unexplained", "leaked_leases", "leaked_instances")
"""What there may be none of in bad weather."""


class Entry(NamedTuple):
    """Somebody, under a load, so often."""

    one: Contestant
    load: Load
    repeats: int = 1


LARGE = {
    "tokens": [Entry(TOKENS, Load(100_000, delay=12.0))],
    "faults": [Entry(FAULTS, Load(100_000, delay=4.0))],
    "texts": [Entry(TEXTS, Load(5_000, delay=4.0))],
    "http": [Entry(HTTP, Load(10_000, delay=4.0)), Entry(HTTP, Load(2_000, delay=4.0, pieces=64))],
}
SMALL = {
    "tokens": [Entry(TOKENS, Load(400, delay=0.05))],
    "faults": [Entry(FAULTS, Load(200, delay=0.2))],
    "texts": [Entry(TEXTS, Load(50, delay=0.05))],
    "http": [Entry(HTTP, Load(200, delay=0.05))],
}
BESIDE, ONE_TURN = Load(1_000), Load(16, turns=1, delay=0.0)
"""What peers reach."""


@dataclass
class Field:
    """Who takes part, where, and what came out.

    Attributes:
        runs: good ones by name and load; `failures`: why the others are void.
    """

    environments: Path
    limit: float
    runs: dict[tuple[str, Load], list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[tuple[str, Load], list[str]] = field(default_factory=dict)

    def rounds(self, entries: Sequence[Entry]) -> None:
        """Everybody in turn, as often as each is asked for."""
        for number in range(max(entry.repeats for entry in entries)):
            for one, load, repeats in entries:
                if number < repeats:
                    took = run(one, load, environments=self.environments, limit=self.limit, seed=number)
                    place = self.failures if "error" in took else self.runs
                    place.setdefault((one.name, load), []).append(took.get("error", took))
                    print(f"{load.tasks:7,d} x {load.turns}  {one.name:34s} {_short(took)}", flush=True)

    def rows(self) -> list[dict[str, Any]]:
        """Figures of everybody."""
        names = dict.fromkeys([*self.runs, *self.failures])
        return [self._row(name, load) for name, load in names]

    def _row(self, name: str, load: Load) -> dict[str, Any]:
        good, bad = self.runs.get((name, load), []), self.failures.get((name, load), [])
        told: dict[str, Any] = {"system": name, **load._asdict(), "runs": len(good), **({"void": bad} if bad else {})}
        return told | figures(good, load) if good else told


def figures(runs: Sequence[dict[str, Any]], load: Load) -> dict[str, Any]:
    """Medians of what was measured, and what the last run counted."""
    last = runs[-1]
    cpu = [1e6 * took["cpu"] / took["turns"] for took in runs]
    above = [(took["kib"] - took.get("token_kib", 0.0)) / 1024 for took in runs]
    told: dict[str, Any] = {
        "cpu_us_per_turn": round(statistics.median(cpu), 1), "cpu_us_per_turn_min": round(min(cpu), 1),
        "mib_above_tokens": round(statistics.median(above), 1),
        "kib_per_task": round(1024 * statistics.median(above) / load.tasks, 1),
        "wall_seconds": round(statistics.median(took["wall"] for took in runs), 1),
        "lag_seconds": {name: round(statistics.median(took["lag"][name] for took in runs), 4) for name in last["lag"]},
        "load_average": last["load_average"], "versions": last["versions"],
    }  # fmt: skip
    told["turns_done"] = last["turns"]
    counted = ("finished", "most_live", "ended", "failures", "retries", "updates", "turns_of_two_versions",
               "leases", "pool", "token_kib", "server", "counts", *NOTHING)  # fmt: skip
    return told | {name: last[name] for name in counted if name in last}


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


def goals(rows: Sequence[dict[str, Any]]) -> Iterator[Goal]:
    """Those of the figures that were measured, each by the largest load of its kind."""
    large = {row["system"]: row for row in sorted(rows, key=lambda row: row["tasks"]) if row["runs"]}
    if row := large.get(TOKENS.name):
        what = f"{row['tasks']:,} tasks of tokens"
        yield Goal(f"{what}: lost and duplicated", 0, row["lost"] + row["duplicated"])
        yield Goal(f"{what}: finished", row["tasks"], row["finished"], at_most=False)
        yield Goal(f"{what}: alive at once", row["tasks"], row["most_live"], at_most=False)
        yield Goal(f"{what}: MiB above the token data", MOST_MIB, row["mib_above_tokens"])
        yield Goal(f"{what}: CPU us per turn", 120, row["cpu_us_per_turn"])
        yield Goal(f"{what}: p99 of the loop's lag, s", 0.3, row["lag_seconds"]["p99"])
        yield Goal(f"{what}: the same, own CPU alone, s", 0.3, row["lag_seconds"]["own_p99"])
    if row := large.get(FAULTS.name):
        for name in NOTHING:
            yield Goal(f"{row['tasks']:,} tasks in bad weather: {name.replace('_', ' ')}", 0, row[name])
    if row := next((row for row in rows if row["system"] == HTTP.name and row["pieces"] == 1 and row["runs"]), None):
        yield Goal(f"{row['tasks']:,} tasks over HTTP: CPU us per turn", 600, row["cpu_us_per_turn"])
    yield from _ratios(rows)


def _ratios(rows: Sequence[dict[str, Any]]) -> Iterator[Goal]:
    """Ours beside theirs, in the same run."""
    cpu = {(row["system"], row["tasks"]): row["cpu_us_per_turn"] for row in rows if row["runs"] and row["pieces"] == 1}
    theirs = cpu.get((VERIFIERS.name, BESIDE.tasks))
    if theirs is None:
        return
    most = max((tasks for name, tasks in cpu if name == TOKENS.name), default=0)
    if ours := cpu.get((TOKENS.name, most)):
        what = f"CPU of a turn, {VERIFIERS.name} : {TOKENS.name} made in process, {most:,}"
        yield Goal(what, 50, round(theirs / ours, 1), at_most=False)
    if ours := cpu.get((HTTP.name, BESIDE.tasks)):
        yield Goal(f"CPU of a turn, {VERIFIERS.name} : {HTTP.name}", 10, round(theirs / ours, 1), at_most=False)


def entries(asked: argparse.Namespace) -> dict[str, list[Entry]]:
    """What is run, by part."""
    parts = dict(SMALL if asked.quick else LARGE)
    if not asked.alone:
        beside = [Entry(one, BESIDE, asked.repeats) for one in (TOKENS, HTTP, VERIFIERS, STUBBED)]
        parts["peers"] = [*beside, Entry(PROCESSES, ONE_TURN)]
    return {part: parts[part] for part in asked.only if part in parts}


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for."""
    wanted = entries(asked)
    make_environments(asked.environments, PEERS if "peers" in wanted else ())
    found, before = Field(asked.environments, asked.limit), round(os.getloadavg()[0], 2)
    for part in wanted.values():
        found.rounds(part)
    return {"repeats": asked.repeats, "machine": machine(), "load_average_before": before, "systems": found.rows()}


def machine() -> dict[str, Any]:
    """On what it was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "system": platform.system(), "python": platform.python_version()}


def report(results: dict[str, Any]) -> None:
    """Print the tables."""
    print(
        "\nsystem                              tasks x turns   CPU us/turn   KiB/task  lag p99 (own)     wall s  load"
    )
    for row in results["systems"]:
        name = row["system"] + (f", {row['pieces']} lines an answer" if row["pieces"] > 1 else "")
        print(f"{name:34s} {row['tasks']:8,d} x {row['turns']}   {_told(row)}")
    print("\ngoals")
    for goal in results["goals"]:
        print(f"  {goal['what']:84s} {goal['found']:10,g}  {'met' if goal['met'] else 'MISSED'}")


def _told(row: dict[str, Any]) -> str:
    void = f"  {len(row['void'])} void: {row['void'][-1][-160:]!r}" if "void" in row else ""
    if not row["runs"]:
        return void.strip()
    lag = row["lag_seconds"]
    return (
        f"{row['cpu_us_per_turn']:13,.0f} {row['kib_per_task']:10,.1f}  {lag['p99']:.3f} ({lag['own_p99']:.3f})"
        f"{row['wall_seconds']:12,.1f}  {row['load_average'][-1]:.1f}{void}"
    )


def _short(took: dict[str, Any]) -> str:
    return took["error"][:160] if "error" in took else f"{took['wall']:.1f} s, CPU {took['cpu']:.1f} s"


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few hundred tasks, to see whether it works")
    parser.add_argument("--alone", action="store_true", help="without peers")
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--repeats", type=int, default=3, help="rounds beside peers")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds after which a run is given up")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where peers are installed")
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    results = measure(asked)
    results["goals"] = [goal._asdict() | {"met": goal.met} for goal in goals(results["systems"])]
    report(results)
    asked.result.parent.mkdir(exist_ok=True)
    asked.result.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
