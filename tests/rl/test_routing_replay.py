"""Replay sends each token where it was recorded, packed or not; balance and unknown tokens are left alone."""

import dataclasses

import numpy as np
import pytest
import torch

from manyeyes.core.errors import DataError
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import UNROUTED
from manyeyes.data.packing import Batch, pack, stack
from manyeyes.model.multimodal import K25
from manyeyes.rl.logprobs import BatchLogprobs, SampledFrom, batch_logprobs
from manyeyes.rl.mismatch import MismatchReport, measure_batch
from manyeyes.rl.routing_replay import require_replayable, states
from manyeyes.train.batches import MicroBatch, micro_batches

from ..train.small_system import CPU, sample, system

TEXT = {"num_hidden_layers": 3, "n_routed_experts": 8}


def model_of(seed: int = 0) -> K25:
    return system(seed, **TEXT).main


def samples_routed_at_random(count: int = 4, *, unknown: float = 0.0) -> list[Sample]:
    rng = np.random.default_rng(0)
    samples = []
    for number in range(count):
        one = sample(rng, 7 + number, pictures=number % 2, name=f"n{number}")
        routing = rng.permuted(np.tile(np.arange(8), (one.length, 2, 1)), axis=-1)[..., :2].astype(np.uint16)
        routing[rng.random((one.length, 2)) < unknown] = UNROUTED
        samples.append(dataclasses.replace(one, routing=routing))
    return samples


def whole(samples: list[Sample]) -> tuple[Batch, MicroBatch]:
    batch = stack([pack(samples[:2], 48, pad_id=0), pack(samples[2:], 48, pad_id=0)])
    (part,) = micro_batches(batch, 2, device=CPU)
    return batch, part


def test_packed_replay_is_replay_alone() -> None:
    model, samples = model_of(), samples_routed_at_random(unknown=0.3)
    batch, part = whole(samples)
    with torch.no_grad():
        together = states(model, part, replay=True).hidden_BTD
        free = states(model, part, replay=False).hidden_BTD
        for row, names in enumerate(batch.names):
            for number, name in enumerate(names):
                (single,) = micro_batches(stack([pack([samples[int(name[1:])]], 48, pad_id=0)]), 1, device=CPU)
                inside = torch.from_numpy(batch.segments_BT[row] == number)
                length = int(inside.sum())
                alone = states(model, single, replay=True).hidden_BTD[0, :length]
                torch.testing.assert_close(together[row, inside], alone, atol=1e-4, rtol=1e-4)
                assert not torch.allclose(free[row, inside], alone, atol=1e-2)


def test_without_replay_it_is_the_model() -> None:
    model, (_, part) = model_of(), whole(samples_routed_at_random())
    with torch.no_grad():
        plain = model(
            part.ids_BT, positions_BT=part.positions_BT, segments_BT=part.segments_BT, media=part.media, collect=True
        )
        ours = states(model, part, replay=False, keep_routing=True, collect=True)
    assert ours.hidden_BTD.equal(plain.hidden_BTD) and ours.expert_counts_LE.equal(plain.expert_counts_LE)
    assert plain.routing_BTLK is None and ours.routing_BTLK.shape == (2, 48, 2, 2)
    counted = [
        torch.bincount(ours.routing_BTLK[part.segments_BT >= 0][:, layer].flatten(), minlength=8) for layer in (0, 1)
    ]
    assert ours.expert_counts_LE.equal(torch.stack(counted))


def test_replaying_the_trainers_own_sets_changes_nothing() -> None:
    model, (batch, _) = model_of(), whole(samples_routed_at_random())
    source = SampledFrom(0.8)
    free = batch_logprobs(model, batch, source, micro_rows=2, device=CPU)
    known = batch._replace(routing_BTLK=free.routing_BTLK)
    replayed = batch_logprobs(model, known, source, micro_rows=2, device=CPU, replay=True)
    np.testing.assert_allclose(replayed.logprobs_BT, free.logprobs_BT, atol=1e-6)
    np.testing.assert_array_equal(replayed.routing_BTLK, free.routing_BTLK)  # padding too
    nothing = batch._replace(routing_BTLK=np.full_like(free.routing_BTLK, UNROUTED))
    unknown = batch_logprobs(model, nothing, source, micro_rows=2, device=CPU, replay=True)
    np.testing.assert_array_equal(unknown.logprobs_BT, free.logprobs_BT)


def test_tokens_are_sent_where_it_was_recorded() -> None:
    model, (batch, _) = model_of(), whole(samples_routed_at_random(unknown=0.3))
    free, replayed = (
        batch_logprobs(model, batch, SampledFrom(), micro_rows=1, device=CPU, replay=replay) for replay in (False, True)
    )
    known = batch.routing_BTLK != UNROUTED
    np.testing.assert_array_equal(replayed.routing_BTLK[known], batch.routing_BTLK[known])
    inside = batch.segments_BT >= 0
    assert not known[inside].all() and (replayed.routing_BTLK[inside] != UNROUTED).all()
    one, two = (measure_batch_of(batch, found) for found in (free, replayed))
    assert one.routing.differing_share > 0.5 and two.routing.differing_share == 0.0
    assert one.routing.pairs == two.routing.pairs


def measure_batch_of(batch: Batch, found: BatchLogprobs) -> MismatchReport:
    told = batch._replace(logprobs_BT=found.logprobs_BT, versions_BT=np.zeros_like(batch.ids_BT))
    return measure_batch(told, found.logprobs_BT, version=0, routing_trainer_BTLK=found.routing_BTLK)


def test_balance_of_the_first_mixture_does_not_notice_replay() -> None:
    """Of later ones neither, but for what they read."""
    model, (_, part) = model_of(), whole(samples_routed_at_random())
    free, replayed = (states(model, part, replay=replay, collect=True) for replay in (False, True))
    assert free.expert_counts_LE[0].equal(replayed.expert_counts_LE[0])
    assert int(replayed.expert_counts_LE.sum()) == part.tokens * 2 * 2
    replayed.aux_loss.backward()
    assert all(bool(layer.mlp.gate.weight.grad.any()) for layer in model.language_model.model.layers[1:])


def test_gates_learn_through_replayed_experts() -> None:
    model, (_, part) = model_of(), whole(samples_routed_at_random())
    out = states(model, part, replay=True)
    out.hidden_BTD[part.segments_BT >= 0].square().sum().backward()
    gate_ED = model.language_model.model.layers[-1].mlp.gate.weight.grad
    sent = part.routing_BTLK[part.segments_BT >= 0][:, -1].flatten()
    assert bool(gate_ED[sent.unique()].any(1).all())


@pytest.mark.parametrize(
    "damage, match",
    [
        (lambda r: r[..., :1], r"\[2, 2\], got \[2, 1\]"),
        (lambda r: r[:, :, :1], r"\[2, 2\], got \[1, 2\]"),
        (lambda r: np.where(r == 7, 8, r), "expert 8, and the model has 8"),
        (lambda r: np.where(r == 7, UNROUTED, r), "expert 65535"),
        (lambda r: r * 0, "twice"),
        (lambda r: None, "record_routing"),
    ],
)
def test_what_cannot_be_replayed_is_refused(damage, match: str) -> None:
    batch, _ = whole(samples_routed_at_random())
    text = model_of().config.text
    require_replayable(batch, text)
    with pytest.raises(DataError, match=match):
        require_replayable(batch._replace(routing_BTLK=damage(batch.routing_BTLK)), text)


def test_the_backbone_refuses_another_shape() -> None:
    _, part = whole(samples_routed_at_random())
    with pytest.raises(ValueError, match="recorded with another model"):
        states(model_of(), part._replace(routing_BTLK=part.routing_BTLK[:, :, :1]), replay=True)
