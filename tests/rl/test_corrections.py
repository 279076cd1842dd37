"""Weights and masks of corrections, and the one law of their gradients: dw/d(log pi) = w where the mask is True."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from manyeyes.core.errors import ConfigError
from manyeyes.rl.band import Band
from manyeyes.rl.corrections import Correction, token_mask, truncated_importance

ODD = [0.0, -0.0, 1e-4, -1e-4, 0.693, 0.694, -0.693, -0.694, 3.0, -3.0, 90.0, -90.0, math.inf, -math.inf, math.nan]
LOG_RATIOS = st.lists(st.floats(-30, 30, width=32) | st.sampled_from(ODD), min_size=1, max_size=20)


def correct(name: str, log_ratio_T: Tensor) -> Correction:
    if name == "truncated":
        return truncated_importance(log_ratio_T, cap=2.0)
    return token_mask(log_ratio_T, Band(outside="clip" if name == "clip" else "zero"))


def gradient(name: str, values: list[float]) -> tuple[Correction, Tensor]:
    log_ratio_T = torch.tensor(values, requires_grad=True)
    found = correct(name, log_ratio_T)
    found.weight_T.sum().backward()
    assert log_ratio_T.grad is not None
    return found, log_ratio_T.grad


@pytest.mark.parametrize("name", ["mask", "clip", "truncated"])
@given(values=LOG_RATIOS)
def test_a_token_that_counts_is_pushed_by_its_weight_and_any_other_by_nothing(name: str, values: list[float]) -> None:
    found, slope_T = gradient(name, values)
    expected_T = torch.where(found.mask_T, found.weight_T.detach(), 0.0)
    torch.testing.assert_close(slope_T, expected_T, atol=0, rtol=1e-6)
    assert bool(found.weight_T.isfinite().all()) and bool(slope_T.isfinite().all())


@given(values=LOG_RATIOS)
def test_the_mask_is_the_band_and_the_weight_inside_the_ratio(values: list[float]) -> None:
    found, _ = gradient("mask", values)
    clipped, _ = gradient("clip", values)
    band = Band()
    for value, weight, inside, constant in zip(
        values, found.weight_T.tolist(), found.mask_T.tolist(), clipped.weight_T.tolist(), strict=True
    ):
        single = float(torch.tensor(value))
        assert inside == (band.low <= single <= band.high)
        assert weight == pytest.approx(math.exp(single) if inside else 0.0, rel=1e-5)
        if not inside and not math.isnan(single):
            assert constant == pytest.approx(2.0 if single > 0 else 0.5, rel=1e-5)


@given(values=LOG_RATIOS)
def test_truncation_caps_and_masks_only_what_is_no_number(values: list[float]) -> None:
    found, _ = gradient("truncated", values)
    for value, weight, counts in zip(values, found.weight_T.tolist(), found.mask_T.tolist(), strict=True):
        assert counts == math.isfinite(value)
        if counts:
            assert weight == pytest.approx(min(math.exp(max(value, -20.0)), 2.0), rel=1e-5)


@pytest.mark.parametrize("name", ["mask", "truncated"])
def test_the_gradient_of_an_objective_is_the_closed_form(name: str) -> None:
    """Sum of w A over softmax scores: d/d(log pi) is M rho A (Eq. 1), or min(rho, cap) A (truncation)."""
    torch.manual_seed(0)
    scores_TV, target_T = torch.randn(30, 7, dtype=torch.float64, requires_grad=True), torch.randint(7, (30,))
    old_T, advantage_T = torch.randn(30).double() - 2.0, torch.randn(30).double()
    log_p_TV = scores_TV.log_softmax(-1)
    log_p_T = log_p_TV.gather(1, target_T[:, None])[:, 0]
    found = correct(name, log_p_T - old_T)
    (mine,) = torch.autograd.grad((found.weight_T * advantage_T).sum(), scores_TV, retain_graph=True)
    ratio_T = (log_p_T - old_T).exp().detach()
    weight_T = ratio_T.clamp_max(2.0) if name == "truncated" else ratio_T * ((ratio_T >= 0.5) & (ratio_T <= 2.0))
    (theirs,) = torch.autograd.grad((weight_T * advantage_T * log_p_T).sum(), scores_TV)
    assert 0 < int(found.mask_T.sum()) and (name == "truncated" or int(found.mask_T.sum()) < 30)
    torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-6)


def test_a_cap_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="cap"):
        truncated_importance(torch.zeros(1), cap=0.0)
