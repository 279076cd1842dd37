"""Laws of the backbone: packing, padding, caching, logit bounds, context stages, determinism."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from manyeyes.model import packed_attention
from manyeyes.model.attention import MlaCache
from manyeyes.model.backbone import BackboneOutput
from manyeyes.model.config import ModelConfig, YarnConfig, tiny
from manyeyes.model.logit_bound import bounded_max_logit, max_logit, safe_below
from manyeyes.model.multimodal import K25, build, default_positions
from manyeyes.model.packed_attention import Plan, flex_packed, plan_of
from manyeyes.model.packed_attention import packed_attention as attend
from manyeyes.model.rope import Rope
from manyeyes.model.spans import Span, owners, spans_of, tiles_of

from .nearness import FORMATS, assert_near, ratio, typical


def model_of(config: ModelConfig | None = None, *, compute_dtype: torch.dtype = torch.float32) -> K25:
    """`tiny` with weights large enough that mistakes show."""
    model = build(config or tiny(), seed=3, compute_dtype=compute_dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1.0 if parameter.ndim == 1 else 4.0)
            if "layernorm" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def ids_of(*lengths: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 1700, (length,), generator=generator) for length in lengths]


def packed(samples: list[Tensor], length: int) -> tuple[Tensor, Tensor]:
    ids, segments = torch.zeros(1, length, dtype=torch.long), torch.full((1, length), -1, dtype=torch.int32)
    at = 0
    for number, sample in enumerate(samples):
        ids[0, at : at + len(sample)] = sample
        segments[0, at : at + len(sample)] = number
        at += len(sample)
    return ids, segments


LENGTHS = [(5,), (70, 1, 64, 3), (130, 90), (1, 1, 2)]


@pytest.mark.parametrize("lengths", LENGTHS)
@torch.no_grad()
def test_packed_equals_separate(lengths: tuple[int, ...]) -> None:
    model, samples = model_of(), ids_of(*lengths)
    ids, segments = packed(samples, sum(lengths) + 7)
    together = model.logits(model(ids, segments_BT=segments).hidden_BTD)[0]
    apart = torch.cat([model.logits(model(sample[None]).hidden_BTD)[0] for sample in samples])
    torch.testing.assert_close(together[: sum(lengths)], apart, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("lengths", LENGTHS)
@torch.no_grad()
def test_packed_equals_separate_in_half_precision(lengths: tuple[int, ...]) -> None:
    model, exact, samples = model_of(compute_dtype=torch.bfloat16), model_of(), ids_of(*lengths)
    ids, segments = packed(samples, sum(lengths) + 7)
    together = model(ids, segments_BT=segments).hidden_BTD[0, : sum(lengths)]
    apart = torch.cat([model(sample[None]).hidden_BTD[0] for sample in samples])
    expected = exact(ids, segments_BT=segments).hidden_BTD[0, : sum(lengths)]
    assert typical(together, apart) <= 0.02 and ratio(together, apart) <= 0.2
    assert typical(together, expected) <= 0.05 and ratio(together, expected) <= 0.2


@pytest.mark.parametrize("longest_tiled", [0, 100])
@torch.no_grad()
def test_flash_and_tiles_agree(longest_tiled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = model_of(), ids_of(130, 90, 20)
    ids, segments = packed(samples, 250)
    tiled = model(ids, segments_BT=segments, collect=True)
    monkeypatch.setattr(packed_attention, "LONGEST_TILED", longest_tiled)
    flashed = model(ids, segments_BT=segments, collect=True)
    torch.testing.assert_close(tiled.hidden_BTD[:, :240], flashed.hidden_BTD[:, :240], atol=2e-5, rtol=1e-4)
    assert tiled.max_logit_LH is not None and flashed.max_logit_LH is not None
    assert bool((flashed.max_logit_LH >= tiled.max_logit_LH - 1e-4).all())


def attention_inputs(
    lengths: tuple[int, ...], *, rows: int = 1, pad: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Plan]:
    generator = torch.Generator().manual_seed(sum(lengths))
    config, total = tiny().text, sum(lengths) + pad
    heads, nope, rope, value = 4, config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim
    q = torch.randn(rows, total, heads, nope + rope, generator=generator)
    kv = torch.randn(rows, total, heads, nope + value, generator=generator)
    k_rope = torch.randn(rows, total, rope, generator=generator)
    ids = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)] + [torch.full((pad,), -1)])
    segments = ids.expand(rows, -1)
    turns = Rope.of(config).turns(default_positions(segments, segments))
    plan = plan_of(spans_of(segments, rows=rows, length=total), rows=rows, length=total, dtype=dtype)
    return (q.to(dtype), kv.to(dtype), k_rope.to(dtype)), turns, plan


def naive_attention(inputs: list[Tensor], turns: Tensor, plan: Plan, scale: float) -> Tensor:
    """Textbook arithmetic on explicit matrices, rotation by 2x2 matrices."""
    q, kv, k_rope = inputs
    nope = q.shape[-1] - k_rope.shape[-1]

    def turned(x):
        even, odd = x[..., 0::2], x[..., 1::2]
        cos, sin = (t.unsqueeze(2) if x.ndim == 4 else t for t in (turns.real, turns.imag))
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)

    q = torch.cat([q[..., :nope], turned(q[..., nope:])], -1)
    k = torch.cat([kv[..., :nope], turned(k_rope)[:, :, None].expand(*kv.shape[:3], -1)], -1)
    logits = torch.einsum("bthq,bshq->bhts", q, k) * scale
    owner = owners(plan.spans, rows=q.shape[0], length=q.shape[1])
    causal = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).tril()
    visible = causal & (owner[:, :, None] == owner[:, None]) & (owner[:, :, None] >= 0)
    p = logits.masked_fill(~visible[:, None], -torch.inf).softmax(-1).nan_to_num(0.0)
    return torch.einsum("bhts,bshv->bthv", p, kv[..., nope:])


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("longest_tiled", [0, 1024])
@pytest.mark.parametrize(("lengths", "rows", "pad"), [((70, 20, 60), 1, 9), ((150,), 3, 0), ((3, 64, 1), 2, 5)])
def test_attention_and_gradients_equal_explicit_matrices(
    lengths: tuple[int, ...],
    rows: int,
    pad: int,
    longest_tiled: int,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed_attention, "LONGEST_TILED", longest_tiled)
    inputs, turns, plan = attention_inputs(lengths, rows=rows, pad=pad, dtype=dtype)
    ours, naive = [x.clone().requires_grad_() for x in inputs], [x.float().requires_grad_() for x in inputs]
    y = attend(ours[0], ours[1], ours[2], turns_BTR=turns, plan=plan, scale=0.3).y_BTHV
    expected = naive_attention(naive, turns, plan, 0.3)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    y.backward(dy)
    expected.backward(dy.float())
    if dtype != torch.float32:
        assert_near(y, expected, 0.01)
    else:
        torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    for mine, other in zip(ours, naive, strict=True):
        assert mine.grad is not None and other.grad is not None
        if dtype != torch.float32:
            assert_near(mine.grad, other.grad, 0.02)
        else:
            torch.testing.assert_close(mine.grad, other.grad, atol=2e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_the_path_for_other_devices_agrees() -> None:
    inputs, turns, plan = attention_inputs((70, 20, 38), pad=0)
    here = attend(*inputs, turns_BTR=turns, plan=plan, scale=0.3, clip_threshold=1.0)
    there = flex_packed(*inputs, turns_BTR=turns, plan=plan, scale=0.3, clip_threshold=1.0)
    torch.testing.assert_close(here.y_BTHV, there.y_BTHV, atol=1e-5, rtol=1e-5)
    assert here.max_logit_H is not None and there.max_logit_H is not None
    torch.testing.assert_close(here.max_logit_H, there.max_logit_H)


def test_short_samples_share_a_tile() -> None:
    spans = spans_of(torch.tensor([[0] * 10 + [1] * 30 + [2] * 20]), rows=1, length=60)
    assert len(spans) == 3 and len(tiles_of(spans)) == 1


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    size=st.floats(0.5, 60.0),
    threshold=st.floats(1.0, 200.0),
    lengths=st.lists(st.integers(1, 80), min_size=1, max_size=4),
)
def test_the_gate_never_misses_a_head(seed: int, size: float, threshold: float, lengths: list[int]) -> None:
    """Where a head's largest logit exceeds the threshold, exactly that is reported; elsewhere nothing above it is."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    segments = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])[None]
    spans = spans_of(segments, rows=1, length=total)
    q, k = (torch.randn(1, 3, total, 8, generator=generator) * size**0.5 for _ in range(2))
    owner = owners(spans, rows=1, length=total)[0]
    visible = (owner[:, None] == owner[None]) & torch.ones(total, total, dtype=torch.bool).tril()
    logits = (q @ k.transpose(-1, -2)).masked_fill(~visible, -torch.inf)
    lse_H, exact_H = logits.logsumexp(-1).amax((0, 2)), logits.amax((0, 2, 3))
    torch.testing.assert_close(max_logit(q, k, spans=spans), exact_H)
    reported_H = bounded_max_logit(q, k, lse_H, spans=spans, clip_threshold=threshold)
    for reported, lse, exact in zip(reported_H.tolist(), lse_H.tolist(), exact_H.tolist(), strict=True):
        if exact > threshold:
            assert reported == pytest.approx(exact, rel=1e-5)
        elif lse < safe_below(threshold):
            assert reported == lse
        else:
            assert reported <= threshold + 1e-4 * abs(threshold)


@pytest.mark.parametrize("longest_tiled", [0, 1024])
@torch.no_grad()
def test_reported_logits_are_those_of_the_whole_batch(longest_tiled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_attention, "LONGEST_TILED", longest_tiled)
    inputs, turns, plan = attention_inputs((40, 90), rows=2, pad=6)
    q, kv, k_rope = inputs
    out = attend(q, kv, k_rope, turns_BTR=turns, plan=plan, scale=0.3, clip_threshold=-1e9).max_logit_H
    apart = [
        attend(
            *(x[:, start:stop] for x in inputs), turns_BTR=turns[:, start:stop], plan=alone, scale=0.3, clip_threshold=0
        )
        for start, stop in ((0, 40), (40, 130))
        for alone in [plan_of((Span(0, 2, 0, stop - start),), rows=2, length=stop - start)]
    ]
    maxima = [part.max_logit_H for part in apart if part.max_logit_H is not None]
    assert out is not None
    torch.testing.assert_close(out, torch.stack(maxima).amax(0))


@settings(max_examples=300)
@given(
    seed=st.integers(0, 10_000),
    length=st.integers(1, 64),
    tau=st.floats(1.0, 1e4),
    near=st.floats(-1.0, 1.0),
    offset=st.floats(-5.0, 5.0),
    spread=st.floats(0.0, 30.0),
)
def test_no_log_sum_exp_of_a_head_above_tau_looks_safe(
    seed: int, length: int, tau: float, near: float, offset: float, spread: float
) -> None:
    """Logits are drawn so that the largest lies around tau, down to one part in a million."""
    generator = torch.Generator().manual_seed(seed)
    logits_HTS = spread * torch.randn(4, length, length, generator=generator)
    logits_HTS += tau - logits_HTS.amax() + offset * near**6
    safe_H = logits_HTS.logsumexp(-1).amax(-1) < safe_below(tau)
    assert not safe_H[logits_HTS.amax((1, 2)) > tau].any()
    assert safe_below(tau) >= 0.99 * tau - 0.02


def test_a_log_sum_exp_that_is_not_a_number_proves_nothing() -> None:
    q, k = (torch.full((1, 3, 2, 4), x) for x in (1.0, 2.0))
    lse_H, spans = torch.tensor([math.nan, math.inf, -math.inf]), (Span(0, 1, 0, 2),)
    assert bounded_max_logit(q, k, lse_H, spans=spans, clip_threshold=100.0).tolist() == [8.0, 8.0, -math.inf]
    assert safe_below(math.inf) == math.inf and safe_below(-1e9) < -1e9


def largest_logits(inputs: tuple[Tensor, Tensor, Tensor], turns: Tensor, plan: Plan, scale: float) -> Tensor:
    """Of each head, from one explicit matrix over the whole rows."""
    q_BHTQ, k_BHTQ, _ = packed_attention._assembled(*inputs, turns, scale=scale)
    owner = owners(plan.spans, rows=q_BHTQ.shape[0], length=q_BHTQ.shape[2])
    visible = (owner[:, :, None] == owner[:, None]) & (owner[:, :, None] >= 0)
    visible &= torch.ones(owner.shape[1], owner.shape[1], dtype=torch.bool).tril()
    logits_BHTS = q_BHTQ.float() @ k_BHTQ.float().mT
    return logits_BHTS.masked_fill(~visible[:, None], -torch.inf).amax((0, 2, 3))


@settings(max_examples=150)
@given(
    lengths=st.lists(st.integers(1, 120), min_size=1, max_size=4),
    pad=st.integers(0, 3),
    size=st.floats(1.0, 12.0),
    dtype=st.sampled_from(FORMATS),
    longest_tiled=st.sampled_from([0, 40, 1024]),
    head=st.integers(0, 3),
    off=st.sampled_from([0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.05, -1e-6, -1e-4, -1e-3, -0.05]),
)
def test_attention_never_misses_a_head_above_the_threshold(
    lengths: list[int], pad: int, size: float, dtype: torch.dtype, longest_tiled: int, head: int, off: float
) -> None:
    """The threshold lies within 5% of a head's true maximum; tiles, flash and both together, packed and padded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_attention, "LONGEST_TILED", longest_tiled)
        inputs, turns, plan = attention_inputs(tuple(lengths), pad=pad, dtype=dtype)
        inputs = (inputs[0] * size, inputs[1], inputs[2])
        exact_H = largest_logits(inputs, turns, plan, 0.3)
        threshold = float(exact_H[head]) * (1 - off)
        found_H = attend(*inputs, turns_BTR=turns, plan=plan, scale=0.3, clip_threshold=threshold).max_logit_H
    assert found_H is not None
    for found, exact in zip(found_H.tolist(), exact_H.tolist(), strict=True):
        if exact > threshold:
            assert found == pytest.approx(exact, rel=1e-5)
        else:
            assert found <= threshold + 1e-5 * abs(threshold)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("loud", [slice(0, 20), slice(20, 90)])
def test_short_and_long_samples_count_together(
    loud: slice, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_attention, "LONGEST_TILED", 40)
    inputs, turns, plan = attention_inputs((20, 70), dtype=dtype)
    inputs[0][:, loud] *= 8
    out = attend(*inputs, turns_BTR=turns, plan=plan, scale=0.3, clip_threshold=1.0)
    assert out.max_logit_H is not None
    torch.testing.assert_close(out.max_logit_H, largest_logits(inputs, turns, plan, 0.3))


@pytest.mark.parametrize("threshold", [100.0, math.inf])
def test_below_the_threshold_both_formats_report_the_largest_logit(threshold: float) -> None:
    """Not the log-sum-exp, which is up to log(length) above it."""
    for dtype in FORMATS:
        inputs, turns, plan = attention_inputs((70, 20, 60), pad=4, dtype=dtype)
        out = attend(*inputs, turns_BTR=turns, plan=plan, scale=0.01, clip_threshold=threshold)
        assert out.max_logit_H is not None
        torch.testing.assert_close(out.max_logit_H, largest_logits(inputs, turns, plan, 0.01))


def test_long_samples_report_a_bound_below_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_attention, "LONGEST_TILED", 0)
    inputs, turns, plan = attention_inputs((70, 20))
    out = attend(*inputs, turns_BTR=turns, plan=plan, scale=0.01, clip_threshold=100.0)
    above_H = out.max_logit_H - largest_logits(inputs, turns, plan, 0.01) if out.max_logit_H is not None else None
    assert above_H is not None and bool((above_H > 0).all()) and bool((above_H <= math.log(70) + 1e-4).all())


@pytest.mark.parametrize("dtype", FORMATS)
def test_every_sample_goes_one_way(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_attention, "LONGEST_TILED", 50)
    spans = tuple(Span(0, 1, 100 * i, 100 * i + 1 + 30 * (i % 4)) for i in range(9))
    plan = plan_of(spans, rows=1, length=900, dtype=dtype)
    short = {span for span in spans if span.length <= 50}
    covered = {start for tile in plan.tiles for start in range(tile.start, tile.stop)}
    assert set(plan.flash) | (short if dtype == torch.float32 else set()) == set(spans)
    assert covered == {p for s in short for p in range(s.start, s.stop)} if dtype == torch.float32 else not covered
    assert set(plan.measured) == (set() if dtype == torch.float32 else short)
    assert plan.flash[: len(plan.measured)] == plan.measured


@pytest.mark.parametrize("dtype", FORMATS)
def test_nothing_but_padding_counts_for_nothing(dtype: torch.dtype) -> None:
    model, ids = model_of(compute_dtype=dtype), torch.zeros(2, 8, dtype=torch.long)
    out = model(ids, segments_BT=torch.full((2, 8), -1), collect=True, clip_threshold=100.0)
    assert float(out.aux_loss) == 0.0 and out.expert_counts_LE is not None and out.max_logit_LH is not None
    assert out.expert_counts_LE.shape == (3, 8) and not out.expert_counts_LE.any()
    assert bool((out.max_logit_LH == -math.inf).all())
    (out.hidden_BTD.float().sum() * 0 + out.aux_loss).backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_other_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="compute_dtype must be one of float32, bfloat16, float16, got torch.float64"):
        build(tiny(), dtype=torch.float64)


@torch.no_grad()
def test_a_full_cache_says_so() -> None:
    model, ids = model_of(), ids_of(9)[0][None]
    cache = MlaCache.empty(model.config.text, 1, capacity=8)
    model(ids[:, :6], cache=cache)
    before = cache.latents.clone()
    with pytest.raises(ValueError, match="at most 8 positions: 6 are filled and 3 more do not fit"):
        model(ids[:, 6:9], cache=cache)
    assert torch.equal(cache.latents, before) and cache.lengths_B.tolist() == [6]
    model(ids[:, 6:8], cache=cache)


def test_padding_rows_do_nothing() -> None:
    model, samples = model_of(), ids_of(20, 11)
    ids, segments = packed(samples, 40)
    junk = ids.clone()
    junk[segments < 0] = torch.arange(9) + 50
    a, b = (run_with_gradients(model, x, segments) for x in (ids, junk))
    kept = segments >= 0
    torch.testing.assert_close(a[0].hidden_BTD[kept], b[0].hidden_BTD[kept], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(a[0].max_logit_LH, b[0].max_logit_LH)
    assert a[0].expert_counts_LE is not None and b[0].expert_counts_LE is not None
    assert torch.equal(a[0].expert_counts_LE, b[0].expert_counts_LE)
    torch.testing.assert_close(a[0].aux_loss, b[0].aux_loss)
    for name, gradient in a[1].items():
        torch.testing.assert_close(gradient, b[1][name], atol=1e-5 * float(gradient.abs().max()), rtol=1e-4)


def test_padding_rows_do_nothing_in_half_precision() -> None:
    model, samples = model_of(compute_dtype=torch.bfloat16), ids_of(20, 11)
    ids, segments = packed(samples, 40)
    junk, kept = torch.where(segments < 0, torch.arange(40) + 50, ids), segments >= 0
    a, b = (run_with_gradients(model, x, segments) for x in (ids, junk))
    assert_near(a[0].hidden_BTD[kept], b[0].hidden_BTD[kept], 0.01)
    assert a[0].expert_counts_LE is not None and b[0].expert_counts_LE is not None
    assert a[0].expert_counts_LE.sum(1).tolist() == b[0].expert_counts_LE.sum(1).tolist() == [31 * 2] * 3
    for name, gradient in a[1].items():
        if gradient.norm() > 0:
            assert_near(b[1][name], gradient, 0.05, name)


def run_with_gradients(model: K25, ids: Tensor, segments: Tensor) -> tuple[BackboneOutput, dict[str, Tensor]]:
    model.zero_grad()
    out = model(ids, segments_BT=segments, collect=True)
    (out.hidden_BTD[segments >= 0].sigmoid().sum() + out.aux_loss).backward()
    text = model.language_model.model.named_parameters()
    return out, {name: p.grad.clone() for name, p in text if p.grad is not None}


def test_every_gradient_is_finite_and_repeats_bit_for_bit() -> None:
    model, samples = model_of(), ids_of(60, 30, 2)
    ids, segments = packed(samples, 100)
    first, second = (run_with_gradients(model, ids, segments)[1] for _ in range(2))
    assert len(first) == len(list(model.language_model.model.parameters()))
    assert all(bool(g.isfinite().all()) for g in first.values())
    assert all(torch.equal(g, second[name]) for name, g in first.items())


@torch.no_grad()
def test_balance_loss_and_counts_do_not_depend_on_packing() -> None:
    model, samples = model_of(), ids_of(40, 25, 3)
    ids, segments = packed(samples, 80)
    one_row = model(ids, segments_BT=segments, collect=True)
    rows = [packed([sample], 50) for sample in samples]
    many = model(torch.cat([r[0] for r in rows]), segments_BT=torch.cat([r[1] for r in rows]), collect=True)
    torch.testing.assert_close(one_row.aux_loss, many.aux_loss)
    assert one_row.expert_counts_LE is not None and many.expert_counts_LE is not None
    assert torch.equal(one_row.expert_counts_LE, many.expert_counts_LE)
    assert one_row.expert_counts_LE.sum(1).tolist() == [68 * 2] * 3


@pytest.mark.parametrize("query", ["compressed", "plain"])
@torch.no_grad()
def test_decoding_equals_prefill(query: str) -> None:
    """Ragged prompts, then single tokens, then several at once: the same logits as one pass over everything."""
    config = tiny()
    if query == "plain":
        config = replace(config, text=replace(config.text, q_lora_rank=None, rope_scaling=YarnConfig(4.0, 64)))
    model, samples = model_of(config), ids_of(30, 41)
    prompts = [20, 33]
    cache = MlaCache.empty(config.text, 2, capacity=50)
    ids = torch.zeros(2, 33, dtype=torch.long)
    segments = torch.full((2, 33), -1)
    for row, (sample, length) in enumerate(zip(samples, prompts, strict=True)):
        ids[row, :length] = sample[:length]
        segments[row, :length] = 0
    found = [[x[:n]] for x, n in zip(model(ids, segments_BT=segments, cache=cache).hidden_BTD, prompts, strict=True)]
    assert cache.lengths_B.tolist() == prompts
    for n_new in (1, 1, 1, 4, 1):
        at = cache.lengths_B.tolist()
        step = torch.stack([s[a : a + n_new] for s, a in zip(samples, at, strict=True)])
        for row, hidden in zip(found, model(step, cache=cache).hidden_BTD, strict=True):
            row.append(hidden)
    for sample, parts in zip(samples, found, strict=True):
        ours = model.logits(torch.cat(parts))
        whole = model.logits(model(sample[None, : len(ours)]).hidden_BTD)[0]
        assert float((ours - whole).abs().max()) <= 1e-4


@torch.no_grad()
def test_decoding_equals_prefill_in_half_precision() -> None:
    half, exact, ids = model_of(compute_dtype=torch.bfloat16), model_of(), ids_of(160)[0][None]
    cache = MlaCache.empty(half.config.text, 1, capacity=160, dtype=torch.bfloat16)
    half(ids[:, :100], cache=cache)
    decoded = torch.cat([half(ids[:, t : t + 1], cache=cache).hidden_BTD[0] for t in range(100, 160)])
    prefilled, expected = (model(ids).hidden_BTD[0, 100:] for model in (half, exact))
    assert typical(decoded, prefilled) <= 0.03 and ratio(decoded, prefilled) <= 0.3
    assert typical(decoded, expected) <= 0.03 and ratio(decoded, expected) <= 0.3


@torch.no_grad()
def test_a_selected_cache_goes_on_alone() -> None:
    model, samples = model_of(), ids_of(20, 20)
    cache = MlaCache.empty(model.config.text, 2, capacity=30)
    model(torch.stack(samples), cache=cache)
    twice = cache.select(torch.tensor([1, 1]))
    out = model(torch.tensor([[7], [8]]), cache=twice).hidden_BTD
    alone = model(torch.cat([samples[1], torch.tensor([8])])[None]).hidden_BTD[:, -1:]
    torch.testing.assert_close(out[1:], alone, atol=1e-5, rtol=1e-4)
    assert cache.lengths_B.tolist() == [20, 20]


@torch.no_grad()
def test_another_context_changes_rotation_only() -> None:
    model, ids = model_of(), ids_of(50)[0][None]
    before = model(ids).hidden_BTD
    longer = model.config.with_context(1024, factor=4.0)
    model.set_context(longer)
    fresh = build(longer, seed=3)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(model(ids).hidden_BTD, fresh(ids).hidden_BTD)
    assert not torch.allclose(before, model(ids).hidden_BTD, atol=1e-3)
    model.set_context(longer.with_context(256))
    assert torch.equal(model(ids).hidden_BTD, before)


def test_positions_restart_with_each_segment() -> None:
    segments = torch.tensor([[0, 0, 0, 1, 1, -1, -1], [4, 5, 5, 5, 6, 7, 7]])
    found = default_positions(segments, segments)
    assert found.tolist() == [[0, 1, 2, 0, 1, 0, 1], [0, 0, 1, 2, 0, 0, 1]]


def test_collecting_is_explicit() -> None:
    model, ids = model_of(), ids_of(10)[0][None]
    out = model(ids)
    assert out.expert_counts_LE is None and out.max_logit_LH is None and float(out.aux_loss) == 0
    seen = model(ids, collect=True, clip_threshold=math.inf)
    assert torch.equal(out.hidden_BTD, seen.hidden_BTD)


def test_build_depends_on_seed_and_name_only() -> None:
    a, b, c = build(tiny(), seed=1), build(tiny(), seed=1), build(tiny(), seed=2)
    for (name, x), y, z in zip(a.named_parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(x, y)
        assert x.ndim == 1 or not torch.equal(x, z), name


def test_half_precision_stays_near() -> None:
    config = tiny()
    exact, half = build(config, seed=1), build(config, seed=1, compute_dtype=torch.bfloat16)
    ids = ids_of(40)[0][None]
    a, b = exact(ids).hidden_BTD, half(ids).hidden_BTD
    assert b.dtype == torch.bfloat16
    assert float(((a - b.float()).norm() / a.norm()).detach()) < 0.05
    b.float().square().sum().backward()
    gradient = half.language_model.model.embed_tokens.weight.grad
    assert gradient is not None and gradient.dtype == torch.float32 and bool(gradient.isfinite().all())
