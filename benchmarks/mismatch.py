"""How far are engine and trainer apart on the same tokens, and what does routing replay change?

    python benchmarks/mismatch.py [--requests 64] [--out benchmarks/results/mismatch.json]

The configuration `tiny` (three mixture layers, 2 of 8 experts) with random weights drawn wide (std 0.1), so that scores
matter. The engine samples 48 tokens behind each prompt at temperature 1 and records where it sent them; the trainer
computes the log-probabilities of the same tokens in fp32, routing freely, then with the recorded sets. Rows:

    same weights, fp32       the engine computes as the trainer does: what is left is another order of sums
    same weights, bf16       the engine computes in half precision, as served policies do
    moved by x %             the trainer's weights have moved on by so much of their own size; the engine's are behind

A minute on one core. Figures are those of `MismatchReport`.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manyeyes.core.sample import Sample
from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.core.trajectory import Node, Trajectory
from manyeyes.data.packing import Batch, pack_all, stack
from manyeyes.inference.engine import Engine
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import K25, build
from manyeyes.rl.logprobs import SampledFrom, batch_logprobs
from manyeyes.rl.mismatch import MismatchReport, measure_batch

CPU = torch.device("cpu")
PARAMS = SamplingParams(max_new_tokens=48, temperature=1.0, never=frozenset(range(1792, 2048)), record_routing=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mismatch.json"))
    given = parser.parse_args()
    rows = list(measured(given.requests))
    print("\n".join(table(rows)))
    found = {"question": "engine and trainer on the same tokens", "requests": given.requests, "results": rows}
    given.out.write_text(json.dumps(found, indent=2) + "\n")


def measured(requests: int) -> Iterator[dict[str, Any]]:
    trainer = policy(torch.float32)
    for case, sampler, learner in (
        ("same weights, fp32", trainer, trainer),
        ("same weights, bf16", policy(torch.bfloat16), trainer),
        ("moved by 0.1 %", trainer, moved(trainer, 0.001)),
        ("moved by 1 %", trainer, moved(trainer, 0.01)),
    ):
        batch = rollouts(sampler, requests)
        for replay in (False, True):
            found = batch_logprobs(learner, batch, SampledFrom.of(PARAMS), micro_rows=4, device=CPU, replay=replay)
            report = measure_batch(batch, found.logprobs_BT, version=0, routing_trainer_BTLK=found.routing_BTLK)
            yield {"case": f"{case}, {'replayed' if replay else 'free'}", "figures": figures(report)}


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The table of docs/train-inference-mismatch.md."""
    yield "| case | mean \\|l\\| | KL (k3) | masked | other experts |"
    yield "|---|---|---|---|---|"
    for row in rows:
        found = row["figures"]
        shares = f"{found['masked_share']:.2%} | {found['routing/differing_share']:.2%}"
        yield f"| {row['case']} | {found['mean_absolute']:.2g} | {found['kl_k3']:.2g} | {shares} |"


def figures(report: MismatchReport) -> dict[str, float]:
    names = ("tokens", "mean_absolute", "kl_k3", "masked_share", "routing/differing_share")
    names += ("mean_absolute/routed equal", "mean_absolute/routed different")
    return {name: report.figures[name] for name in names if name in report.figures}


def policy(compute: torch.dtype) -> K25:
    config = tiny()
    return build(
        dataclasses.replace(config, text=dataclasses.replace(config.text, initializer_range=0.1)), compute_dtype=compute
    )


def moved(model: K25, share: float) -> K25:
    other, generator = policy(torch.float32), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
            size = mine.square().mean().sqrt()
            theirs.copy_(mine + share * size * torch.randn(mine.shape, generator=generator))
    return other


def rollouts(model: K25, requests: int) -> Batch:
    rng, engine = np.random.default_rng(0), Engine(model)
    asked = {}
    for seed in range(requests):
        ids = rng.integers(0, 1700, int(rng.integers(8, 80))).astype(np.int32)
        request = SampleRequest(ids, params=dataclasses.replace(PARAMS, seed=seed))
        asked[engine.add(request)[0]] = request
    samples: list[Sample] = []
    while engine.busy:
        for number, said in engine.step().ended:
            prompt = asked[number].ids
            trajectory = Trajectory(f"r{number}", f"r{number}")
            ids = np.concatenate([prompt, said.ids]).astype(np.int32)
            logprobs, versions = np.array(said.logprobs, np.float32), np.array(said.versions, np.int32)
            trajectory.add(Node(ids, len(prompt), logprobs, versions, routing=said.routing))
            samples += trajectory.to_samples(1.0)
    return stack(pack_all(sorted(samples, key=lambda one: one.name), 256, pad_id=0))


if __name__ == "__main__":
    main()
