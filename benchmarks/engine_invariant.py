"""What an invariant engine (decision 0022) costs: decode steps and prompts, beside the ordinary one, same weights.

    python benchmarks/engine_invariant.py [--rounds 3]

One thread, whose own seconds count, so that others on the machine matter less; both engines take turns. The fastest of
each counts, and the median stands beside it. Random weights in the shapes of `tiny` and of the 22M configuration, with
4,096 tokens of context. Prints a table and writes benchmarks/results/engine_invariant.json.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.config import ModelConfig, bench_22m, tiny
from manyeyes.model.multimodal import K25, build

RESULT = Path(__file__).parent / "results" / "engine_invariant.json"
CONFIG = EngineConfig(cache_tokens=1 << 17)
ROWS = (1, 8, 64, 256)
STEPS = 30
WORDS = 1700
NAMES = {"ordinary": False, "invariant": True}


def models() -> dict[str, ModelConfig]:
    """What is measured, with room for long prompts."""
    return {"tiny": tiny().with_context(4096, factor=16.0), "22M": bench_22m().with_context(4096, factor=8.0)}


def engines(model: K25) -> dict[str, Engine]:
    """One of each kind."""
    return {name: Engine(model, dataclasses.replace(CONFIG, invariant=invariant)) for name, invariant in NAMES.items()}


def asked(rng: np.random.Generator, *, length: int, new: int, seed: int = 0) -> SampleRequest:
    """Random words, continued at temperature 1, as reinforcement learning does."""
    params = SamplingParams(max_new_tokens=new, temperature=1.0, seed=seed)
    return SampleRequest(rng.integers(0, WORDS, length).astype(np.int32), params=params)


def decoding(model: K25, rows: int, *, rounds: int) -> dict[str, float]:
    """Tokens a second of so many rows with 200 tokens behind them."""
    taken: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(rounds):
        pair = {name: _under_way(engine, rows, seed=number) for name, engine in engines(model).items()}
        for _ in range(STEPS):
            for name, engine in pair.items():
                taken[name].append(_seconds(engine.step))
    return _rates(taken, rows)


def _under_way(engine: Engine, rows: int, *, seed: int) -> Engine:
    rng = np.random.default_rng(seed)
    for draw in range(rows):
        engine.add(asked(rng, length=200, new=400, seed=draw))
    while len(engine.step().tokens) < rows:
        pass
    return engine


def reading(model: K25, length: int, *, rounds: int) -> dict[str, float]:
    """Tokens a second of prompts of a length, some together."""
    taken: dict[str, list[float]] = {name: [] for name in NAMES}
    count = max(1, 1024 // length)
    for number in range(4 * rounds):
        for name, engine in engines(model).items():
            rng = np.random.default_rng(number)
            for _ in range(count):
                engine.add(asked(rng, length=length, new=1))
            taken[name].append(_seconds(lambda engine=engine: _finish(engine)))
    return _rates(taken, count * length)


def _finish(engine: Engine) -> None:
    while engine.busy:
        engine.step()


def _seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def _rates(taken: dict[str, list[float]], tokens: int) -> dict[str, float]:
    fastest = {name: round(tokens / min(times)) for name, times in taken.items()}
    medians = {f"{name}_median": round(tokens / statistics.median(times)) for name, times in taken.items()}
    return fastest | medians | {"ratio": round(min(taken["ordinary"]) / min(taken["invariant"]), 2)}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {"threads": 1, "rounds": chosen.rounds, "tokens_a_second": {}}
    for name, config in models().items():
        model, part = build(config, seed=0), {}
        results["tokens_a_second"][name] = part
        for kind, sizes, measure in (("decode", ROWS, decoding), ("read", (128, 512, 2048), reading)):
            for size in sizes:
                part[f"{kind} {size}"] = found = measure(model, size, rounds=chosen.rounds)
                print(f"{name}: {kind} {size}: {found}", flush=True)
    chosen.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
