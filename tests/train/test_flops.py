"""Counted operations equal what torch counts, up to what the formula leaves out on purpose."""

import dataclasses

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from manyeyes.core.media import Grid
from manyeyes.model.config import k25
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.train.flops import measured_peak, text_flops_per_token, vision_flops_per_patch

from .small_system import CPU, config, system


def test_dense_text_operations_are_those_torch_counts() -> None:
    model = system(first_k_dense_replace=2, initializer_range=0.02).main
    length = 64
    with FlopCounterMode(display=False) as counter:
        model.logits(model(torch.zeros(1, length, dtype=torch.long)).hidden_BTD)
    counted = text_flops_per_token(model.config.text, context=length) * length / 3
    # The attention kernel may work on the masked half too: between half of the square and all of it.
    halved = text_flops_per_token(model.config.text, context=length // 2) * length / 3
    assert halved * 0.98 <= counter.get_total_flops() <= counted * 1.02


def test_vision_operations_are_those_torch_counts() -> None:
    model = system().main
    grid = Grid(1, 8, 8)
    # torch's counter knows products, not the fused attention kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.encode(MediaBatch(torch.zeros(grid.patches, 3, 8, 8), (grid,)))
    per_patch = vision_flops_per_patch(model.config.vision, text_hidden_size=32, segment=grid.patches)
    resizing = 2 * (8 * 16 * 16 * 16 + 8 * 8 * 16 * 16)  # of the position table [16, 16, 16]: once a grid, not a patch
    assert counter.get_total_flops() == per_patch * grid.patches / 3 + resizing


def test_uncompressed_queries_are_counted_as_one_matrix() -> None:
    with_lora, without = config().text, dataclasses.replace(config().text, q_lora_rank=None)
    heads, qk, width, rank = 2, 16, 32, 16
    difference = 6 * without.num_hidden_layers * (width * heads * qk - rank * (width + heads * qk))
    found = text_flops_per_token(without, context=10) - text_flops_per_token(with_lora, context=10)
    assert found == difference


def test_the_published_model_costs_six_operations_for_each_active_parameter() -> None:
    # 32.86B active parameters, of which the embedding table (7168 x 163840) is looked up, not multiplied.
    per_token = text_flops_per_token(k25().text, context=0)
    assert abs(per_token / 6 - (32_861_500_928 - 7168 * 163840)) / 32e9 < 0.001


def test_the_peak_is_a_positive_rate() -> None:
    assert 1e8 < measured_peak(CPU, torch.float32, seconds=0.01) < 1e15
