"""How near two tensors must be in each compute format."""

import torch
from torch import Tensor

FORMATS = (torch.float32, torch.bfloat16)
"""What training computes in: fp32, or bf16 on hardware that multiplies it fast."""


def ratio(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    assert found.shape == expected.shape
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


def assert_near(found: Tensor, expected: Tensor, within: float, what: str = "") -> None:
    """Half precision rounds each number anew, so a whole tensor is judged by the norm of its error."""
    assert bool(found.isfinite().all()), what
    assert ratio(found, expected) <= within, f"{what}: off by {ratio(found, expected):.4f}, allowed are {within}"


def typical(found_ND: Tensor, expected_ND: Tensor) -> float:
    """Median over rows of their `ratio`: where two experts score alike, rounding sends single tokens elsewhere."""
    found_ND, expected_ND = found_ND.detach().double(), expected_ND.detach().double()
    return float(((found_ND - expected_ND).norm(dim=-1) / expected_ND.norm(dim=-1)).median())
