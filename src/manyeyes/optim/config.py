"""What MuonClip is told: hyper-parameters, and which parameter is stepped by which rule. Imports no torch.

A parameter goes to Muon when it is a matrix (or a named stack of matrices) and matches none of the `adamw` patterns;
everything else goes to AdamW. Patterns are regular expressions, searched in the parameter's full name.

Report: §4.1 (MuonClip); Kimi K2 report (weight decay 0.1, QK-Clip threshold 100); Moonlight report (AdamW part).
"""

import re
from dataclasses import dataclass
from typing import Literal

from manyeyes.core.errors import ConfigError

NewtonSchulzDtype = Literal["auto", "bfloat16", "float32"]


@dataclass(frozen=True, slots=True)
class MuonClipConfig:
    r"""Settings of `MuonClip`; the learning rate comes from a `Schedule`.

    Attributes:
        weight_decay: decoupled, for both rules; RMSNorm weights decay too, as in Moonlight.
        momentum: Muon's mu.
        nesterov: whether Muon looks one step ahead.
        ns_steps: Newton-Schulz iterations.
        ns_dtype: their number format; "auto" is bf16 where the hardware multiplies bf16 fast, else fp32 (in a run: the
            run's own format).
        betas, eps: AdamW's.
        clip_threshold: QK-Clip's tau, for logits as softmax sees them.
        adamw: matrices that are stepped by AdamW all the same.
        stacked: 3-D parameters that are stacks of matrices (routed experts).
        splits: matrices that hold several logical ones below each other, and how many.
        learning_rates: (pattern, factor on the learning rate); the first match counts.
        undecayed: parameters without weight decay.

    Example:
        >>> config = MuonClipConfig(learning_rates=((r"^vision_tower\.", 0.5),))
        >>> config.learning_rate_scale("vision_tower.encoder.blocks.0.wo.weight"), config.split("blocks.0.wqkv.weight")
        (0.5, 3)
    """

    weight_decay: float = 0.1
    momentum: float = 0.95
    nesterov: bool = True
    ns_steps: int = 5
    ns_dtype: NewtonSchulzDtype = "auto"
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    clip_threshold: float = 100.0
    adamw: tuple[str, ...] = (r"(^|\.)embed_tokens\.", r"(^|\.)lm_head\.", r"(^|\.)pos_emb\.", r"(^|\.)patch_embed\.")
    stacked: tuple[str, ...] = (r"(^|\.)experts\.(gate|up|down)_proj$",)
    splits: tuple[tuple[str, int], ...] = ((r"(^|\.)wqkv\.weight$", 3), (r"(^|\.)wkv\.weight$", 2))
    learning_rates: tuple[tuple[str, float], ...] = ()
    undecayed: tuple[str, ...] = (r"(^|\.)logit_(scale|bias)$",)

    def __post_init__(self) -> None:
        _check(self.weight_decay >= 0, f"weight_decay must be 0 or more, got {self.weight_decay}")
        _check(0 <= self.momentum < 1, f"momentum must be at least 0 and below 1, got {self.momentum}")
        _check(all(0 <= beta < 1 for beta in self.betas), f"betas must be at least 0 and below 1, got {self.betas}")
        _check(self.ns_steps >= 1, f"ns_steps must be at least 1, got {self.ns_steps}")
        _check(self.eps > 0, f"eps must be above 0, got {self.eps}")
        _check(self.clip_threshold > 0, f"clip_threshold must be above 0, got {self.clip_threshold}")
        named = [pattern for pattern, _ in (*self.splits, *self.learning_rates)]
        for pattern in (*self.adamw, *self.stacked, *self.undecayed, *named):
            _check_pattern(pattern)

    def uses_muon(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether a parameter of this name and shape is stepped by Muon."""
        if _any_match(self.adamw, name) or len(shape) < 2 or min(shape) < 2:
            return False
        return len(shape) == 2 or (len(shape) == 3 and _any_match(self.stacked, name))

    def split(self, name: str) -> int:
        """How many logical matrices lie below each other in this parameter."""
        return next((parts for pattern, parts in self.splits if re.search(pattern, name)), 1)

    def learning_rate_scale(self, name: str) -> float:
        """The factor on the learning rate of this parameter."""
        return next((factor for pattern, factor in self.learning_rates if re.search(pattern, name)), 1.0)

    def decay(self, name: str) -> float:
        """The weight decay of this parameter."""
        return 0.0 if _any_match(self.undecayed, name) else self.weight_decay


def _any_match(patterns: tuple[str, ...], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(f"MuonClipConfig: {message}")


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"MuonClipConfig: {pattern!r} is no regular expression: {error}") from error
