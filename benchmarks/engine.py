"""Output tokens a second of the engine beside transformers' `generate`: same 22M weights, same requests, same tokens.

Each round runs every contestant once, one after the other, so that a busy machine slows all of them alike; medians of
wall time are compared. Requests have prompts of 16 to 128 tokens and answers of 16 to 128, all greedy. The length of an
answer is not known beforehand, as in use: transformers stops each row by a criterion, in batches in order of arrival,
and the best of several batch sizes counts. `--sorted` also gives it batches of about equal answers, as if an oracle had
told.

The bound is what the machine could do at batch 64 with nothing but arithmetic and memory: the larger of a step's FLOPs
over the measured rate of fp32 products, and the bytes that a step must read over the measured rate of memory.

    python benchmarks/engine.py [--rounds 3] [--threads 1 2] [--sorted]

Prints tables and writes benchmarks/results/engine.json.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.engine_bound import bound_at
from tests.model.transformers_peer import text_peer_of

from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.config import bench_22m
from manyeyes.model.multimodal import K25, build

RESULT = Path(__file__).parent / "results" / "engine.json"
CONCURRENT = (1, 16, 64, 256)
SHORTEST, LONGEST = 16, 128
WORDS = 7000
"""Prompts hold ids below this: none is special."""


class Work(NamedTuple):
    """Requests that come at once: prompts, and how many tokens each is answered with."""

    prompts: list[np.ndarray]
    lengths: list[int]

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


class Outcome(NamedTuple):
    """Seconds, the ids of each answer, and seconds to each first token (of the engine alone)."""

    seconds: float
    ids: list[list[int]]
    first: list[float]


Contestant = Callable[[Work], Outcome]


def work_of(count: int, *, seed: int) -> Work:
    """`count` requests; a single one has the mean lengths."""
    rng = np.random.default_rng(seed)
    if count == 1:
        return Work([rng.integers(0, WORDS, 72).astype(np.int32)], [72])
    prompts = [rng.integers(0, WORDS, n).astype(np.int32) for n in rng.integers(SHORTEST, LONGEST + 1, count)]
    return Work(prompts, rng.integers(SHORTEST, LONGEST + 1, count).tolist())


def engine_run(model: K25) -> Contestant:
    """Ours: everything is queued at once."""

    def run(work: Work) -> Outcome:
        engine = Engine(model, EngineConfig(cache_tokens=1 << 16, max_rows=256, step_tokens=1024))
        start = time.perf_counter()
        numbers = [
            engine.add(SampleRequest(ids, params=SamplingParams(max_new_tokens=length)))[0]
            for ids, length in zip(work.prompts, work.lengths, strict=True)
        ]
        ended = {}
        while engine.busy:
            ended.update(engine.step().ended)
        seconds = time.perf_counter() - start
        found = [ended[number] for number in numbers]
        return Outcome(seconds, [one.ids for one in found], [one.first_seconds for one in found])

    return run


def peer_run(peer: Any, *, batch: int, sort: bool) -> Contestant:
    """transformers' `generate` in batches, left-padded; each row ends by itself, the batch with its last row."""
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Ends(StoppingCriteria):
        def __init__(self, prompt: int, lengths: Sequence[int]) -> None:
            self.at = torch.tensor([prompt + length for length in lengths])

        def __call__(self, input_ids: torch.Tensor, scores: Any, **given: Any) -> Any:
            return self.at <= input_ids.shape[1]

    def some(work: Work, rows: list[int]) -> list[list[int]]:
        lengths, width = [work.lengths[row] for row in rows], max(len(work.prompts[row]) for row in rows)
        ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, width - len(work.prompts[row]) :] = torch.from_numpy(work.prompts[row])
            mask[number, width - len(work.prompts[row]) :] = 1
        out = peer.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=max(lengths), pad_token_id=0,
            eos_token_id=None, stopping_criteria=StoppingCriteriaList([Ends(width, lengths)]),
        )  # fmt: skip
        return [out[number, width : width + length].tolist() for number, length in enumerate(lengths)]

    def run(work: Work) -> Outcome:
        order = list(range(len(work.prompts)))
        if sort:
            order.sort(key=lambda row: work.lengths[row])
        ids: list[list[int]] = [[] for _ in order]
        start = time.perf_counter()
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            for row, said in zip(rows, some(work, rows), strict=True):
                ids[row] = said
        return Outcome(time.perf_counter() - start, ids, [])

    return run


def field_of(count: int, model: K25, peer: Any, *, sort: bool) -> dict[str, Contestant]:
    """Who takes part with so many requests."""
    found = {"manyeyes": engine_run(model)}
    for batch in sorted({min(count, size) for size in (16, 64, 256)}):
        found[f"transformers, batches of {batch}"] = peer_run(peer, batch=batch, sort=False)
        if sort and batch < count:
            found[f"transformers, batches of {batch}, oracle order"] = peer_run(peer, batch=batch, sort=True)
    return found


def measured(count: int, field: dict[str, Contestant], *, rounds: int) -> dict[str, Any]:
    """Medians of interleaved rounds, after one that warms up and chooses transformers' best batch."""
    work = work_of(count, seed=count)
    tried = {name: contestant(work) for name, contestant in field.items()}
    peers = [name for name in field if name != "manyeyes"]
    kinds = [[name for name in peers if ("oracle" in name) == oracle] for oracle in (False, True)]
    best = [min(names, key=lambda name: tried[name].seconds) for names in kinds if names]
    seen: dict[str, list[Outcome]] = {name: [] for name in ("manyeyes", *best)}
    for _ in range(rounds):
        for name, outcomes in seen.items():
            outcomes.append(field[name](work))
    ours = seen["manyeyes"][0]
    rows = {}
    for name, outcomes in seen.items():
        equal = sum(a == b for a, b in zip(ours.ids, outcomes[0].ids, strict=True))
        rows[name] = {
            "tokens_per_s": round(work.tokens / statistics.median(one.seconds for one in outcomes), 1),
            "equal_answers": equal / count,
        }
        if outcomes[0].first:
            first = [value for one in outcomes for value in one.first]
            rows[name] |= {"first_token_p50_s": round(float(np.quantile(first, 0.5)), 4)}
            rows[name] |= {"first_token_p95_s": round(float(np.quantile(first, 0.95)), 4)}
    for row in rows.values():
        row["ratio"] = round(rows["manyeyes"]["tokens_per_s"] / row["tokens_per_s"], 2)
    return rows


def decode_rate(model: K25, *, rows: int, rounds: int) -> float:
    """Tokens a second of pure decoding: `rows` requests in the middle of answers, 72 + 36 tokens each on average."""
    rates = []
    for number in range(rounds):
        engine = Engine(model, EngineConfig(cache_tokens=1 << 16, max_rows=256, step_tokens=1024))
        for ids in work_of(rows, seed=number).prompts:
            engine.add(SampleRequest(ids, params=SamplingParams(max_new_tokens=300)))
        for _ in range(36):
            engine.step()
        start = time.perf_counter()
        told = sum(len(engine.step().tokens) for _ in range(40))
        rates.append(told / (time.perf_counter() - start))
    return statistics.median(rates)


def run(*, rounds: int, threads: Sequence[int], counts: Sequence[int], sort: bool) -> dict[str, Any]:
    """Everything, by number of threads."""
    model = build(bench_22m(), seed=0)
    with torch.no_grad():
        model.head_weight.mul_(8)  # random weights whose likeliest token is clear, so that answers can be compared
    peer = text_peer_of(model).eval()
    results: dict[str, Any] = {}
    for number in threads:
        torch.set_num_threads(number)
        results[str(number)] = part = {}
        for count in counts:
            part[str(count)] = measured(count, field_of(count, model, peer, sort=sort), rounds=rounds)
            show(f"{number} thread(s), {count} concurrent", part[str(count)])
        rate = decode_rate(model, rows=64, rounds=rounds)
        part["bound"] = bound_at(model, rows=64, tokens_each=72 + 56) | {"decode_tokens_per_s": round(rate, 1)}
        part["bound"]["share"] = round(rate / part["bound"]["bound_tokens_per_s"], 3)
        part["bound"]["share_of_torch_matmul_bound"] = round(rate / part["bound"]["torch_matmul_bound_tokens_per_s"], 3)
        print(json.dumps(part["bound"], indent=2))
    return results


def show(title: str, rows: dict[str, Any]) -> None:
    print(title, flush=True)
    for name, row in rows.items():
        more = "".join(f"  {key} {value}" for key, value in row.items() if key != "tokens_per_s")
        print(f"    {name:48s} {row['tokens_per_s']:9.1f} tok/s{more}", flush=True)


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--concurrent", type=int, nargs="+", default=list(CONCURRENT))
    parser.add_argument("--sorted", action="store_true", help="also batches of about equal answers")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    results = run(rounds=asked.rounds, threads=asked.threads, counts=asked.concurrent, sort=asked.sorted)
    asked.out.parent.mkdir(exist_ok=True)
    header = {"torch": torch.__version__, "rounds": asked.rounds, "model": "bench_22m, fp32"}
    asked.out.write_text(json.dumps(header | {"threads": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
