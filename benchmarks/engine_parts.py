"""A step of an invariant engine in parts, one a thread, beside threads that share each product, and one thread.

    python benchmarks/engine_parts.py [--rounds 5] [--threads 2] [--out FILE]

So many requests at once, each another prompt of 64 tokens and an answer of 64: of the text model of `tiny`, and of one
that is four times as wide, whose matrices no core keeps in its cache; random weights, fp32. The three ways take turns
round by round; the first round warms up.

Prints a table, writes benchmarks/results/engine_parts.json. Wants a quiet machine, and takes four minutes there.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.inference import all_layers
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.config import ModelConfig, tiny
from manyeyes.model.multimodal import K25, build

RESULT = Path(__file__).parent / "results" / "engine_parts.json"
LENGTH, WORDS = 64, 1700
ROWS = (2, 4, 8, 16, 32, 64, 128)
WIDTH = 26
RATIO = "parts : shared products"
NEVER = 1 << 40
"""Tokens that no step has."""


def wide() -> ModelConfig:
    """`tiny`, four times as wide."""
    base = tiny()
    text = dataclasses.replace(
        base.text, hidden_size=4 * base.text.hidden_size, intermediate_size=4 * base.text.intermediate_size,
        moe_intermediate_size=4 * base.text.moe_intermediate_size,
    )  # fmt: skip
    return dataclasses.replace(base, text=text)


def tokens_a_second(model: K25, rows: int, *, threads: int, least: int, seed: int) -> float:
    """Sampled ones, of one batch from its prompts to its ends."""
    torch.set_num_threads(threads)
    all_layers.LEAST = least
    rng = np.random.default_rng(seed)
    engine = Engine(model, EngineConfig(cache_tokens=1 << 16, invariant=True))
    for number in range(rows):
        params = SamplingParams(max_new_tokens=LENGTH, temperature=1.0, seed=number)
        engine.add(SampleRequest(rng.integers(0, WORDS, LENGTH).astype(np.int32), params=params))
    began = time.perf_counter()
    while engine.busy:
        engine.step()
    return rows * LENGTH / (time.perf_counter() - began)


def measured(model: K25, *, rounds: int, threads: int) -> list[dict[str, float]]:
    """For each number of requests the three ways."""
    ways = {"one thread": (1, NEVER), "shared products": (threads, NEVER), "parts": (threads, 1)}
    found: list[dict[str, float]] = []
    print("".join(f"{name:>{WIDTH}}" for name in ("requests", *ways, RATIO)), flush=True)
    for rows in ROWS:
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, (count, least) in ways.items():
                rate = tokens_a_second(model, rows, threads=count, least=least, seed=turn)
                rates[name] += [rate] if turn else []
        medians = {name: round(statistics.median(some), 1) for name, some in rates.items()}
        pairs = zip(rates["shared products"], rates["parts"], strict=True)
        found.append({"rows": rows} | medians | {RATIO: round(statistics.median(p / s for s, p in pairs), 2)})
        print("".join(f"{value:>{WIDTH},}" for value in found[-1].values()), flush=True)
    return found


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    results: dict[str, object] = {"threads": asked.threads, "rounds": asked.rounds, "system": platform.system()}
    for name, config in (("tiny", tiny()), ("four times as wide", wide())):
        print(f"{name}, tokens a second", flush=True)
        results[name] = measured(build(config, seed=0), rounds=asked.rounds, threads=asked.threads)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
