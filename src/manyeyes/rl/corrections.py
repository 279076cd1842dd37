"""Corrections for tokens that were sampled by other arithmetic, or other weights, than those that learn.

    token mask             w = rho where low <= l <= high, else 0                     Eq. 1; IcePop
    truncated importance   w = min(rho, cap)                                          Yao et al., 2025

    l = log pi_theta - log pi_old,  rho = exp(l);  an objective maximises sum of w_t A_t

Both obey one law: dw/d(log pi_theta) = w where the mask is True and 0 elsewhere. So `weight * advantage` is all that
an objective needs, whichever it takes: a token that counts is pushed by w A times the gradient of its log-probability.
For truncation this is the stop-gradient weight on A log pi that the paper has: beyond the cap a token still learns.

pi_old is what the engine said when it sampled. Log-probabilities that the trainer computed anew in its place would hide
the very mismatch that is corrected here.

Report: §4.4.2, Eq. 1. Shapes: T tokens (any shape).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.core.errors import ConfigError
from manyeyes.rl.band import EQ_1, Band

STEEPEST = 20.0
"""A log-ratio counts as no larger than this where it is exponentiated: exp(20) = 5e8, far beyond any use."""
CAP = 2.0
"""The usual cap of truncated importance sampling on tokens (published uses: 1.2 to 5)."""


class Correction(NamedTuple):
    """What multiplies each token's advantage.

    Attributes:
        weight_T: with gradient, see the module; 0 (or a constant, `Band.outside`) where the mask is False.
        mask_T: which tokens learn; its share is a figure to watch (`rl.mismatch`), N does not shrink by it.
    """

    weight_T: Tensor
    mask_T: Tensor


def token_mask(log_ratio_T: Tensor, band: Band = EQ_1) -> Correction:
    """Eq. 1: the ratio inside the band; outside no gradient, whatever the sign of the advantage."""
    mask_T = (log_ratio_T >= band.low) & (log_ratio_T <= band.high)  # False for NaN
    constant_T = _bounded(log_ratio_T.detach()).clamp(band.low, band.high)
    # Chosen before exp, not after: the gradient of a branch that is not taken would be 0 * inf.
    weight_T = torch.where(mask_T, log_ratio_T, constant_T).exp()
    if band.outside == "zero":
        weight_T = torch.where(mask_T, weight_T, torch.zeros_like(weight_T))
    return Correction(weight_T, mask_T)


def truncated_importance(log_ratio_T: Tensor, *, cap: float = CAP) -> Correction:
    """The ratio, at most `cap`; every token learns but those whose ratio is no number.

    Raises:
        ConfigError: a cap of 0 or less.
    """
    if not cap > 0.0:
        raise ConfigError(f"the cap of an importance weight must be above 0, got {cap}")
    fixed_T = log_ratio_T.detach()
    mask_T = fixed_T.isfinite()
    value_T = torch.where(mask_T, _bounded(fixed_T).exp().clamp_max(cap), torch.zeros_like(fixed_T))
    slope_T = torch.where(mask_T, log_ratio_T, fixed_T.new_zeros(())) - torch.where(mask_T, fixed_T, 0.0)
    return Correction(value_T * (1.0 + slope_T), mask_T)


def _bounded(log_ratio_T: Tensor) -> Tensor:
    return log_ratio_T.nan_to_num(nan=0.0, posinf=STEEPEST, neginf=-STEEPEST).clamp(-STEEPEST, STEEPEST)
