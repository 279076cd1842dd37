"""Micro-batches of a step side by side, one a thread, beside one after the other on all threads.

    python benchmarks/rl_step_pieces.py [--rounds 3] [--threads 2] [--out FILE]

    language   `train.objectives.learn_language`: rows of 1,024 tokens that are full of short samples
    rl         `rl.learn.learn_rl`: the same rows, a third of their tokens learned from, Eq. 1

Both of the text model of `tiny`, random weights, fp32. Of each the same batch is computed in three ways, which take
turns round by round; the first round warms up. They give the same gradients but for rounding, which is checked.

Prints a table, writes benchmarks/results/rl_step_pieces.json. Takes a minute or two, and wants a quiet machine.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manyeyes.core.sample import Sample
from manyeyes.data.packing import Batch, pack_all, stack
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import K25, build
from manyeyes.rl.learn import learn_rl
from manyeyes.rl.logprobs import PLAIN, batch_logprobs
from manyeyes.rl.objective import Eq1
from manyeyes.rl.token_count import TokenCount
from manyeyes.train.objectives import learn_language

RESULT = Path(__file__).parent / "results" / "rl_step_pieces.json"
CPU = torch.device("cpu")
ROW, ROWS, LENGTH = 1024, 4, 256
NEAR = 1e-3
"""How far gradients may be apart, as a share of the largest: rounding is far below."""
WAYS: dict[str, dict[str, Any]] = {
    "side by side": {"micro_rows": 1},
    "one after the other": {"micro_rows": 1, "side_by_side": 1},
    "all rows at once": {"micro_rows": ROWS},
}


def batch_of(rng: np.random.Generator, model: K25) -> Batch:
    """Full rows; log-probabilities are the model's own, so that nothing is masked."""
    learned = (np.arange(LENGTH) >= 2 * LENGTH // 3).astype(np.float32)
    samples = [
        Sample(
            rng.integers(6, 1700, LENGTH).astype(np.int32), learned, name=f"t/{n // 8}/{n % 8}#0",
            logprobs=np.zeros(LENGTH, np.float32), advantages=learned * np.float32(rng.normal()),
            versions=np.zeros(LENGTH, np.int32),
        ) for n in range(ROWS * ROW // LENGTH)
    ]  # fmt: skip
    batch = stack(pack_all(samples, ROW, pad_id=0))
    return batch._replace(logprobs_BT=batch_logprobs(model, batch, PLAIN, micro_rows=1, device=CPU).logprobs_BT)


def language(model: K25, batch: Batch, **way: Any) -> None:
    """One pass of fine-tuning."""
    learn_language(model, batch, clip_threshold=100.0, device=CPU, **way)


def rl(model: K25, batch: Batch, **way: Any) -> None:
    """One pass of RL."""
    learn_rl(model, batch, Eq1(), count=TokenCount.of(batch), source=PLAIN, clip_threshold=100.0, device=CPU, **way)


def timed(learn: Callable[..., None], model: K25, batch: Batch, way: dict[str, Any]) -> tuple[float, torch.Tensor]:
    """Seconds, and the gradient."""
    model.zero_grad(set_to_none=True)
    began = time.perf_counter()
    learn(model, batch, **way)
    seconds = time.perf_counter() - began
    return seconds, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def compared(learn: Callable[..., None], model: K25, batch: Batch, *, rounds: int) -> dict[str, Any]:
    """Tokens a second of each way, and how far gradients are apart at most, as a share of the largest."""
    seconds, found = {name: list[float]() for name in WAYS}, dict[str, torch.Tensor]()
    for number in range(rounds + 1):
        for name, way in WAYS.items():
            took, found[name] = timed(learn, model, batch, way)
            seconds[name] += [took] if number else []
    first = found["side by side"]
    apart = {name: float((one - first).abs().max() / first.abs().max()) for name, one in found.items()}
    if wrong := [f"{name} ({value:.1e})" for name, value in apart.items() if not value <= NEAR]:
        raise SystemExit(
            f"gradients of {learn.__name__} are not those of micro-batches side by side: {', '.join(wrong)}"
        )
    return {
        name: {"tokens_per_s": round(batch.tokens / statistics.median(took), 1), "apart": apart[name]}
        for name, took in seconds.items()
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    if asked.rounds < 1 or asked.threads < 2:
        parser.error("a comparison needs at least 1 round and 2 threads")
    torch.set_num_threads(asked.threads)
    model = build(tiny(), seed=0)
    batch = batch_of(np.random.default_rng(0), model)
    results: dict[str, Any] = {}
    for learn in (language, rl):
        results[learn.__name__] = compared(learn, model, batch, rounds=asked.rounds)
        for name, figures in results[learn.__name__].items():
            print(f"{learn.__name__:10} {name:20} {figures['tokens_per_s']:>9,.0f} tokens/s", flush=True)
    header = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": asked.threads,
        "rounds": asked.rounds,
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(header | {"rows": [ROWS, ROW], "learn": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
