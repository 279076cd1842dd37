"""PPO's pessimistic clip, with two bounds: what GRPO, GSPO and IcePop maximise for a token or a sequence.

    min( rho A, clip(rho, 1 - low, 1 + high) A )

Its gradient is rho A, and 0 where the ratio has gone too far in the direction of the advantage; too far against it, it
is pulled back. Two bounds are DAPO's ("clip-higher": rare tokens may grow).

Source: Schulman et al., 2017 (arXiv 1707.06347); Yu et al., 2025 (DAPO, arXiv 2503.14476).
"""

import torch
from torch import Tensor

from manyeyes.core.errors import ConfigError


def pessimistic(ratio: Tensor, advantage: Tensor, *, low: float, high: float) -> Tensor:
    """Elementwise."""
    return torch.minimum(ratio * advantage, ratio.clamp(1.0 - low, 1.0 + high) * advantage)


def clipped(ratio: Tensor, advantage: Tensor, *, low: float, high: float) -> Tensor:
    """Where the gradient is 0 because of the clip; bool."""
    up, down = (ratio > 1.0 + high) & (advantage > 0), (ratio < 1.0 - low) & (advantage < 0)
    return up | down


def require_bounds(low: float, high: float) -> None:
    """Raises ConfigError where bounds leave no room around a ratio of 1."""
    if not (0.0 < low <= 1.0 and 0.0 < high < float("inf")):
        raise ConfigError(f"clip bounds need 0 < low <= 1 and 0 < high, finite; got {low} and {high}")
