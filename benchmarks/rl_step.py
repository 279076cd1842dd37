"""A whole step of reinforcement learning, rollout and training, beside TRL's GRPOTrainer; and what overlap gains.

    python benchmarks/rl_step.py [--quick] [--only grpo overlap] [--rounds 3]

    grpo      the text model of `tiny` (random weights, the same on both sides, fp32) learns to write even ids: 16
              prompts of 64 tokens a step, 8 completions of 64 tokens each, one update. Ours: both loops over the
              embedded engine, MuonClip. Theirs: TRL with transformers' model of the same shape, no reference model,
              AdamW; several of its settings are tried, the best one counts
    overlap   the same task in four turns with a slow tool between them (log-normal, median 0.3 s): the asynchronous
              loop beside the synchronous one, so many updates each, and the rewards that they come to

Every side is a process of its own that is kept; sides take turns, round by round, and the first round warms up. Both
cores are everybody's. Samples a second are completions that were sampled and learned from. TRL is installed into an
environment of its own on first use.

Prints tables, writes benchmarks/results/rl_step.json.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rl_peers.case import Case
from rl_peers.contestants import ASYNC, SYNC, TRL, Contestant, Failed, Side, make_environment
from rl_peers.figures import LAST, goals, report
from tests.model.transformers_peer import text_peer_of

from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build

RESULT = Path(__file__).parent / "results" / "rl_step.json"
ENVIRONMENTS = Path.home() / ".cache" / "manyeyes" / "benchmark-peers"
PARTS = ("grpo", "overlap")
TRIED: dict[str, tuple[str, ...]] = {
    "threads": ("2", "1"),
    "rows": ("128", "32"),
    "experts": ("grouped_mm", "eager"),
    "attention": ("sdpa", "eager"),
    "batching": ("no", "yes"),
}
"""TRL's settings, one after the other; each is kept where it is faster. Left out: batched_mm, which copies the matrices
of the experts for every token and runs out of memory. Continuous batching fails here: it has no room for the keys of
latent attention (transformers 5.23)."""
ROW = "4672"
"""Tokens of a packed row of ours in the first part: eight groups, so that two rows share a step of sixteen evenly."""
STEP = Case(steps=8, rate=2e-3)
SLOW = Case(groups=8, prompt=32, answer=64, turns=4, delay=0.3, steps=44, rate=3e-3)


class Field:
    """Sides that take turns.

    Args:
        environments: where peers are installed.
        limit: seconds after which a round is given up.
    """

    def __init__(self, environments: Path, limit: float) -> None:
        self.environments, self.limit = environments, limit

    def rounds(self, ones: Sequence[Contestant], case: Case, *, rounds: int) -> dict[str, dict[str, Any]]:
        """By name: what each was, and its rounds; the first of them is `warm`, and no part of any median."""
        with ExitStack() as stack:
            sides = {one.name: stack.enter_context(self.side(one, case)) for one in ones}
            warm = {name: side.round() for name, side in sides.items()}
            took: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
            for _ in range(rounds):
                for name, side in sides.items():
                    took[name].append(side.round())
            return {
                name: {"ready": side.ready, "warm": warm[name], "rounds": took[name]} for name, side in sides.items()
            }

    def side(self, one: Contestant, case: Case) -> Any:
        """One of them alone."""
        return Side.of(one, case, environments=self.environments, limit=self.limit)


def best_of_trl(field: Field, case: Case) -> tuple[Contestant, list[dict[str, Any]]]:
    """TRL with the settings that made it fastest, one setting after the other; and what was tried."""
    best, fastest, tried = TRL, 0.0, list[dict[str, Any]]()
    for name, values in TRIED.items():
        for value in values[1 if tried else 0 :]:
            one = _with(best, name, value)
            rate, why = _tried(field, one, case)
            tried.append(
                {"settings": _settings(one), "samples_per_s": round(rate, 2)} | ({"error": why} if why else {})
            )
            print(f"    {_settings(one)}: {rate:.1f} samples/s {why[-200:]}", flush=True)
            if rate > fastest:
                best, fastest = one, rate
    return best, tried


def _tried(field: Field, one: Contestant, case: Case) -> tuple[float, str]:
    """Samples a second of one warm round; 0 and why, where it does not run."""
    try:
        with field.side(one, replace(case, steps=2)) as side:
            side.round()
            return _rate(side.round()), ""
    except Failed as failure:
        return 0.0, str(failure)


def _with(one: Contestant, name: str, value: str) -> Contestant:
    if name == "threads":
        return one._replace(threads=int(value))
    kept = tuple(option for option in one.options if not option.startswith(f"{name}="))
    return one._replace(options=(*kept, f"{name}={value}"))


def _settings(one: Contestant) -> str:
    return " ".join([f"threads={one.threads}", *one.options])


def _rate(took: Mapping[str, Any]) -> float:
    return took["samples"] / took["wall"]


def grpo(field: Field, case: Case, *, rounds: int, peers: bool) -> dict[str, Any]:
    """The first part."""
    ones, tried = [_with(one, "row_length", ROW) for one in (SYNC, ASYNC)], list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        if peers:
            make_environment(field.environments, TRL.environment)
            text_peer_of(build(tiny(), seed=0)).save_pretrained(folder)
            case = replace(case, model=folder)
            print("TRL's settings", flush=True)
            best, tried = best_of_trl(field, case)
            ones.append(best)
        found = field.rounds(ones, case, rounds=rounds)
    require_alike(found)
    rows = {name: row_of(one, case) for name, one in found.items()}
    for row in rows.values():
        row["ratio"] = round(row["samples_per_s"] / rows[TRL.name]["samples_per_s"], 2) if peers else None
    return {"case": told_of(case), "tried": tried, "rows": rows}


def require_alike(found: Mapping[str, Mapping[str, Any]]) -> None:
    """The same weights, and as many tokens a round: else nothing may be compared."""
    losses = {name: one["ready"]["loss"] for name, one in found.items()}
    sizes = {name: one["ready"]["parameters"] for name, one in found.items()}
    tokens = {name: {took["tokens"] for took in one["rounds"]} for name, one in found.items()}
    if max(losses.values()) - min(losses.values()) > 1e-4 or len(set(sizes.values())) != 1:
        raise SystemExit(f"the models are not the same: losses {losses}, parameters {sizes}")
    if len(set().union(*tokens.values())) != 1:
        raise SystemExit(f"the sides sampled different numbers of tokens a round: {tokens}")


def row_of(one: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """A side's figures."""
    rewards = [reward for took in (one["warm"], *one["rounds"]) for reward in took["rewards"]]
    return {
        "samples_per_s": round(statistics.median(_rate(took) for took in one["rounds"]), 2),
        "samples_per_s_range": [round(pick(map(_rate, one["rounds"])), 2) for pick in (min, max)],
        "seconds_per_step": round(statistics.median(took["wall"] / case.steps for took in one["rounds"]), 3),
        "cpu_seconds_per_step": round(statistics.median(took["cpu"] / case.steps for took in one["rounds"]), 3),
        "reward_first": round(rewards[0], 4),
        "reward_last": round(statistics.fmean(rewards[-LAST:]), 4),
        "updates": len(rewards),
        "ready": one["ready"],
        "shares": shares_of(one["rounds"]),
    }


def shares_of(rounds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of a step's seconds, as our loop's log has them; nothing where a side does not tell."""
    told = [took["shares"] for took in rounds if "shares" in took]
    return {name: round(statistics.fmean(shares[name] for shares in told), 3) for name in (told[0] if told else ())}


def overlap(field: Field, case: Case, *, rounds: int) -> dict[str, Any]:
    """The second part: each round is a run of its own from random weights, another seed in each."""
    took: dict[str, list[dict[str, Any]]] = {SYNC.name: [], ASYNC.name: []}
    for seed in range(rounds):
        for one in (SYNC, ASYNC):
            with field.side(one, replace(case, seed=seed)) as side:
                took[one.name].append(side.round())
                print(f"    seed {seed}, {one.name}: {took[one.name][-1]['wall']:.1f} s", flush=True)
    rows = {
        name: {
            "seconds": round(statistics.median(one["wall"] for one in runs), 2),
            "samples_per_s": round(statistics.median(map(_rate, runs)), 2),
            "final_rewards": [round(statistics.fmean(one["rewards"][-LAST:]), 4) for one in runs],
            "first_rewards": [round(one["rewards"][0], 4) for one in runs],
            "shares": {
                key: round(statistics.fmean(one["shares"][key] for one in runs), 3) for key in runs[0]["shares"]
            },
        }
        for name, runs in took.items()
    }
    gains = [sync["wall"] / later["wall"] for sync, later in zip(took[SYNC.name], took[ASYNC.name], strict=True)]
    return {"case": told_of(case), "rows": rows, "gains": [round(gain, 3) for gain in gains]}


def told_of(case: Case) -> dict[str, Any]:
    """The case, for the file."""
    return {name: value for name, value in vars(case).items() if name not in ("model", "options", "threads")}


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few small steps, to see whether it works")
    parser.add_argument("--alone", action="store_true", help="without peers")
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--rounds", type=int, default=3, help="of the first part, and at most 2 runs of the second")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which a round is given up")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where peers are installed")
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    step, slow, rounds = STEP, SLOW, asked.rounds
    if asked.quick:
        step, slow, rounds = replace(STEP, groups=4, steps=1), replace(SLOW, groups=2, answer=16, steps=2), 1
    field = Field(asked.environments, asked.limit)
    results: dict[str, Any] = {"rounds": rounds, "machine": machine(), "load_before": round(os.getloadavg()[0], 2)}
    if "grpo" in asked.only:
        results["grpo"] = grpo(field, step, rounds=rounds, peers=not asked.alone)
    if "overlap" in asked.only:
        results["overlap"] = overlap(field, slow, rounds=min(2, rounds))
    results["goals"] = [goal._asdict() | {"met": goal.met} for goal in goals(results)]
    report(results)
    asked.result.parent.mkdir(exist_ok=True)
    asked.result.write_text(json.dumps(results, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """On what it was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "system": platform.system(), "python": platform.python_version()}


if __name__ == "__main__":
    main()
