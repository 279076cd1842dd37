"""What does a gateway cost, and what does it recover? Captured calls of 64 clients, beside three other gateways.

    python benchmarks/gateway.py [--rounds 3] [--calls 3000] [--clients 64] [--python3-12 python3.12]

manyeyes in front of an OpenAI-compatible endpoint (the figure that is compared) and of a sampler over the token API,
beside rLLM's gateway, agent-lightning's server and LiteLLM's proxy, each pinned in an environment of its own
(gateway_peers/), with one worker, on one core; the mock endpoint (gateway_mock.py) and the clients have the other. All
take turns in one interleaved run; a first round warms up. Linux only.

    CPU       user and system of the gateway's process tree, divided by calls
    latency   of a closed loop; "added" is what it has over the same loop straight to the mock, beside it in each round
    memory    growth of what is resident, divided by calls, over all rounds

Each call's answer is checked, and the gateway is asked for what it kept (gateway_probes.py), so a row of the table of
capabilities was measured and not read up. Prints both, writes benchmarks/results/gateway.json.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import uvloop

sys.path.insert(0, str(Path(__file__).parent / "gateway_peers"))
from gateway_probes import Asked, capabilities
from gateways import OURS, OVER_TOKENS, PEERS, Gateway, Process, make_environments, pin, running

HERE = Path(__file__).parent
RESULT = HERE / "results" / "gateway.json"
ENVIRONMENTS = Path.home() / ".cache" / "manyeyes" / "benchmark-peers"
DIRECT = "straight to the endpoint"
WARM_SHARE = 0.2
"""Of a round's calls, in the round that warms up."""
SYSTEM = "You are an agent that answers questions by looking things up, step by step. " * 4
QUESTION = "Please look this up and answer in one sentence. " * 4
CPU_GOAL, RATIO_GOAL = 0.8, 6.0


@dataclass
class Round:
    """What one round of one gateway took."""

    calls: int
    seconds: float
    cpu: float
    latencies: list[float]


@dataclass
class Entrant:
    """One that takes part, and what came out."""

    gateway: Gateway | None
    process: Process | None
    url: str
    headers: dict[str, str]
    calls: int
    rounds: list[Round] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)


async def loop(entrant: Entrant, calls: int, clients: int, number: int) -> Round:
    """So many calls by so many clients, each of which asks when it has heard; a session each."""
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, headers=entrant.headers) as http:
        left, latencies = iter(range(calls)), []

        async def client(who: int) -> None:
            session = f"load-{number}-{who}"
            url = f"{entrant.gateway.url(session) if entrant.gateway else entrant.url}/chat/completions"
            for call in left:
                text = f"question #{call} {QUESTION}"
                messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
                began = time.perf_counter()
                async with http.post(url, json={"model": "m", "messages": messages}) as answer:
                    body = await answer.read()
                latencies.append(time.perf_counter() - began)
                if answer.status != 200 or b'"choices"' not in body:
                    raise RuntimeError(f"{entrant.url}: {answer.status} {body[:300]!r}")

        cpu, began = entrant.process.cpu if entrant.process else 0.0, time.perf_counter()
        await asyncio.gather(*(client(who) for who in range(clients)))
        seconds = time.perf_counter() - began
        return Round(calls, seconds, entrant.process.cpu - cpu if entrant.process else 0.0, sorted(latencies))


async def measured(entrants: dict[str, Entrant], rounds: int, clients: int, upstream: str) -> None:
    """All in turn, so often after a round that warms up."""
    for number in range(rounds + 1):
        for name, entrant in entrants.items():
            calls = entrant.calls if number else max(clients, int(entrant.calls * WARM_SHARE))
            sessions = [f"load-{number}-{who}" for who in range(clients)]
            async with aiohttp.ClientSession() as http:
                if entrant.gateway is not None:
                    await entrant.gateway.begin(http, sessions, upstream)
            if entrant.process is not None and number == 1:
                entrant.mib.append(entrant.process.mib)
            took = await loop(entrant, calls, clients, number)
            if entrant.process is not None and number:
                entrant.mib.append(entrant.process.mib)
            if number:
                entrant.rounds.append(took)
                await check_kept(entrant, sessions, calls)
            print(f"round {number}  {name:30s} {_short(took)}", flush=True)


async def check_kept(entrant: Entrant, sessions: Sequence[str], calls: int) -> None:
    """A round counts only when every call of it was kept, where the gateway keeps anything."""
    if entrant.gateway is None:
        return
    async with aiohttp.ClientSession() as http:
        for _ in range(50):
            kept = sum([len(await entrant.gateway.kept(http, session)) for session in sessions])
            if kept in (0, calls):
                break
            await asyncio.sleep(0.1)
    if kept not in (0, calls):
        raise RuntimeError(f"{entrant.gateway.name} kept {kept} of {calls} calls")


def row(entrant: Entrant, direct: Entrant) -> dict[str, Any]:
    """Figures of one: medians of rounds, and the best beside them."""
    cpu = [1e3 * took.cpu / took.calls for took in entrant.rounds]
    told: dict[str, Any] = {
        "calls": sum(took.calls for took in entrant.rounds),
        "calls_a_second": round(statistics.median(took.calls / took.seconds for took in entrant.rounds), 1),
    }
    for name, share in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99)):
        each = [1e3 * _quantile(took.latencies, share) for took in entrant.rounds]
        base = [1e3 * _quantile(took.latencies, share) for took in direct.rounds]
        told[f"{name}_ms"] = round(statistics.median(each), 2)
        if entrant is not direct:
            added = [one - other for one, other in zip(each, base, strict=True)]
            told[f"{name}_added_ms"] = round(statistics.median(added), 2)
    if entrant.process is not None:
        told |= {
            "cpu_ms_per_call": round(statistics.median(cpu), 3), "cpu_ms_per_call_min": round(min(cpu), 3),
            "mib_before": round(entrant.mib[0], 1), "mib_after": round(entrant.mib[-1], 1),
            "kib_per_call": round(1024 * (entrant.mib[-1] - entrant.mib[0]) / told["calls"], 2),
        }  # fmt: skip
    return told


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
    systems, ours = results["systems"], results["systems"][OURS.name]
    yield Goal("CPU ms per captured call", CPU_GOAL, ours["cpu_ms_per_call"])
    yield Goal("CPU ms per captured call, over the token API", CPU_GOAL, systems[OVER_TOKENS.name]["cpu_ms_per_call"])
    peers = [systems[peer.name] for peer in PEERS if peer.name in systems]
    if peers:
        best = min(peer["cpu_ms_per_call"] for peer in peers)
        yield Goal(
            "CPU of the best peer over ours", RATIO_GOAL, round(best / ours["cpu_ms_per_call"], 1), at_most=False
        )
        lowest = min(peer["p99_added_ms"] for peer in peers)
        yield Goal("p99 ms added, the lowest of the others", lowest, ours["p99_added_ms"])
    for name in (OURS.name, OVER_TOKENS.name):
        missing = sum(found is not True for found in results["capabilities"][name].values())
        yield Goal(f"capabilities that {name} lacks", 0, missing)


async def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for."""
    peers = [peer for peer in PEERS if peer.environment in asked.peers]
    gateways: list[Gateway] = [OURS, OVER_TOKENS, *peers]
    make_environments(asked.environments, gateways, asked.python3_12)
    before = round(os.getloadavg()[0], 2)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(mock())
        entrants = {DIRECT: Entrant(None, None, f"{upstream}/v1", {}, asked.calls)}
        for one in gateways:
            process = await stack.enter_async_context(running(one, upstream, asked.environments))
            calls = min(one.calls, asked.calls)
            entrants[one.name] = Entrant(one, process, one.url("load"), one.headers, calls)
        found = {}
        for one in gateways:
            async with aiohttp.ClientSession() as http:
                exact = one is not OVER_TOKENS
                found[one.name] = await capabilities(Asked(one, http, upstream, exact))
        await measured(entrants, asked.rounds, asked.clients, upstream)
        direct = entrants[DIRECT]
        return {
            "rounds": asked.rounds, "clients": asked.clients, "machine": machine(), "load_average_before": before,
            "load_average_after": round(os.getloadavg()[0], 2),
            "versions": versions(asked.environments, gateways),
            "systems": {name: row(entrant, direct) for name, entrant in entrants.items()}, "capabilities": found,
        }  # fmt: skip


@asynccontextmanager
async def mock() -> AsyncIterator[str]:
    """The endpoint, in a process of its own."""
    command = [sys.executable, str(HERE / "gateway_mock.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: pin(1))
    try:
        assert process.stdout is not None
        yield (await asyncio.to_thread(process.stdout.readline)).strip()
    finally:
        process.kill()
        process.wait()


def versions(environments: Path, gateways: Sequence[Gateway]) -> dict[str, str]:
    """Of what was compared."""
    told = {"manyeyes": metadata.version("manyeyes")}
    for one in gateways:
        if one.environment:
            wanted = (HERE / "gateway_peers" / f"requirements-{one.environment}.txt").read_text().strip()
            told[one.name] = wanted
    return told


def machine() -> dict[str, Any]:
    """On what it was measured."""
    return {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}


def report(results: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"\n{results['clients']} clients, load average {results['load_average_before']} before")
    for name, told in results["systems"].items():
        cpu = f"CPU {told['cpu_ms_per_call']:7.3f} ms a call (min {told['cpu_ms_per_call_min']:.3f})" if (
            "cpu_ms_per_call" in told) else " " * 37  # fmt: skip
        grown = f"{told['kib_per_call']:7.2f} KiB a call" if "kib_per_call" in told else ""
        added = "  ".join(f"{q} +{told[f'{q}_added_ms']:.1f}" for q in ("p50", "p95", "p99") if f"{q}_added_ms" in told)
        print(f"  {name:30s} {cpu}  {told['calls_a_second']:7.1f}/s  p99 {told['p99_ms']:8.1f} ms  {added}  {grown}")
    names = list(results["capabilities"])
    print("\nrecovered" + " " * 16 + "".join(f"{name[:16]:>18s}" for name in names))
    for probe in results["capabilities"][names[0]]:
        marks = [results["capabilities"][name][probe] for name in names]
        print(f"  {probe:22s} " + "".join(f"{'yes' if mark is True else 'no':>18s}" for mark in marks))
    print("\ngoals")
    for goal in results["goals"]:
        print(f"  {goal['what']:48s} {goal['found']:8g}  goal {goal['goal']:g}  {'met' if goal['met'] else 'MISSED'}")


def _quantile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def _short(took: Round) -> str:
    cpu = f"CPU {1e3 * took.cpu / took.calls:.3f} ms, " if took.cpu else ""
    return f"{cpu}{took.calls / took.seconds:.0f}/s, p99 {1e3 * _quantile(took.latencies, 0.99):.0f} ms"


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=3000, help="of a round, at most; slow peers make fewer")
    parser.add_argument("--clients", type=int, default=64)
    every = [peer.environment for peer in PEERS]
    parser.add_argument("--peers", nargs="*", default=every, choices=every, help="who is beside us")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where peers are installed")
    parser.add_argument("--python3-12", default="python3.12", help="for agent-lightning, which needs it")
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    pin(1)
    results = uvloop.run(measure(asked))
    results["goals"] = [goal._asdict() | {"met": goal.met} for goal in goals(results)]
    report(results)
    asked.result.parent.mkdir(exist_ok=True)
    asked.result.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
