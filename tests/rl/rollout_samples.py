"""Samples as RL gets them, of a small model: log-probabilities near its own, advantages, versions."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import UNVERSIONED
from manyeyes.data.packing import Batch, pack, pack_all, stack
from manyeyes.model.multimodal import K25
from manyeyes.rl.learned_tokens import LearnedTokens
from manyeyes.rl.logprobs import SampledFrom, batch_logprobs
from manyeyes.train.batches import samples_of

from ..train.small_system import CPU, TOKENIZER, sample

SOURCE = SampledFrom(0.9, frozenset({TOKENIZER.media_pad}))
ROW = 48


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A second thread costs more than it brings with matrices this small, above all where others compute too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rollout_samples(model: K25, *, count: int = 6, spread: float = 0.6, seed: int = 0) -> list[Sample]:
    """Some tokens inside the band and some outside; groups of two."""
    rng = np.random.default_rng(seed)
    plain = [sample(rng, 5 + n, pictures=n % 2, name=f"t/{n // 2}/{n % 2}#0") for n in range(count)]
    plain = [dataclasses.replace(one, weights=(one.weights > 0).astype(np.float32)) for one in plain]
    rows = stack([pack([one], ROW, pad_id=0) for one in plain])
    own = batch_logprobs(model, rows, SOURCE, micro_rows=count, device=CPU)
    made = []
    for row, one in enumerate(plain):
        carries = one.weights > 0
        logprobs = own.logprobs_BT[row, : one.length] + rng.normal(0, spread, one.length).astype(np.float32)
        made.append(dataclasses.replace(
            one,
            logprobs=np.where(carries, logprobs, 0).astype(np.float32),
            advantages=np.where(carries, np.float32(rng.normal()), 0).astype(np.float32),
            versions=np.where(carries, 1, UNVERSIONED).astype(np.int32),
            routing=own.routing_BTLK[row, : one.length],
        ))  # fmt: skip
    return made


def one_a_row(samples: list[Sample]) -> Batch:
    return stack([pack([one], ROW, pad_id=0) for one in samples])


def tight(samples: list[Sample]) -> Batch:
    return stack(pack_all(samples, ROW, pad_id=0))


def backwards(batch: Batch) -> Batch:
    return tight(samples_of(batch)[::-1])


def gradients(model: K25) -> dict[str, torch.Tensor]:
    """What is in `.grad`, which is cleared."""
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def tokens_of(
    log_ratios: list[float] | np.ndarray, *, seed: int = 0, sequences: int = 3, weights: np.ndarray | None = None
) -> LearnedTokens:
    """In float64, with gradient; sequences of uneven length, each with an advantage of its own."""
    rng, n = np.random.default_rng(seed), len(log_ratios)
    sequence = np.sort(
        np.concatenate([np.arange(min(sequences, n)), rng.integers(0, sequences, max(n - sequences, 0))])
    )
    sampled = torch.from_numpy(-rng.exponential(1.0, n))
    advantages = rng.normal(size=sequences)[sequence]
    logprobs = (sampled + torch.as_tensor(np.asarray(log_ratios, np.float64))).requires_grad_()
    return LearnedTokens(
        logprobs, sampled, torch.from_numpy(advantages), torch.from_numpy(np.ones(n) if weights is None else weights),
        torch.from_numpy(sequence), int(sequence.max()) + 1 if n else 0, logprobs.detach(),
    )  # fmt: skip
