"""QK-Clip: shrinks the queries and keys of exactly those heads whose largest attention logit passed tau.

    γ_h = min(1, τ / S_h):   W_q nope, W_k nope rows · √γ_h,   W_q rope rows · γ_h,   shared k rope and V untouched

S_h is the largest logit, softmax scale included, that head h gave in the step's forward passes; `model.logit_bound`
tells how it is known without computing it where it is small.

Report: §4.1; Kimi K2 report, algorithm 1 (MLA). A head with S_h ≤ 0 or not finite is left alone.
Shapes: L layers, H heads; weights of a head are consecutive rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.core.errors import ConfigError


class ClipTarget(NamedTuple):
    """The two weights of one MLA layer that QK-Clip scales, and how their rows fall into heads.

    q_weight: [H (nope + rope), ...], `q_b_proj` (or `q_proj` without query compression).
    kv_weight: [H (nope + v_dim), ...], `kv_b_proj`.
    """

    q_weight: Tensor
    kv_weight: Tensor
    n_heads: int
    nope: int
    rope: int
    v_dim: int


def shrink(max_logit_LH: Tensor, tau: float) -> Tensor:
    """γ: tau / S where S > tau (and finite), else exactly 1."""
    over = (max_logit_LH > tau) & max_logit_LH.isfinite()
    return torch.where(over, tau / max_logit_LH, torch.ones_like(max_logit_LH))


@torch.no_grad()
def clip_(targets: Sequence[ClipTarget], max_logit_LH: Tensor, tau: float) -> int:
    """Clips in place, row l of `max_logit_LH` for target l; returns the number of clipped heads.

    Heads that are not clipped keep every bit. Momentum is not touched.

    Raises:
        ConfigError: tau is not above 0, or the maxima fit neither the layers nor the heads.
    """
    _check(targets, max_logit_LH, tau)
    gamma_LH = shrink(max_logit_LH, tau)
    clipped_LH = gamma_LH < 1
    for layer in clipped_LH.any(dim=1).nonzero().flatten().tolist():
        _clip_layer_(targets[layer], gamma_LH[layer])
    return int(clipped_LH.sum())


def _clip_layer_(target: ClipTarget, gamma_H: Tensor) -> None:
    for weight, widths, powers in (
        (target.q_weight, (target.nope, target.rope), (0.5, 1.0)),
        (target.kv_weight, (target.nope, target.v_dim), (0.5, 0.0)),
    ):
        gamma = gamma_H.to(weight.device, torch.promote_types(weight.dtype, torch.float32))
        rows_HR = torch.cat([(gamma**p)[:, None].expand(-1, n) for n, p in zip(widths, powers, strict=True)], dim=1)
        weight.mul_(rows_HR.reshape(-1, 1))


def _check(targets: Sequence[ClipTarget], max_logit_LH: Tensor, tau: float) -> None:
    if not tau > 0:
        raise ConfigError(f"QK-Clip needs a threshold above 0, got {tau}")
    heads = {target.n_heads for target in targets}
    if max_logit_LH.ndim != 2 or len(max_logit_LH) != len(targets) or heads - {max_logit_LH.shape[1]}:
        raise ConfigError(
            f"QK-Clip expected a largest logit for each of {len(targets)} layers and {sorted(heads)} heads, "
            f"got shape {list(max_logit_LH.shape)}"
        )
