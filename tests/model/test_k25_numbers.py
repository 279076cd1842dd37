"""The released model on the meta device: parameter counts by part, tensor names and shapes."""

import pytest
from torch import nn

from manyeyes.model.config import bench_22m, k25, moonlight_16b_a3b, small, tiny, tiny_lm
from manyeyes.model.multimodal import build
from manyeyes.model.parameter_count import parameter_count


def elements(module: nn.Module) -> int:
    return sum(x.numel() for x in [*module.parameters(), *module.buffers()])


def test_counts_of_the_released_model() -> None:
    count = parameter_count(k25())
    assert count.text == 1_026_408_232_448
    assert count.vision == 416_866_032
    assert count.projector == 54_277_888
    assert count.active_text == 32_861_500_928
    assert count.total == 1_026_879_376_368


@pytest.mark.parametrize("preset", [k25, moonlight_16b_a3b, small, tiny, tiny_lm, bench_22m])
def test_formula_counts_what_is_built(preset) -> None:
    model, count = build(preset(), device="meta"), parameter_count(preset())
    assert elements(model.language_model) == count.text
    assert elements(model.vision_tower) == count.vision
    assert elements(model.mm_projector) == count.projector


def test_names_and_shapes_of_the_released_model() -> None:
    state = {name: tuple(x.shape) for name, x in build(k25(), device="meta").state_dict().items()}
    layer, block = "language_model.model.layers.60.", "vision_tower.encoder.blocks.26."
    expected = {
        "language_model.model.embed_tokens.weight": (163840, 7168),
        "language_model.lm_head.weight": (163840, 7168),
        "language_model.model.layers.0.mlp.gate_proj.weight": (18432, 7168),
        layer + "self_attn.q_a_proj.weight": (1536, 7168),
        layer + "self_attn.q_a_layernorm.weight": (1536,),
        layer + "self_attn.q_b_proj.weight": (12288, 1536),
        layer + "self_attn.kv_a_proj_with_mqa.weight": (576, 7168),
        layer + "self_attn.kv_b_proj.weight": (16384, 512),
        layer + "self_attn.o_proj.weight": (7168, 8192),
        layer + "mlp.gate.weight": (384, 7168),
        layer + "mlp.gate.e_score_correction_bias": (384,),
        layer + "mlp.shared_experts.down_proj.weight": (7168, 2048),
        layer + "mlp.experts.up_proj": (384, 2048, 7168),
        layer + "mlp.experts.down_proj": (384, 7168, 2048),
        block + "wqkv.weight": (3456, 1152),
        block + "mlp.fc0.weight": (4304, 1152),
        "vision_tower.patch_embed.proj.weight": (1152, 3, 14, 14),
        "vision_tower.patch_embed.pos_emb.weight": (64, 64, 1152),
        "vision_tower.encoder.final_layernorm.bias": (1152,),
        "mm_projector.pre_norm.weight": (1152,),
        "mm_projector.proj.0.weight": (4608, 4608),
        "mm_projector.proj.2.weight": (7168, 4608),
    }
    assert {name: state[name] for name in expected} == expected
