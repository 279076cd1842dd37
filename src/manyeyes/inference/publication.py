"""New weights into a model in place: everything is checked first, so that all tensors change or none.

Report: App. D (weights that change under running rollouts).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from manyeyes.core.errors import ConfigError


@torch.no_grad()
def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], *, version: int, before: int) -> None:
    """Copies tensors into parameters and buffers of the same names.

    Raises:
        ConfigError: see `Engine.publish`.
    """
    if version <= before:
        raise ConfigError(f"version {version} does not follow version {before}; versions only go up")
    if not tensors:
        raise ConfigError(f"version {version} brings no tensors")
    own = model.state_dict()
    unknown = sorted(tensors.keys() - own.keys())
    if unknown:
        raise ConfigError(f"version {version}: the model has no tensor {unknown[0]} ({len(unknown)} unknown in all)")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise ConfigError(f"{name}: expected shape {list(own[name].shape)}, got {list(tensor.shape)}")
        if not bool(tensor.float().sum().isfinite()):
            raise ConfigError(f"{name}: version {version} has values that are no finite numbers")
    for name, tensor in tensors.items():
        own[name].copy_(tensor)
