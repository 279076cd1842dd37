"""A sample that continues another one of its row is computed as if it stood behind it."""

import math

import numpy as np
import pytest
import torch

from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build
from manyeyes.model.packed_attention import flex_packed, packed_attention, plan_of
from manyeyes.model.rope import Rope, inverse_frequencies
from manyeyes.model.spans import spans_of

BEGINNING, BRANCHES = 70, (9, 80, 1, 33)


def row_of(lengths: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Segments, what they continue, positions: a sample, a beginning, its branches, padding."""
    segments = np.concatenate([[0] * 5, [1] * BEGINNING, *([n + 2] * x for n, x in enumerate(lengths)), [-1] * 3])
    continues = np.where(segments >= 2, 1, -1)
    places = [np.arange(5), np.arange(BEGINNING), *(BEGINNING + np.arange(x) for x in lengths), np.zeros(3)]
    positions = np.concatenate(places)
    return tuple(torch.from_numpy(x.astype(np.int32))[None] for x in (segments, continues, positions))  # pyright: ignore


def test_states_and_gradients_are_those_of_whole_samples() -> None:
    model, generator = build(tiny(), seed=1), torch.Generator().manual_seed(0)
    segments_BT, continues_BT, positions_BT = row_of(BRANCHES)
    ids_BT = torch.randint(0, 1700, segments_BT.shape, generator=generator, dtype=torch.int32)
    backbone = model.language_model.model
    shared = backbone(
        model.embed(ids_BT), positions_BT=positions_BT, segments_BT=segments_BT, continues_BT=continues_BT,
        collect=True, clip_threshold=1e-3,
    )  # fmt: skip
    weight = torch.randn(shared.hidden_BTD.shape, generator=generator)
    (shared.hidden_BTD * weight)[segments_BT >= 2].sum().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    total, largest = torch.zeros(()), []
    begin_T = segments_BT[0] == 1
    for number in range(2, 2 + len(BRANCHES)):
        own_T = segments_BT[0] == number
        whole_BT = torch.cat([ids_BT[:, begin_T], ids_BT[:, own_T]], 1)
        out = model(whole_BT, collect=True, clip_threshold=1e-3)
        torch.testing.assert_close(out.hidden_BTD[:, BEGINNING:], shared.hidden_BTD[:, own_T], atol=2e-5, rtol=1e-4)
        total = total + (out.hidden_BTD[:, BEGINNING:] * weight[:, own_T]).sum()
        largest.append(out.max_logit_LH)
    total.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-4, rtol=1e-3, msg=name)
    alone = model(ids_BT[:, :5], collect=True, clip_threshold=1e-3).max_logit_LH
    assert shared.max_logit_LH is not None and alone is not None
    expected = torch.stack([*largest, alone]).amax(0)
    torch.testing.assert_close(shared.max_logit_LH, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("threshold", [None, 1e-3, math.inf])
def test_flex_attention_sees_the_same(threshold: float | None) -> None:
    segments_BT, continues_BT, positions_BT = row_of((4, 11))
    rows, length = segments_BT.shape
    plan = plan_of(spans_of(segments_BT, rows=rows, length=length, continues_BT=continues_BT), rows=rows, length=length)
    generator = torch.Generator().manual_seed(0)
    q, kv, k_rope = (
        torch.randn(*shape, generator=generator) for shape in ((1, length, 2, 24), (1, length, 2, 24), (1, length, 8))
    )
    given = dict(
        turns_BTR=Rope(inverse_frequencies(8, 10000.0), 1.0, 1.0).turns(positions_BT),
        plan=plan,
        scale=0.3,
        clip_threshold=threshold,
    )
    ours, theirs = packed_attention(q, kv, k_rope, **given), flex_packed(q, kv, k_rope, **given)  # pyright: ignore
    inside_T = segments_BT[0] >= 0
    torch.testing.assert_close(ours.y_BTHV[:, inside_T], theirs.y_BTHV[:, inside_T], atol=1e-5, rtol=1e-4)
    if threshold == 1e-3:
        torch.testing.assert_close(ours.max_logit_H, theirs.max_logit_H, atol=1e-5, rtol=1e-5)


def test_experts_and_balance_are_those_of_whole_samples() -> None:
    """What several begin with counts with each of them, though it is computed once."""
    model, generator = build(tiny(), seed=1), torch.Generator().manual_seed(0)
    segments_BT, continues_BT, positions_BT = row_of(BRANCHES)
    ids_BT = torch.randint(0, 1700, segments_BT.shape, generator=generator, dtype=torch.int32)
    places = [torch.arange(5)]
    begin, end = 5, 5 + BEGINNING
    for length in BRANCHES:
        places.append(torch.cat([torch.arange(begin, begin + BEGINNING), torch.arange(end, end + length)]))
        end += length
    whole_BT = ids_BT[:, torch.cat(places)]
    segment_BT = torch.cat([torch.full((len(place),), n) for n, place in enumerate(places)])[None].int()
    shared = model.language_model.model(
        model.embed(ids_BT), positions_BT=positions_BT, segments_BT=segments_BT, continues_BT=continues_BT, collect=True
    )
    whole = model(whole_BT, segments_BT=segment_BT, collect=True)
    assert shared.expert_counts_LE is not None and whole.expert_counts_LE is not None
    assert shared.expert_counts_LE.equal(whole.expert_counts_LE)
    assert whole.aux_loss > 0
    torch.testing.assert_close(shared.aux_loss, whole.aux_loss, atol=0, rtol=1e-5)


def test_a_segment_that_continues_nothing_of_its_row_is_refused() -> None:
    with pytest.raises(ValueError, match="segment 1 of row 0 continues segment 7"):
        spans_of(torch.tensor([[0, 0, 1]]), rows=1, length=3, continues_BT=torch.tensor([[-1, -1, 7]]))


def test_half_precision_on_a_cpu_says_that_it_cannot() -> None:
    segments_BT, continues_BT, positions_BT = row_of((4, 11))
    model = build(tiny(), seed=1, compute_dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="half precision"):
        model.language_model.model(
            model.embed(torch.zeros_like(segments_BT)), positions_BT=positions_BT, segments_BT=segments_BT,
            continues_BT=continues_BT,
        )  # fmt: skip
