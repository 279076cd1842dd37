"""The gradient of a step is Eq. 1's closed form through a plain softmax, however rows are packed and split."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from manyeyes.core.errors import DataError
from manyeyes.core.sample import Sample
from manyeyes.data.packing import Batch, pack, stack
from manyeyes.model.multimodal import K25
from manyeyes.rl.grpo import Grpo
from manyeyes.rl.gspo import Gspo
from manyeyes.rl.icepop import IcePop
from manyeyes.rl.k15 import K15
from manyeyes.rl.learn import LearnedRl, learn_rl
from manyeyes.rl.logprobs import batch_logprobs
from manyeyes.rl.objective import Eq1, Objective
from manyeyes.rl.token_count import TokenCount
from manyeyes.train.batches import media_of, samples_of

from ..train.small_system import CPU, system
from .rollout_samples import SOURCE, backwards, gradients, one_a_row, rollout_samples, tight
from .rollout_samples import one_thread as one_thread

OBJECTIVES = [Eq1(tau=0.05), Grpo(), Grpo(mean_over="sequence"), Gspo(), IcePop(), K15()]


def model_of() -> K25:
    return system(aux_loss_alpha=0.0).main


def learned(model: K25, batch: Batch, objective: Objective | None = None, *, micro_rows: int = 1, **more) -> LearnedRl:
    more = {"count": TokenCount.of(batch), "clip_threshold": math.inf} | more
    return learn_rl(
        model, batch, objective or Eq1(tau=0.05), source=SOURCE, micro_rows=micro_rows, device=CPU, **more
    )  # fmt: skip


def plain_logprobs(model: K25, one: Sample) -> Tensor:
    ids = torch.from_numpy(one.ids.astype(np.int64))[None]
    logits = model.logits(model(ids, media=media_of(one.media, CPU) if one.media else None).hidden_BTD)[0, :-1].clone()
    logits[:, sorted(SOURCE.never)] = -torch.inf
    return (logits / SOURCE.temperature).log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]


def same(one: dict[str, Tensor], other: dict[str, Tensor], atol: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(
            one[name], other[name], atol=atol, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_the_gradient_is_the_closed_form_through_a_plain_softmax() -> None:
    model = model_of()
    samples = rollout_samples(model)
    n, total, masked = sum(int(one.weights.sum()) for one in samples), torch.zeros(()), 0
    for one in samples:
        at_T = one.weights[1:] > 0
        logprobs_T = plain_logprobs(model, one)[at_T]
        l_T = logprobs_T.detach().double() - torch.from_numpy(one.logprobs[1:][at_T]).double()
        inside_T = (l_T >= -math.log(2)) & (l_T <= math.log(2))
        push_T = (inside_T * l_T.exp() * torch.from_numpy(one.advantages[1:][at_T]) - 2 * 0.05 * l_T) / n
        total = total - (push_T.float() * logprobs_T).sum()
        masked += int((~inside_T).sum())
    total.backward()
    expected = gradients(model)
    found = learned(model, tight(samples))
    same(gradients(model), expected, 1e-6)
    assert 0 < masked < n and found.parts["masked"] == pytest.approx(masked / n)
    assert any(name.startswith("vision_tower") for name in expected)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: type(one).__name__)
def test_packings_splits_and_orders_change_nothing(objective: Objective) -> None:
    model = model_of()
    spread = 1e-3 if isinstance(objective, Gspo) else 0.4
    samples = rollout_samples(model, spread=spread)
    first = learned(model, tight(samples), objective, micro_rows=8)
    expected = gradients(model)
    assert any(bool(one.any()) for one in expected.values())
    batches = [
        (tight(samples), 1),
        (one_a_row(samples), 1),
        (one_a_row(samples[::-1]), 4),
        (backwards(tight(samples)), 2),
    ]
    for batch, micro_rows in batches:
        again = learned(model, batch, objective, micro_rows=micro_rows)
        same(gradients(model), expected, 1e-6)
        for name, value in first.parts.items():
            assert again.parts[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_halves_with_the_count_of_the_whole_are_the_whole() -> None:
    """What ranks do; and masked tokens that never came into the batch shrink the step, as they count in N."""
    model = model_of()
    samples = rollout_samples(model)
    learned(model, tight(samples))
    expected = gradients(model)
    count = TokenCount.of(tight(samples))
    for half in (samples[:2], samples[2:]):
        learned(model, tight(half), count=count)  # gradients add up
    same(gradients(model), expected, 1e-6)
    learned(model, tight(samples), count=count + TokenCount(tokens=count.tokens))
    same({name: 2 * one for name, one in gradients(model).items()}, expected, 1e-6)
    learned(model, tight(samples), count=dataclasses.replace(count, averaged_over=4))
    same({name: one / 4 for name, one in gradients(model).items()}, expected, 1e-6)


def test_it_measures_what_batch_logprobs_measures() -> None:
    model = model_of()
    batch = tight(rollout_samples(model))
    found = learned(model, batch)
    expected = batch_logprobs(model, batch, SOURCE, micro_rows=2, device=CPU)
    np.testing.assert_allclose(found.found.logprobs_BT, expected.logprobs_BT, atol=1e-5)
    np.testing.assert_array_equal(found.found.routing_BTLK, expected.routing_BTLK)
    assert found.expert_counts_LE is not None and int(found.expert_counts_LE.sum()) == batch.tokens * 2
    assert found.max_logit_LH is not None and bool(found.max_logit_LH.isfinite().all())


def test_entropy_is_that_of_the_sampled_distribution() -> None:
    model = model_of()
    samples = rollout_samples(model, count=3)
    total, n = 0.0, 0
    for one in samples:
        ids = torch.from_numpy(one.ids.astype(np.int64))[None]
        media = media_of(one.media, CPU) if one.media else None
        with torch.no_grad():
            logits = model.logits(model(ids, media=media).hidden_BTD)[0, :-1]
        logits[:, sorted(SOURCE.never)] = -1e9
        entropy_T = torch.distributions.Categorical(logits=logits.double() / SOURCE.temperature).entropy()
        total, n = total + float(entropy_T[one.weights[1:] > 0].sum()), n + int(one.weights.sum())
    assert learned(model, tight(samples)).parts["entropy"] == pytest.approx(total / n, rel=1e-5)


def test_replaying_the_trainers_own_routing_changes_nothing_and_another_does() -> None:
    model = model_of()
    batch = tight(rollout_samples(model))
    learned(model, batch)
    free = gradients(model)
    learned(model, batch, replay=True)
    same(gradients(model), free, 1e-6)
    other = batch._replace(routing_BTLK=np.where(batch.routing_BTLK < 4, 3 - batch.routing_BTLK, batch.routing_BTLK))
    learned(model, other, replay=True)
    assert any(not torch.allclose(one, free[name], atol=1e-4) for name, one in gradients(model).items())
    with pytest.raises(DataError, match="record_routing"):
        learned(model, batch._replace(routing_BTLK=None), replay=True)


def test_a_later_step_on_a_batch_uses_what_the_trainer_said_before_the_first() -> None:
    model = model_of()
    batch = tight(rollout_samples(model, spread=0.1))
    before = batch_logprobs(model, batch, SOURCE, micro_rows=2, device=CPU).logprobs_BT
    learned(model, batch, IcePop())
    first = gradients(model)
    learned(model, batch, IcePop(), proximal_BT=before)
    same(gradients(model), first, 1e-6)
    assert learned(model, batch, IcePop()).parts["clip_share"] == 0.0
    up = np.asarray(batch.advantages_BT > 0).sum() / (batch.weights_BT > 0).sum()
    found = learned(model, batch, IcePop(), proximal_BT=before - np.float32(0.5))  # the policy has moved by exp(0.5)
    assert found.parts["clip_share"] == pytest.approx(up)


def test_the_balance_loss_is_a_mean_over_all_positions() -> None:
    model = system(aux_loss_alpha=0.01).main
    samples = rollout_samples(model)
    one, other = learned(model, one_a_row(samples)), learned(model, one_a_row(samples), micro_rows=3)
    assert one.parts["balance"] > 0
    assert one.parts["balance"] == pytest.approx(other.parts["balance"], rel=1e-4)
    parts = one.parts
    assert parts["loss"] == pytest.approx(parts["policy"] + parts["squared"] + parts["balance"], rel=1e-6)


def test_a_rank_without_a_sample_still_has_gradients() -> None:
    model = model_of()
    learned(model, stack([pack([], 48, pad_id=0)]), count=TokenCount(tokens=9))
    found = gradients(model)
    assert len(found) == len(list(model.parameters())) and not any(bool(one.any()) for one in found.values())


def test_what_cannot_be_learned_from_is_refused_by_name() -> None:
    model = model_of()
    samples = rollout_samples(model)
    with pytest.raises(DataError, match="log-probabilities and advantages"):
        learned(model, tight(samples)._replace(advantages_BT=None))
    wrong = dataclasses.replace(samples[3], logprobs=np.where(samples[3].weights > 0, np.nan, 0).astype(np.float32))
    with pytest.raises(DataError, match=r"not finite, the first in t/1/1#0 .*sampler nan"):
        learned(model, one_a_row([*samples[:3], wrong]))


def test_samples_survive_their_packing() -> None:
    model = model_of()
    samples = rollout_samples(model)
    names = {one.name for one in samples_of(tight(samples))}
    assert names == {one.name for one in samples}
