"""The engine's experts say what the model's say, for any number of tokens and however uneven the load is."""

import dataclasses

import pytest
import torch
from torch import Tensor

from manyeyes.inference import mixture as engine
from manyeyes.inference.kernels import compiled
from manyeyes.inference.weights import ExpertWeights, GroupedExperts, GroupedMatrix, Matrix
from manyeyes.model.config import TextConfig, tiny
from manyeyes.model.moe import MoE

CONFIG = dataclasses.replace(tiny().text, n_routed_experts=16, num_experts_per_tok=3)


def layer(config: TextConfig, *, favourite: float) -> MoE:
    """Random weights; expert 5 is chosen by all when `favourite` is large."""
    torch.manual_seed(0)
    module = MoE(config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * parameter.shape[-1] ** -0.5)
        module.gate.e_score_correction_bias[5] = favourite
    return module


def near(ours: Tensor, theirs: Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(ours.float(), theirs.float(), atol=atol, rtol=1e-4)


@pytest.mark.parametrize("favourite", [0.0, 5.0], ids=["even", "one expert overfull"])
@pytest.mark.parametrize("tokens", [1, 2, 3, 7, 40, 300])
@torch.no_grad()
def test_every_way_is_the_models(tokens: int, favourite: float, monkeypatch) -> None:
    module = layer(CONFIG, favourite=favourite)
    x_ND = torch.randn(tokens, CONFIG.hidden_size)
    expected = module(x_ND).y_ND
    weights = ExpertWeights.of(module, torch.float32)
    near(engine.mixture(weights, CONFIG, x_ND), expected)
    kernels = compiled()
    if not isinstance(kernels, str):
        near(engine.mixture(ExpertWeights.of(module, torch.float32, kernels), CONFIG, x_ND), expected)
    assert isinstance(weights.routed, GroupedExperts)
    weights.routed.gate_up.packed = None  # as where oneDNN is absent
    near(engine.mixture(weights, CONFIG, x_ND), expected)


@torch.no_grad()
def test_half_precision_is_near() -> None:
    module = layer(CONFIG, favourite=0.0)
    x_ND = torch.randn(40, CONFIG.hidden_size)
    half = engine.mixture(ExpertWeights.of(module, torch.bfloat16), CONFIG, x_ND.bfloat16())
    near(half, module(x_ND).y_ND, atol=0.1)


@pytest.mark.parametrize("rows", [1, 3, 8, 100])
@pytest.mark.parametrize("shape", [(40, 24), (300, 700)])
@torch.no_grad()
def test_packed_matrices_are_plain_products(rows: int, shape: tuple[int, int]) -> None:
    weight, x = torch.randn(shape), torch.randn(rows, shape[1])
    near(Matrix(weight)(x), x @ weight.T, atol=2e-4)
    grouped = torch.randn(5, *shape)
    x_NGI = torch.randn(rows, 5, shape[1])
    near(GroupedMatrix(grouped)(x_NGI), torch.einsum("ngi,goi->ngo", x_NGI, grouped), atol=2e-4)


@torch.no_grad()
def test_slices_of_wider_rows_multiply_alike() -> None:
    weight, wide = torch.randn(64, 48), torch.randn(9, 4, 80)
    stacked = torch.randn(4, 64, 48)
    near(Matrix(weight)(wide[:, 0, 16:64]), wide[:, 0, 16:64] @ weight.T)
    near(GroupedMatrix(stacked)(wide[..., :48]), torch.einsum("ngi,goi->ngo", wide[..., :48], stacked), atol=1e-4)
