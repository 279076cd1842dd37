"""Engine and trainer say the same of the same tokens; where their weights differ, replay brings them nearer."""

import dataclasses

import numpy as np
import pytest
import torch

from manyeyes.core.sample import Sample
from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.core.trajectory import UNVERSIONED, Node, Trajectory
from manyeyes.data.packing import Batch, pack, pack_all, stack
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.multimodal import K25, build
from manyeyes.rl.logprobs import SampledFrom, batch_logprobs
from manyeyes.rl.mismatch import MismatchReport, measure_batch
from manyeyes.train.batches import samples_of

from ..inference.small_model import finished, mixed, small_config

CPU = torch.device("cpu")
PAD = small_config().media_placeholder_token_id
SAMPLED = SamplingParams(max_new_tokens=24, temperature=0.8, seed=5, never=frozenset({PAD}), record_routing=True)
GREEDY = dataclasses.replace(SAMPLED, temperature=0.0)


def policy(*, seed: int = 0, compute_dtype: torch.dtype = torch.float32) -> K25:
    """Three mixture layers of eight experts."""
    config = small_config()
    text = dataclasses.replace(config.text, num_hidden_layers=4, n_routed_experts=8)
    return build(dataclasses.replace(config, text=text), seed=seed, compute_dtype=compute_dtype)


def moved(model: K25, noise: float) -> K25:
    """Each weight by so much of its matrix' size: a policy some updates later."""
    other, generator = policy(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
            size = mine.square().mean().sqrt()
            theirs.copy_(mine + noise * size * torch.randn(mine.shape, generator=generator))
    return other


def rollouts(model: K25, params: SamplingParams, *, times: int = 1) -> Batch:
    """What the engine said, as the trainer gets it: nodes, samples, packed rows."""
    requests = mixed(params, times=times)
    engine = Engine(model, EngineConfig(cache_tokens=8192, max_rows=32, step_tokens=2048))
    samples = [one for n, (r, c) in enumerate(zip(requests, finished(engine, requests), strict=True))
               for one in trained(f"t{n}", r, c)]  # fmt: skip
    return stack(pack_all(samples, 160, pad_id=0))


def trained(name: str, request: SampleRequest, found: Completion) -> list[Sample]:
    trajectory = Trajectory(name, name)
    ids = np.concatenate([request.ids, found.ids]).astype(np.int32)
    logprobs, versions = np.array(found.logprobs, np.float32), np.array(found.versions, np.int32)
    trajectory.add(Node(ids, len(request.ids), logprobs, versions, media=request.media, routing=found.routing))
    return trajectory.to_samples(1.0)


def compared(trainer: K25, batch: Batch, params: SamplingParams, *, replay: bool = False) -> MismatchReport:
    source = SampledFrom.of(params)
    found = batch_logprobs(trainer, batch, source, micro_rows=2, device=CPU, replay=replay)
    return measure_batch(batch, found.logprobs_BT, version=1, routing_trainer_BTLK=found.routing_BTLK)


@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("replay", [False, True], ids=["free", "replayed"])
def test_equal_weights_give_equal_log_probs_with_and_without_pictures(params: SamplingParams, replay: bool) -> None:
    model = policy()
    batch = rollouts(model, params, times=2)
    assert sum(sum(counts) for counts in batch.media_counts) > 10
    report = compared(model, batch, params, replay=replay)
    assert report.all.tokens == 12 * 24 == int((batch.versions_BT != UNVERSIONED).sum())
    assert report.all.mean_absolute <= 1e-4 and report.all.masked == 0
    assert [part.tokens for part in report.by_place[:4]] == [12, 84, 192, 0]
    assert report.by_staleness[1].tokens == report.all.tokens
    assert report.routing.unknown.tokens == 0 and report.routing.differing_share <= (0.0 if replay else 0.01)


def test_dividing_a_log_probability_by_the_temperature_would_show() -> None:
    model = policy()
    report = compared(model, rollouts(model, SAMPLED), dataclasses.replace(SAMPLED, temperature=1.0))
    assert report.all.mean_absolute > 0.05


def test_ids_that_are_never_sampled_are_left_out_of_both() -> None:
    model = policy()
    params = dataclasses.replace(SAMPLED, never=frozenset(range(200, 1400)) | {PAD})
    batch = rollouts(model, params)
    assert compared(model, batch, params).all.mean_absolute <= 1e-4
    forgotten = compared(model, batch, dataclasses.replace(params, never=frozenset()))
    assert forgotten.all.mean_absolute > 0.1


@pytest.mark.parametrize("noise", [0.003, 0.01, 0.03])
def test_replay_lowers_the_mismatch_of_weights_that_have_moved(noise: float) -> None:
    sampler = policy()
    trainer, batch = moved(sampler, noise), rollouts(sampler, SAMPLED, times=3)
    free, replayed = (compared(trainer, batch, SAMPLED, replay=replay) for replay in (False, True))
    assert free.routing.differing_share > 0 == replayed.routing.differing_share
    assert replayed.all.kl_k3 < free.all.kl_k3 and replayed.all.mean_absolute < free.all.mean_absolute
    assert free.routing.different.mean_absolute > free.routing.equal.mean_absolute


def test_replay_lowers_the_mismatch_of_formats() -> None:
    """The engine computes in bf16, the trainer in fp32; weights are the same."""
    sampler, trainer = policy(compute_dtype=torch.bfloat16), policy()
    batch = rollouts(sampler, SAMPLED, times=3)
    free, replayed = (compared(trainer, batch, SAMPLED, replay=replay) for replay in (False, True))
    assert free.routing.differing_share > 0 == replayed.routing.differing_share
    assert replayed.all.kl_k3 < free.all.kl_k3


def test_packing_does_not_change_what_replay_says() -> None:
    sampler = policy()
    trainer, batch = moved(sampler, 0.01), rollouts(sampler, SAMPLED)
    alone = [compared(trainer, stack([pack([one], 160, pad_id=0)]), SAMPLED, replay=True) for one in samples_of(batch)]
    whole, total = compared(trainer, batch, SAMPLED, replay=True), sum(alone, MismatchReport())
    assert whole.all.tokens == total.all.tokens and whole.routing.pairs == total.routing.pairs
    assert whole.all.kl_k3 == pytest.approx(total.all.kl_k3, rel=1e-2)
