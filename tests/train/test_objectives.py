"""Losses equal a plain restatement in torch; how rows are split into micro-batches changes rounding only."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from manyeyes.core.errors import DataError
from manyeyes.data.packing import Batch, pack, stack
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25
from manyeyes.train.batches import media_of
from manyeyes.train.objectives import learn_language, learn_pairs
from manyeyes.train.pairs import pairs_of

from .small_system import CPU, TOKENIZER, RandomSource, alike, batch, sample, system

EXACT = -1e9
"""A clip threshold that every head could pass, so that every largest logit is exact."""


def gradients(model: K25) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def learn(model: K25, whole: Batch, micro_rows: int, *, clip_threshold: float = 100.0):
    model.zero_grad(set_to_none=True)
    return learn_language(model, whole, micro_rows=micro_rows, clip_threshold=clip_threshold, device=CPU)


def plain_loss(model: K25, whole: Batch) -> tuple[torch.Tensor, float]:
    """Sample by sample, unpacked, unchunked: sum of weighted losses, and of weights."""
    total, weight, shown = torch.zeros(()), 0.0, 0
    for row, counts in enumerate(whole.media_counts):
        for number, count in enumerate(counts):
            inside = whole.segments_BT[row] == number
            ids = torch.from_numpy(whole.ids_BT[row][inside].astype(np.int64))[None]
            media = media_of(whole.media[shown : shown + count], CPU) if count else None
            shown += count
            logits = model.logits(model(ids, media=media).hidden_BTD)[0]
            weights = torch.from_numpy(whole.weights_BT[row][inside])[1:]
            total = total + (F.cross_entropy(logits[:-1], ids[0, 1:], reduction="none") * weights).sum()
            weight += float(weights.sum())
    return total, weight


def test_loss_and_gradient_are_those_of_plain_cross_entropy() -> None:
    model, whole = system(aux_loss_alpha=0.0).main, batch(1)
    learned = learn(model, whole, 2)
    ours = gradients(model)
    model.zero_grad(set_to_none=True)
    total, weight = plain_loss(model, whole)
    (total / weight).backward()
    assert learned.parts["loss"] == pytest.approx(total.item() / weight, rel=1e-5)
    theirs = gradients(model)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, atol=2e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("seed", [0, 1])
def test_micro_batching_changes_nothing_but_rounding(seed: int) -> None:
    model, whole = system(aux_loss_alpha=0.5).main, batch(seed, rows=4)
    at_once = learn(model, whole, 4, clip_threshold=EXACT)
    expected = gradients(model)
    for micro_rows in (1, 2):
        learned = learn(model, whole, micro_rows, clip_threshold=EXACT)
        assert learned.parts == pytest.approx(at_once.parts, rel=1e-5)
        assert learned.expert_counts_LE is not None and at_once.expert_counts_LE is not None
        assert learned.expert_counts_LE.equal(at_once.expert_counts_LE)
        assert learned.max_logit_LH is not None and at_once.max_logit_LH is not None
        torch.testing.assert_close(learned.max_logit_LH, at_once.max_logit_LH, atol=0, rtol=1e-5)
        found = gradients(model)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_micro_batches_side_by_side_are_one_after_the_other_bit_for_bit() -> None:
    model, whole, found = system(aux_loss_alpha=0.5).main, batch(1, rows=5), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append((learn(model, whole, 1, clip_threshold=EXACT), gradients(model)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    (first, expected), *others = found
    for learned, ours in others:
        assert learned.parts == first.parts and ours.keys() == expected.keys()
        assert all(torch.equal(ours[name], gradient) for name, gradient in expected.items())
        assert learned.max_logit_LH is not None and learned.expert_counts_LE is not None
        assert learned.max_logit_LH.equal(first.max_logit_LH)  # pyright: ignore[reportArgumentType]
        assert learned.expert_counts_LE.equal(first.expert_counts_LE)  # pyright: ignore[reportArgumentType]


def test_shared_beginnings_are_whole_samples_but_for_rounding() -> None:
    model, apart, shared = system(aux_loss_alpha=0.5).main, alike(whole=True), alike(whole=False)
    assert shared.continues_BT is not None and shared.tokens < apart.tokens == shared.seen
    expected, wanted = learn(model, apart, 4, clip_threshold=EXACT), gradients(model)
    found = learn(model, shared, 4, clip_threshold=EXACT)
    assert found.parts == pytest.approx(expected.parts, rel=1e-5) and {"text", "vision"} <= found.parts.keys()
    assert found.expert_counts_LE is not None and found.expert_counts_LE.equal(expected.expert_counts_LE)  # pyright: ignore[reportArgumentType]
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-5, rtol=1e-3, msg=name)


def test_pairs_are_not_made_of_shared_beginnings() -> None:
    networks = system(coca=True)
    assert networks.coca is not None
    with pytest.raises(DataError, match="share beginnings"):
        learn_pairs(
            networks.main, networks.coca, alike(whole=False), TOKENIZER, siglip_weight=1.0, caption_weight=1.0,
            device=CPU,
        )  # fmt: skip


def test_empty_rows_change_nothing() -> None:
    model, whole = system().main, batch(2, rows=2)
    rng = np.random.default_rng(0)
    row = pack([sample(rng, 8), sample(rng, 6, pictures=1)], 40, pad_id=0)
    alone = learn(model, stack([row]), 1)
    padded = learn(model, stack([row, pack([], 40, pad_id=0)]), 1)
    assert padded.parts == pytest.approx(alone.parts, rel=1e-6)
    assert math.isfinite(padded.parts["loss"]) and whole.tokens > 0


def test_a_micro_batch_of_padding_alone_is_nothing() -> None:
    """It comes last, so that sums and maxima are kept; and a whole step of padding has no loss and no gradient."""
    model, rng = system(aux_loss_alpha=0.5).main, np.random.default_rng(0)
    row, empty = pack([sample(rng, 8), sample(rng, 6, pictures=1)], 40, pad_id=0), pack([], 40, pad_id=0)
    alone, padded = learn(model, stack([row]), 1), learn(model, stack([row, empty]), 1)
    assert padded.parts == pytest.approx(alone.parts, rel=1e-6)
    assert alone.expert_counts_LE is not None and padded.expert_counts_LE is not None
    assert padded.expert_counts_LE.equal(alone.expert_counts_LE)
    assert alone.max_logit_LH is not None and padded.max_logit_LH is not None
    torch.testing.assert_close(padded.max_logit_LH, alone.max_logit_LH)
    nothing = learn(model, stack([empty, empty]), 1)
    assert nothing.parts["loss"] == nothing.parts["balance"] == 0.0
    assert nothing.expert_counts_LE is None or not nothing.expert_counts_LE.any()
    assert not any(bool(gradient.any()) for gradient in gradients(model).values())


def test_loss_parts_are_means_over_their_own_tokens() -> None:
    model = system().main
    rng = np.random.default_rng(3)
    text, vision = sample(rng, 9), sample(rng, 7, pictures=2)
    both = learn(model, stack([pack([text, vision], 40, pad_id=0)]), 1).parts
    only_text = learn(model, stack([pack([text], 40, pad_id=0)]), 1).parts
    only_vision = learn(model, stack([pack([vision], 40, pad_id=0)]), 1).parts
    assert "vision" not in only_text and "text" not in only_vision
    assert both["text"] == pytest.approx(only_text["text"], rel=1e-5)
    assert both["vision"] == pytest.approx(only_vision["vision"], rel=1e-5)
    shares = float(text.weights.sum()), float(vision.weights.sum())
    mean = (both["text"] * shares[0] + both["vision"] * shares[1]) / sum(shares)
    assert both["loss"] == pytest.approx(mean + both["balance"], rel=1e-5)


def test_a_frozen_language_model_is_not_observed() -> None:
    networks = system()
    networks.train_only(("mm_projector",))
    learned = learn(networks.main, batch(1), 2)
    assert learned.expert_counts_LE is None and learned.max_logit_LH is None and learned.parts["balance"] == 0.0
    assert {name.split(".")[0] for name in gradients(networks.main)} == {"mm_projector"}


def test_a_micro_batch_that_teaches_nothing_is_passed_over() -> None:
    networks, rng = system(), np.random.default_rng(0)
    networks.train_only(("mm_projector",))
    row, text = pack([sample(rng, 8, pictures=1)], 40, pad_id=0), pack([sample(rng, 8)], 40, pad_id=0)
    learned = learn(networks.main, stack([row, text]), 1)
    found = gradients(networks.main)
    assert learned.parts == pytest.approx(learn(networks.main, stack([row, text]), 2).parts, rel=1e-5)
    for name, gradient in gradients(networks.main).items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def captions(count: int) -> Batch:
    source = RandomSource("pictures", "vision")
    return stack([pack([source.sample(i, 0)], 20, pad_id=TOKENIZER.pad) for i in range(count)])


def test_pairs_learn_siglip_and_caption_loss() -> None:
    networks, whole = system(coca=True), captions(5)
    coca = networks.text_decoder
    learned = learn_pairs(networks.main, coca, whole, TOKENIZER, siglip_weight=2.0, caption_weight=0.5, device=CPU)
    pairs = pairs_of([RandomSource("pictures", "vision").sample(i, 0) for i in range(5)], TOKENIZER)
    assert pairs is not None
    media = MediaBatch(
        torch.from_numpy(np.concatenate([m.patches for m in pairs.media])), tuple(m.grid for m in pairs.media)
    )
    with torch.no_grad():
        out = coca(
            torch.from_numpy(pairs.ids_NL), lengths_B=torch.from_numpy(pairs.lengths_N),
            merged_M4D=networks.main.vision_tower(media), image_tokens=(4,) * 5,
        )  # fmt: skip
        scores = coca.logit_scale.exp() * out.image_BE @ out.text_BE.T + coca.logit_bias
        siglip = F.binary_cross_entropy_with_logits(scores, torch.eye(5), reduction="sum") / 5
        logits = out.hidden_BTD @ coca.head_weight.T
        targets = torch.from_numpy(pairs.ids_NL).long()
        targets[torch.arange(targets.shape[1]) >= torch.from_numpy(pairs.lengths_N)[:, None]] = -1
        caption = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-1)
    assert learned.parts["siglip"] == pytest.approx(float(siglip), rel=1e-4)
    assert learned.parts["caption"] == pytest.approx(float(caption), rel=1e-4)
    assert learned.parts["loss"] == pytest.approx(2.0 * float(siglip) + 0.5 * float(caption), rel=1e-4)
    assert learned.parts["pairs"] == 5
    tower = networks.main.vision_tower
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in tower.parameters())


def test_a_batch_without_pairs_sets_no_gradient() -> None:
    networks = system(coca=True)
    text = stack([pack([sample(np.random.default_rng(0), 8)], 20, pad_id=0)])
    learned = learn_pairs(
        networks.main, networks.text_decoder, text, TOKENIZER, siglip_weight=1.0, caption_weight=1.0, device=CPU
    )
    assert math.isnan(learned.parts["loss"]) and learned.parts["pairs"] == 0
    assert all(p.grad is None for _, p in networks.named_parameters())
