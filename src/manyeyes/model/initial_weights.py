"""Where training starts: every tensor drawn from its own named stream, so a tensor's values depend on its name only.

Report: none (K2 does not say); `initializer_range` 0.02 is the released config's.
"""

import torch
from torch import nn

from manyeyes.core.seeds import torch_seed


@torch.no_grad()
def initialise(module: nn.Module, *, std: float, seed: int, prefix: str = "") -> None:
    """Normal(0, std) for matrices and stacks, 1 for norm weights, 0 for biases and buffers; scalars are left alone.

    Args:
        prefix: distinguishes modules whose tensors share names.
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim == 0:
            continue
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.ndim == 1:
            parameter.fill_(1.0)
        else:
            generator = torch.Generator().manual_seed(torch_seed(seed, f"init/{prefix}{name}"))
            parameter.copy_(torch.empty(parameter.shape, dtype=torch.float32).normal_(0.0, std, generator=generator))
    for buffer in module.buffers():
        buffer.zero_()
