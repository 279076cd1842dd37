"""The projector: four neighbouring patches become one token of the language model.

    token = proj.2(gelu(proj.0(concat of 4 layer-normed patch features)))

Report: §4.2 (MLP projector after temporal pooling).

Shapes: M tokens, D vision width, W text width.
"""

from torch import Tensor, nn

from manyeyes.model.config import ModelConfig
from manyeyes.model.precision import LayerNorm, Linear


class Projector(nn.Module):
    """Parameter names of the checkpoint: `pre_norm`, `proj.0`, `proj.2`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, merged = config.vision.mm_hidden_size, config.vision.mm_hidden_size * config.vision.patches_per_token
        self.pre_norm = LayerNorm(width, eps=config.vision.projector_ln_eps)
        self.proj = nn.Sequential(Linear(merged, merged), nn.GELU(), Linear(merged, config.text.hidden_size))

    def forward(self, merged_M4D: Tensor) -> Tensor:
        """[M, 4, D] → [M, W]."""
        return self.proj(self.pre_norm(merged_M4D).flatten(-2))
