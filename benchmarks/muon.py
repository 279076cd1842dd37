"""How fast is Muon's step beside a loop over single matrices? Same matrices, one interleaved run, medians.

    python benchmarks/muon.py [--layers 5] [--repeats 9] [--out benchmarks/results/muon.json]

Matrices: those of the 22M configuration (width 256, 6 layers, 32 experts of 128, one shared): routed gate, up and down,
shared and dense feed-forward, attention and routers. Rows of the table:

    manyeyes            this Muon, Newton-Schulz in its default format for this machine
    per-matrix fp32     torch.optim.Muon's loop with its Newton-Schulz in fp32: the same arithmetic, matrix by matrix
    as shipped          torch.optim.Muon, Newton-Schulz in bf16

`ratio` divides the time of the faster of both loops by ours. Where the processor has no bf16 instructions, "as shipped"
runs in emulation and its ratio says nothing about design: it then runs once, on fewer matrices, and `ratio` is the one
beside per-matrix fp32. With several threads the loops can be slower than with one, so `of_best` divides the fastest
loop at any number of threads by ours.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim._muon import _adjust_lr

from manyeyes.optim.muon import Muon
from manyeyes.optim.newton_schulz import COEFFICIENTS, EPSILON, default_dtype

TARGETS = {1: 1.25, 2: 2.0}
OURS, LOOP, SHIPPED = "manyeyes", "per-matrix fp32", "as shipped"
SETTINGS: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95}


def shapes(moe_layers: int) -> Iterator[tuple[int, ...]]:
    """Muon's parameters of the 22M configuration: one dense layer and `moe_layers` others."""
    width, experts, inner, dense = 256, 32, 128, 512
    heads, q_rank, kv_rank, nope, rope, value = 4, 128, 96, 48, 16, 48
    for layer in range(moe_layers + 1):
        yield from (
            (q_rank, width),
            (heads * (nope + rope), q_rank),
            (kv_rank + rope, width),
            (heads * (nope + value), kv_rank),
            (width, heads * value),
        )
        if layer == 0:
            yield from ((dense, width), (dense, width), (width, dense))
        else:
            yield from ((experts, inner, width), (experts, inner, width), (experts, width, inner))
            yield from ((inner, width), (inner, width), (width, inner), (experts, width))


def parameters(moe_layers: int, *, stacked: bool) -> list[torch.nn.Parameter]:
    """The same numbers on every call; stacks stay whole or come as single matrices."""
    generator = torch.Generator().manual_seed(0)
    found: list[torch.nn.Parameter] = []
    for shape in shapes(moe_layers):
        weight, gradient = (0.02 * torch.randn(shape, generator=generator) for _ in range(2))
        pairs = [(weight, gradient)] if stacked or len(shape) == 2 else list(zip(weight, gradient, strict=True))
        for one, its_gradient in pairs:
            param = torch.nn.Parameter(one.clone())
            param.grad = its_gradient.clone()
            found.append(param)
    return found


class PerMatrix:
    """torch.optim.Muon's step restated, with Newton-Schulz in fp32."""

    def __init__(self, params: list[torch.nn.Parameter]) -> None:
        self.params, self.momenta = params, [torch.zeros_like(param) for param in params]

    @torch.no_grad()
    def step(self) -> None:
        lr, mu = SETTINGS["lr"], SETTINGS["momentum"]
        for param, momentum in zip(self.params, self.momenta, strict=True):
            assert param.grad is not None
            momentum.lerp_(param.grad, 1 - mu)
            update = newton_schulz_of_one(param.grad.lerp(momentum, mu))
            param.mul_(1 - lr * SETTINGS["weight_decay"])
            param.add_(update, alpha=-_adjust_lr(lr, "match_rms_adamw", param.shape))


def newton_schulz_of_one(x: Tensor) -> Tensor:
    """torch's iteration on one matrix, in the format of `x`."""
    a, b, c = COEFFICIENTS
    tall = x.size(0) > x.size(1)
    x = x.T if tall else x
    x.div_(x.norm().clamp(min=EPSILON))
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def largest_difference(moe_layers: int) -> float:
    """Both fp32 forms take the same step: the largest difference of weights, relative to the largest update."""
    ours, theirs = parameters(moe_layers, stacked=True), parameters(moe_layers, stacked=False)
    start = torch.cat([param.detach().flatten() for param in theirs])
    Muon(ours, **SETTINGS, ns_dtype=torch.float32).step()
    PerMatrix(theirs).step()
    a, b = (torch.cat([param.detach().flatten() for param in params]) for params in (ours, theirs))
    return float((a - b).abs().max() / (b - start).abs().max())


def measure(steps: dict[str, Callable[[], Any]], *, repeats: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each step, one after the other in every round; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(repeats + 1):
        for name, step in steps.items():
            started = clock()
            step()
            if round_:
                seconds[name].append(clock() - started)
    return seconds


def compare(threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """One table: medians, and the median over rounds of each peer's time divided by ours."""
    torch.set_num_threads(threads)
    peers = {
        OURS: Muon(parameters(options.layers, stacked=True), **SETTINGS),
        LOOP: PerMatrix(parameters(options.layers, stacked=False)),
    }
    if bf16_is_fast():
        peers[SHIPPED] = shipped(options.layers)
    # One thread: time on the processor, which other work on the machine hardly changes.
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds = measure({name: peer.step for name, peer in peers.items()}, repeats=options.repeats, clock=clock)
    ratios = {name: ratio(seconds, name) for name in peers if name != OURS}
    if not bf16_is_fast():
        same_work = Muon(parameters(1, stacked=True), **SETTINGS)
        slow = measure({OURS: same_work.step, SHIPPED: shipped(1).step}, repeats=1, clock=clock)
        ratios[SHIPPED] = ratio(slow, SHIPPED)
    return {
        "threads": threads,
        "clock": "cpu seconds" if threads == 1 else "wall seconds",
        "milliseconds": {name: round(1e3 * statistics.median(values), 1) for name, values in seconds.items()},
        "fastest_milliseconds": {name: round(1e3 * min(values), 1) for name, values in seconds.items()},
        "ratios": ratios,
        "ratio": min(ratios.values()),
        "target": TARGETS.get(threads),
    }


def bf16_is_fast() -> bool:
    """Whether torch.optim.Muon as shipped runs on instructions of this processor."""
    return default_dtype() == torch.bfloat16


def shipped(layers: int) -> torch.optim.Optimizer:
    """torch.optim.Muon over single matrices."""
    return torch.optim.Muon(parameters(layers, stacked=False), **SETTINGS, adjust_lr_fn="match_rms_adamw")


def ratio(seconds: dict[str, list[float]], peer: str) -> float:
    """Median over rounds of peer / manyeyes."""
    pairs = zip(seconds[peer], seconds[OURS], strict=True)
    return round(statistics.median(theirs / ours for theirs, ours in pairs), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=5, help="layers with experts")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/muon.json"))
    options = parser.parse_args()
    results = [compare(threads, options) for threads in options.threads]
    best_loop = min(ms for result in results for name, ms in result["milliseconds"].items() if name != OURS)
    for result in results:
        result["of_best"] = round(best_loop / result["milliseconds"][OURS], 3)
    report = {
        "question": "Muon step of the 22M configuration beside single-matrix loops",
        "matrices": sum(shape[0] if len(shape) == 3 else 1 for shape in shapes(options.layers)),
        "parameters": sum(param.numel() for param in parameters(options.layers, stacked=True)),
        "largest_relative_difference": largest_difference(1),
        "default_newton_schulz_dtype": str(default_dtype()),
        "torch": torch.__version__,
        "cpu": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "repeats": options.repeats,
        "load_average": round(os.getloadavg()[0], 1),
        "results": results,
    }
    show(report)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")


def show(report: dict[str, Any]) -> None:
    head = f"{report['matrices']} matrices, {report['parameters'] / 1e6:.1f}M parameters; "
    print(head + f"same step within {report['largest_relative_difference']:.1e}")
    print(f"{'threads':>7} {'manyeyes ms':>12} {'fp32 loop ms':>13} {'as shipped ms':>14} {'ratio':>6} {'target':>7}")
    for result in report["results"]:
        ms = result["milliseconds"]
        print(
            f"{result['threads']:>7} {ms[OURS]:>12} {ms[LOOP]:>13} {ms.get(SHIPPED, '-'):>14} "
            f"{result['ratio']:>6} {result['target'] or '-':>7}"
        )


if __name__ == "__main__":
    main()
