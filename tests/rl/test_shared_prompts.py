"""An update from attempts that share their prompt is the update from whole attempts; and the same beside others."""

import dataclasses

import numpy as np
import pytest
import torch

from manyeyes.core.sample import Sample
from manyeyes.data.packing import Batch, pack_all, stack
from manyeyes.data.shared_beginnings import pack_shared
from manyeyes.model.multimodal import K25
from manyeyes.rl.learn import LearnedRl, learn_rl
from manyeyes.rl.logprobs import SampledFrom, batch_logprobs
from manyeyes.rl.objective import Eq1
from manyeyes.rl.token_count import TokenCount

from ..train.small_system import CPU, TOKENIZER, picture, system

SOURCE = SampledFrom(1.0, frozenset({3, TOKENIZER.media_pad}))


def group(number: int, *, attempts: int, pictures: int) -> list[Sample]:
    rng = np.random.default_rng(number)
    shown = tuple(picture(rng) for _ in range(pictures))
    one = [TOKENIZER.media_begin, *[TOKENIZER.media_pad] * 4, TOKENIZER.media_end]
    prompt = [TOKENIZER.bos, *one * pictures, *rng.integers(6, 1700, 30)]
    made = []
    for attempt in range(attempts):
        ids = np.array([*prompt, *rng.integers(6, 1700, int(rng.integers(2, 12)))], np.int32)
        learned = (np.arange(len(ids)) >= len(prompt)).astype(np.float32)
        told, worth = (np.where(learned > 0, value, 0).astype(np.float32) for value in (-7.4, rng.normal()))
        versions = np.where(learned > 0, 0, -1).astype(np.int32)
        made.append(Sample(ids, learned, shown, f"{number}/{attempt}", told, worth, versions))
    return made


GROUPS = [group(0, attempts=4, pictures=1), group(1, attempts=3, pictures=0), group(2, attempts=1, pictures=2)]
EVERY = [one for group in GROUPS for one in group]


def policy() -> K25:
    return system(aux_loss_alpha=0.5).main  # the experts' balance is of whole attempts, too


def learn(model: K25, batch: Batch, *, micro_rows: int) -> tuple[LearnedRl, dict[str, torch.Tensor]]:
    model.zero_grad(set_to_none=True)
    tokens = int(sum(one.weights.sum() for one in EVERY))
    count = TokenCount(tokens, len(EVERY), len(GROUPS), positions=batch.seen)
    found = learn_rl(
        model, batch, Eq1(tau=0.05), count=count, source=SOURCE, micro_rows=micro_rows, clip_threshold=1e-3, device=CPU
    )
    return found, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def shared(row_length: int) -> Batch:
    return stack(pack_shared(GROUPS, row_length, pad_id=TOKENIZER.pad, media_pad=TOKENIZER.media_pad))


@pytest.mark.parametrize("row_length", [64, 100, 400])
def test_gradients_and_figures_are_those_of_whole_attempts(row_length: int) -> None:
    model = policy()
    whole = stack(pack_all(EVERY, 64, pad_id=TOKENIZER.pad))
    expected, gradients = learn(model, whole, micro_rows=2)
    found, ours = learn(model, shared(row_length), micro_rows=1)
    assert shared(400).tokens < 0.6 * whole.tokens and len(shared(400).media) == 3 < len(whole.media)
    assert shared(row_length).seen == whole.seen == whole.tokens and expected.parts["balance"] > 0.1
    for name, value in expected.parts.items():
        assert found.parts[name] == pytest.approx(value, abs=2e-6), name
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-3, msg=name)
    torch.testing.assert_close(found.max_logit_LH, expected.max_logit_LH, atol=1e-5, rtol=1e-5)
    assert found.expert_counts_LE is not None and expected.expert_counts_LE is not None
    assert found.expert_counts_LE.equal(expected.expert_counts_LE)


def test_log_probabilities_stand_where_their_tokens_stand() -> None:
    model, batch = policy(), shared(100)
    told = batch_logprobs(model, batch, SOURCE, micro_rows=1, device=CPU)
    whole = stack(pack_all(EVERY, 64, pad_id=TOKENIZER.pad))
    alone = batch_logprobs(model, whole, SOURCE, micro_rows=1, device=CPU)
    for one in EVERY:
        mine, its = (
            np.concatenate([
                told_T[(segments_T == names.index(one.name)) & (weights_T > 0)]
                for told_T, segments_T, weights_T, names in zip(
                    logprobs_BT, rows.segments_BT, rows.weights_BT, rows.names, strict=True
                ) if one.name in names
            ]) for rows, logprobs_BT in ((batch, told.logprobs_BT), (whole, alone.logprobs_BT))
        )  # fmt: skip
        np.testing.assert_allclose(mine, its, atol=2e-5)
        assert len(mine) == one.weights.sum()


def test_micro_batches_side_by_side_are_one_after_the_other_bit_for_bit() -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            told, gradients = learn(policy(), shared(64), micro_rows=1)
            found.append((told.parts, gradients, told.found.logprobs_BT))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for parts, gradients, logprobs_BT in found[1:]:
        assert parts == found[0][0] and np.array_equal(logprobs_BT, found[0][2])
        assert all(torch.equal(gradients[name], one) for name, one in found[0][1].items())


def test_an_attempt_that_went_wrong_is_named_whoever_computes_it() -> None:
    told = [np.where(one.weights > 0, np.inf, 0).astype(np.float32) for one in EVERY]
    wrong = [dataclasses.replace(one, logprobs=mine) for one, mine in zip(EVERY, told, strict=True)]
    batch = stack(pack_shared([wrong[:4], wrong[4:]], 64, pad_id=TOKENIZER.pad, media_pad=TOKENIZER.media_pad))
    with pytest.raises(Exception, match="not finite, the first in 0/"):
        learn(policy(), batch, micro_rows=1)
