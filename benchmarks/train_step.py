"""Forward and backward of the 22M text model beside transformers' best configuration: same weights, same tokens.

Each round runs every contestant once, one after the other, on one thread, so that a busy machine slows all of them
alike; medians of CPU time and wall time are compared. No optimiser step, loss included, weights fp32 (on CPUs with fast
bf16 our bf16 compute over fp32 master weights also runs).

    python benchmarks/train_step.py [--rounds 15] [--rows 2] [--length 512]

Prints a table and writes benchmarks/results/train_step.json.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.model.transformers_peer import text_peer_of

from manyeyes.model.config import bench_22m
from manyeyes.model.cross_entropy import chunked_cross_entropy
from manyeyes.model.multimodal import K25, build
from manyeyes.model.precision import fast_bf16

RESULT = Path(__file__).parent / "results" / "train_step.json"
FLOPS_PER_TOKEN = 41.7e6
"""Forward and backward at context 512, by formula (matrices 6 a parameter, causal attention halved)."""


class Timing(NamedTuple):
    """Seconds of one step."""

    cpu: float
    wall: float
    loss: float


Step = Callable[[Tensor], Tensor]


def our_step(model: K25, *, collect: bool) -> Step:
    """Loss and gradients of our model."""

    def step(ids_BT: Tensor) -> Tensor:
        out = model(ids_BT, collect=collect)
        weights_BT = torch.full(ids_BT.shape, 1 / (ids_BT.numel() - len(ids_BT)))
        weights_BT[:, -1] = 0
        loss = chunked_cross_entropy(
            out.hidden_BTD.flatten(0, 1),
            model.head_weight,
            targets_N=ids_BT.roll(-1, 1).flatten(),
            weights_N=weights_BT.flatten(),
        )
        (loss + out.aux_loss if collect else loss).backward()
        return loss.detach()

    return step


def peer_step(peer: Any, *, attention: str, experts: str) -> Step:
    """Loss and gradients of transformers' model."""

    def step(ids_BT: Tensor) -> Tensor:
        peer.set_attn_implementation(attention)
        peer.set_experts_implementation(experts)
        loss = peer(input_ids=ids_BT, labels=ids_BT, use_cache=False).loss
        loss.backward()
        return loss.detach()

    return step


def timed(module: torch.nn.Module, step: Step, ids_BT: Tensor) -> Timing:
    """One step from cleared gradients."""
    module.zero_grad(set_to_none=True)
    cpu, wall = time.process_time(), time.perf_counter()
    loss = step(ids_BT)
    return Timing(time.process_time() - cpu, time.perf_counter() - wall, float(loss))


def contestants(*, thorough: bool) -> dict[str, tuple[torch.nn.Module, Step]]:
    """Every configuration that takes part, by name."""
    model = build(bench_22m(), seed=0)
    peer = text_peer_of(model)
    found: dict[str, tuple[torch.nn.Module, Step]] = {
        "manyeyes": (model, our_step(model, collect=False)),
        "manyeyes, counts + balance loss + logit bound": (model, our_step(model, collect=True)),
    }
    if fast_bf16():
        half = build(bench_22m(), seed=0, compute_dtype=torch.bfloat16)
        found["manyeyes, bf16 compute"] = (half, our_step(half, collect=False))
    pairs = [("sdpa", "grouped_mm"), ("eager", "grouped_mm"), ("sdpa", "eager")]
    pairs += [("eager", "eager"), ("sdpa", "batched_mm")] if thorough else []
    for attention, experts in pairs:
        step = peer_step(peer, attention=attention, experts=experts)
        found[f"transformers, {attention} attention, {experts} experts"] = (peer, step)
    return found


def run(*, rounds: int, rows: int, length: int, thorough: bool) -> dict[str, Any]:
    """All contestants interleaved; medians in tokens a second."""
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(0, 8000, (rows, length), generator=generator)
    field = contestants(thorough=thorough)
    timings: dict[str, list[Timing]] = {name: [] for name in field}
    for number in range(rounds + 1):
        for name, (module, step) in field.items():
            timing = timed(module, step, ids_BT)
            if number:
                timings[name].append(timing)
    return {
        name: {
            "cpu_tokens_per_s": round(ids_BT.numel() / statistics.median(t.cpu for t in seen), 1),
            "cpu_tokens_per_s_best": round(ids_BT.numel() / min(t.cpu for t in seen), 1),
            "wall_tokens_per_s": round(ids_BT.numel() / statistics.median(t.wall for t in seen), 1),
            "loss": round(seen[0].loss, 6),
        }
        for name, seen in timings.items()
    }


def report(results: dict[str, Any]) -> dict[str, Any]:
    """Adds the ratio to transformers' best, prints the table."""
    peers = [r["cpu_tokens_per_s"] for name, r in results.items() if name.startswith("transformers")]
    for name, r in results.items():
        r["gflops"] = round(r["cpu_tokens_per_s"] * FLOPS_PER_TOKEN / 1e9, 1)
        r["ratio"] = round(r["cpu_tokens_per_s"] / max(peers), 3)
        r["gflops_text"] = f"{r['gflops']:5.1f}"
        print(
            f"{name:52s} {r['cpu_tokens_per_s']:8.1f} tok/s CPU  {r['wall_tokens_per_s']:8.1f} wall  "
            f"{r.pop('gflops_text')} GFLOP/s  x{r['ratio']:.3f}  loss {r['loss']:.6f}"
        )
    return results


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--thorough", action="store_true", help="also the slow transformers configurations")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    results = report(run(rounds=asked.rounds, rows=asked.rows, length=asked.length, thorough=asked.thorough))
    RESULT.parent.mkdir(exist_ok=True)
    header = {"torch": torch.__version__, "rounds": asked.rounds, "rows": asked.rows, "length": asked.length}
    RESULT.write_text(json.dumps(header | {"threads": 1, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
