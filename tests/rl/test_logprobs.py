"""The trainer's log-probabilities are those of a plain softmax over everything, and so are their gradients."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.sample import Sample
from manyeyes.core.sampler import SamplingParams
from manyeyes.core.trajectory import UNROUTED
from manyeyes.data.packing import Batch, pack, stack
from manyeyes.model.multimodal import K25
from manyeyes.rl.logprobs import BatchLogprobs, SampledFrom, batch_logprobs, chosen_logprobs, token_logprobs
from manyeyes.train.batches import media_of, micro_batches

from ..train.small_system import CPU, TOKENIZER, sample, system

SOURCE = SampledFrom(0.7, frozenset({3, 5, TOKENIZER.media_pad}))


def rollouts(count: int = 5) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [sample(rng, 6 + n, pictures=n % 3, name=f"n{n}") for n in range(count)]


def packed(samples: list[Sample]) -> Batch:
    return stack([pack(samples[:2], 48, pad_id=0), pack([], 48, pad_id=0), pack(samples[2:], 48, pad_id=0)])


def alone(model: K25, one: Sample, source: SampledFrom) -> Tensor:
    """log p of each id after the first, by one pass over this sample and a whole softmax."""
    ids = torch.from_numpy(one.ids.astype(np.int64))[None]
    media = media_of(one.media, CPU) if one.media else None
    logits = model.logits(model(ids, media=media).hidden_BTD)[0, :-1].clone()
    logits[:, sorted(source.never)] = -torch.inf
    return (logits / source.temperature).log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]


@pytest.mark.parametrize("micro_rows", [1, 3])
def test_packed_is_alone_with_pictures(micro_rows: int) -> None:
    model, samples = system().main, rollouts()
    batch = packed(samples)
    found = batch_logprobs(model, batch, SOURCE, micro_rows=micro_rows, device=CPU)
    assert found.logprobs_BT.dtype == np.float32 and found.routing_BTLK.dtype == np.uint16
    assert (found.routing_BTLK[1] == UNROUTED).all() or micro_rows == 3  # a row without a sample was not computed
    for row, names in enumerate(batch.names):
        for number, name in enumerate(names):
            one = samples[int(name[1:])]
            inside = batch.segments_BT[row] == number
            expected = np.concatenate([[0], alone(model, one, SOURCE).detach().numpy()])
            expected[one.weights == 0] = 0
            np.testing.assert_allclose(found.logprobs_BT[row, inside], expected, atol=2e-5)
            single = stack([pack([one], 48, pad_id=0)])
            own = batch_logprobs(model, single, SOURCE, micro_rows=1, device=CPU)
            np.testing.assert_allclose(own.logprobs_BT[0, : one.length], expected, atol=2e-5)
            np.testing.assert_array_equal(found.routing_BTLK[row, inside], own.routing_BTLK[0, : one.length])
    assert not found.logprobs_BT[batch.weights_BT == 0].any()


def test_gradients_are_those_of_a_plain_softmax() -> None:
    model, samples = system().main, rollouts()
    (part,) = micro_batches(packed(samples), 3, device=CPU)
    (token_logprobs(model, part, SOURCE).logprobs_BT * part.weights_BT).sum().backward()
    mine = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    sum((alone(model, s, SOURCE) * torch.from_numpy(s.weights[1:])).sum() for s in samples).backward()
    assert "vision_tower.patch_embed.proj.weight" in mine
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(mine[name], parameter.grad, atol=1e-4, rtol=1e-3, msg=name)


def test_chunks_change_nothing() -> None:
    hidden, head = torch.randn(50, 16, requires_grad=True), torch.randn(40, 16, requires_grad=True)
    targets, weights = torch.randint(6, 40, (50,)), torch.randn(50)
    found = []
    for chunk in (1, 7, 50, 256):
        logprobs = chosen_logprobs(hidden, head, targets_N=targets, source=SOURCE_SMALL, chunk=chunk)
        found.append((logprobs.detach(), *torch.autograd.grad((logprobs * weights).sum(), (hidden, head))))
    with torch.no_grad():
        found.append((chosen_logprobs(hidden, head, targets_N=targets, source=SOURCE_SMALL), *found[0][1:]))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-5)


SOURCE_SMALL = SampledFrom(0.7, frozenset({3, 5}))


def test_an_id_that_could_not_be_sampled_has_no_probability_and_poisons_nothing() -> None:
    hidden, head = torch.randn(2, 16, requires_grad=True), torch.randn(40, 16)
    found = chosen_logprobs(hidden, head, targets_N=torch.tensor([3, 4]), source=SOURCE_SMALL)
    assert found[0] == -torch.inf and torch.isfinite(found[1])
    found.nan_to_num(neginf=0.0).sum().backward()
    assert hidden.grad is not None and bool(hidden.grad.isfinite().all())


def test_no_trained_token_is_no_error() -> None:
    silent = [dataclasses.replace(one, weights=np.zeros_like(one.weights)) for one in rollouts(2)]
    batch = stack([pack(silent, 48, pad_id=0)])
    found = batch_logprobs(system().main, batch, SOURCE, micro_rows=1, device=CPU)
    assert not found.logprobs_BT.any()
    (part,) = micro_batches(batch, 1, device=CPU)
    assert not token_logprobs(system().main, part, SOURCE).logprobs_BT.any()


def test_a_tiny_temperature_is_not_infinite() -> None:
    hidden, head = torch.randn(5, 16), torch.randn(40, 16)
    best = (hidden @ head.T).argmax(1)
    found = chosen_logprobs(hidden, head, targets_N=best, source=SampledFrom(1e-30))
    torch.testing.assert_close(found, torch.zeros(5))


@pytest.mark.parametrize(
    "change, name", [({"top_p": 0.9}, "top_p"), ({"top_k": 5}, "top_k"), ({"min_p": 0.1}, "min_p")]
)
def test_a_cut_distribution_is_refused_unless_log_probabilities_are_raw(change: dict, name: str) -> None:
    params = SamplingParams(temperature=0.7, never=frozenset({1}), **change)
    with pytest.raises(ConfigError, match=f"sampled with {name}, .* temperature alone"):
        SampledFrom.of(params)
    assert SampledFrom.of(params, "raw") == SampledFrom()
    assert SampledFrom.of(dataclasses.replace(params, temperature=0.0)) == SampledFrom(1.0, frozenset({1}))


def test_a_constraint_is_refused() -> None:
    with pytest.raises(ConfigError, match="constraint"):
        SampledFrom.of(SamplingParams(constraint=lambda: None))  # pyright: ignore


def test_temperature_zero_cannot_be_divided_by() -> None:
    with pytest.raises(ConfigError, match="above 0"):
        SampledFrom(0.0)


def test_replay_without_a_recording_is_refused() -> None:
    batch = packed(rollouts())
    with pytest.raises(DataError, match=r"record_routing=True"):
        batch_logprobs(system().main, batch, SOURCE, micro_rows=1, device=CPU, replay=True)
    (part,) = micro_batches(batch, 3, device=CPU)
    with pytest.raises(DataError, match=r"record_routing=True"):
        token_logprobs(system().main, part, SOURCE, replay=True)


def test_a_step_that_learns_measures_the_same() -> None:
    model, batch = system().main, packed(rollouts())
    found = BatchLogprobs.empty(batch, model.config.text)
    for part in micro_batches(batch, 1, device=CPU):
        one = token_logprobs(model, part, SOURCE, keep_routing=True)
        one.logprobs_BT.sum().backward()
        found.put(part, one)
    expected = batch_logprobs(model, batch, SOURCE, micro_rows=1, device=CPU)
    np.testing.assert_allclose(found.logprobs_BT, expected.logprobs_BT, atol=1e-6)
    np.testing.assert_array_equal(found.routing_BTLK, expected.routing_BTLK)
