"""What the compiled loops of decision 0021 save: a decode step with them and with PyTorch alone, same 22M weights.

    python benchmarks/engine_loops.py [--rounds 3] [--threads 1 2]

Both engines take turns, step by step, so that a busy machine slows both alike; the fastest step of each counts, and the
median stands beside it. Prints a table and writes benchmarks/results/engine_loops.json.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.engine import work_of

from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.config import bench_22m
from manyeyes.model.multimodal import K25, build

RESULT = Path(__file__).parent / "results" / "engine_loops.json"
ROWS = (1, 16, 64, 256)
STEPS = 30


def decoding(model: K25, *, rows: int, compiled: bool, seed: int) -> Engine:
    """An engine in the middle of so many answers."""
    engine = Engine(model, EngineConfig(cache_tokens=1 << 17, max_rows=256, step_tokens=1024, compiled=compiled))
    for ids in work_of(rows, seed=seed).prompts:
        engine.add(SampleRequest(ids, params=SamplingParams(max_new_tokens=300)))
    while len(engine.step().tokens) < rows:
        pass
    return engine


def measured(model: K25, *, rows: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of a step, with and without."""
    taken: dict[str, list[float]] = {"compiled": [], "pytorch": []}
    for number in range(rounds):
        engines = {name: decoding(model, rows=rows, compiled=name == "compiled", seed=number) for name in taken}
        for _ in range(STEPS):
            for name, engine in engines.items():
                start = time.perf_counter()
                engine.step()
                taken[name].append(1e3 * (time.perf_counter() - start))
    fastest = {name: round(min(times), 2) for name, times in taken.items()}
    medians = {f"{name}_median": round(statistics.median(times), 2) for name, times in taken.items()}
    return fastest | medians | {"ratio": round(fastest["pytorch"] / fastest["compiled"], 2)}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    model = build(bench_22m(), seed=0)
    results: dict[str, Any] = {"model": "22M", "rounds": asked.rounds, "milliseconds_a_step": {}}
    for threads in asked.threads:
        torch.set_num_threads(threads)
        part = results["milliseconds_a_step"][str(threads)] = {}
        for rows in ROWS:
            part[str(rows)] = measured(model, rows=rows, rounds=asked.rounds)
            print(f"{threads} thread(s), {rows} rows: {part[str(rows)]}", flush=True)
    asked.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
