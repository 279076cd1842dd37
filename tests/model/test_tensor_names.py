"""Names and shapes against the listing of the released checkpoint and against the network itself."""

import math

import pytest

from manyeyes.core.errors import CheckpointError
from manyeyes.model import config as presets
from manyeyes.model.multimodal import build
from manyeyes.model.tensor_names import (
    Weight,
    all_weights,
    canonical,
    official_tensors,
    official_weights,
    parameters,
    stored_tensors,
)

# The released checkpoint as a public dump of it lists it: name, shape, type; {layer}, {moe}, {expert}, {block} count.
RELEASED = """
language_model.lm_head.weight 163840,7168 BF16
language_model.model.embed_tokens.weight 163840,7168 BF16
language_model.model.layers.{layer}.input_layernorm.weight 7168 BF16
language_model.model.layers.{layer}.post_attention_layernorm.weight 7168 BF16
language_model.model.layers.{layer}.self_attn.kv_a_layernorm.weight 512 BF16
language_model.model.layers.{layer}.self_attn.kv_a_proj_with_mqa.weight 576,7168 BF16
language_model.model.layers.{layer}.self_attn.kv_b_proj.weight 16384,512 BF16
language_model.model.layers.{layer}.self_attn.o_proj.weight 7168,8192 BF16
language_model.model.layers.{layer}.self_attn.q_a_layernorm.weight 1536 BF16
language_model.model.layers.{layer}.self_attn.q_a_proj.weight 1536,7168 BF16
language_model.model.layers.{layer}.self_attn.q_b_proj.weight 12288,1536 BF16
language_model.model.layers.0.mlp.down_proj.weight 7168,18432 BF16
language_model.model.layers.0.mlp.gate_proj.weight 18432,7168 BF16
language_model.model.layers.0.mlp.up_proj.weight 18432,7168 BF16
language_model.model.layers.{moe}.mlp.experts.{expert}.down_proj.weight_packed 7168,256 I32
language_model.model.layers.{moe}.mlp.experts.{expert}.down_proj.weight_scale 7168,64 BF16
language_model.model.layers.{moe}.mlp.experts.{expert}.down_proj.weight_shape 2 I32
language_model.model.layers.{moe}.mlp.experts.{expert}.gate_proj.weight_packed 2048,896 I32
language_model.model.layers.{moe}.mlp.experts.{expert}.gate_proj.weight_scale 2048,224 BF16
language_model.model.layers.{moe}.mlp.experts.{expert}.gate_proj.weight_shape 2 I32
language_model.model.layers.{moe}.mlp.experts.{expert}.up_proj.weight_packed 2048,896 I32
language_model.model.layers.{moe}.mlp.experts.{expert}.up_proj.weight_scale 2048,224 BF16
language_model.model.layers.{moe}.mlp.experts.{expert}.up_proj.weight_shape 2 I32
language_model.model.layers.{moe}.mlp.gate.e_score_correction_bias 384 F32
language_model.model.layers.{moe}.mlp.gate.weight 384,7168 BF16
language_model.model.layers.{moe}.mlp.shared_experts.down_proj.weight 7168,2048 BF16
language_model.model.layers.{moe}.mlp.shared_experts.gate_proj.weight 2048,7168 BF16
language_model.model.layers.{moe}.mlp.shared_experts.up_proj.weight 2048,7168 BF16
language_model.model.norm.weight 7168 BF16
mm_projector.pre_norm.bias 1152 BF16
mm_projector.pre_norm.weight 1152 BF16
mm_projector.proj.0.bias 4608 BF16
mm_projector.proj.0.weight 4608,4608 BF16
mm_projector.proj.2.bias 7168 BF16
mm_projector.proj.2.weight 7168,4608 BF16
vision_tower.encoder.blocks.{block}.mlp.fc0.bias 4304 BF16
vision_tower.encoder.blocks.{block}.mlp.fc0.weight 4304,1152 BF16
vision_tower.encoder.blocks.{block}.mlp.fc1.bias 1152 BF16
vision_tower.encoder.blocks.{block}.mlp.fc1.weight 1152,4304 BF16
vision_tower.encoder.blocks.{block}.norm0.bias 1152 BF16
vision_tower.encoder.blocks.{block}.norm0.weight 1152 BF16
vision_tower.encoder.blocks.{block}.norm1.bias 1152 BF16
vision_tower.encoder.blocks.{block}.norm1.weight 1152 BF16
vision_tower.encoder.blocks.{block}.wo.bias 1152 BF16
vision_tower.encoder.blocks.{block}.wo.weight 1152,1152 BF16
vision_tower.encoder.blocks.{block}.wqkv.bias 3456 BF16
vision_tower.encoder.blocks.{block}.wqkv.weight 3456,1152 BF16
vision_tower.encoder.final_layernorm.bias 1152 BF16
vision_tower.encoder.final_layernorm.weight 1152 BF16
vision_tower.patch_embed.pos_emb.weight 64,64,1152 BF16
vision_tower.patch_embed.proj.bias 1152 BF16
vision_tower.patch_embed.proj.weight 1152,3,14,14 BF16
"""
COUNTERS = {"{layer}": range(61), "{moe}": range(1, 61), "{expert}": range(384), "{block}": range(27)}
PRESETS = (presets.k25, presets.moonlight_16b_a3b, presets.small, presets.tiny, presets.tiny_lm, presets.bench_22m)


def released() -> dict[str, tuple[tuple[int, ...], str]]:
    tensors = {}
    for line in RELEASED.split("\n")[1:-1]:
        pattern, shape, dtype = line.split()
        names = [pattern]
        for mark, numbers in COUNTERS.items():
            if mark in pattern:
                names = [name.replace(mark, str(number)) for name in names for number in numbers]
        tensors |= dict.fromkeys(names, (tuple(int(side) for side in shape.split(",")), dtype))
    return tensors


def test_k25_in_int4_is_the_released_checkpoint_tensor_for_tensor() -> None:
    ours = {spec.name: (spec.shape, spec.dtype) for spec in official_tensors(presets.k25(), quantization="int4")}
    assert len(ours) == 208_550
    assert ours == released()


def test_stored_elements_of_k25_match_the_released_sums() -> None:
    sums = {"weight_packed": 0, "weight_scale": 0, "weight_shape": 0, "": 0}
    n_bytes = 0
    for spec in official_tensors(presets.k25(), quantization="int4"):
        kind = spec.name.rpartition(".")[2]
        sums[kind if kind in sums else ""] += spec.n_elements
        n_bytes += spec.n_bytes
    assert sums == {
        "weight_packed": 126_835_752_960,
        "weight_scale": 31_708_938_240,
        "weight_shape": 138_240,
        "": 12_193_352_688,
    }
    assert sum(sums.values()) == 170_738_182_128
    assert round(n_bytes / 2**30, 2) == 554.27


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.__name__)
def test_parameters_are_the_state_dict_of_the_network(preset) -> None:
    state = build(preset(), device="meta").state_dict()
    assert parameters(preset()) == {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.__name__)
def test_official_weights_hold_every_element_once(preset) -> None:
    weights = list(all_weights(preset()))
    assert len({weight.name for weight in weights}) == len(weights)
    assert len({(weight.parameter, weight.expert) for weight in weights}) == len(weights)
    inside = sum(math.prod(shape) for shape in parameters(preset()).values())
    assert sum(math.prod(weight.shape) for weight in weights) == inside


def test_a_stacked_parameter_becomes_one_weight_an_expert() -> None:
    weights = list(official_weights("language_model.model.layers.3.mlp.experts.down_proj", (2, 5, 7)))
    assert weights == [
        Weight(
            f"language_model.model.layers.3.mlp.experts.{e}.down_proj.weight",
            (5, 7),
            "language_model.model.layers.3.mlp.experts.down_proj",
            e,
        )
        for e in range(2)
    ]


def test_shared_experts_and_dense_layers_are_never_quantised() -> None:
    for weight in all_weights(presets.tiny()):
        packed = stored_tensors(weight, dtype="BF16", quantization="int4")[0].dtype == "I32"
        assert packed == (".mlp.experts." in weight.name)


def test_int4_refuses_columns_that_are_no_groups() -> None:
    weight = Weight("x.mlp.experts.0.up_proj.weight", (8, 48), "x.mlp.experts.up_proj", 0)
    with pytest.raises(CheckpointError, match="48 columns, INT4 needs a multiple of 32"):
        stored_tensors(weight, dtype="BF16", quantization="int4")


def test_text_only_names_are_those_of_k25_without_prefix() -> None:
    for weight in all_weights(presets.tiny()):
        assert canonical(weight.name) == weight.name
        if weight.name.startswith("language_model."):
            assert canonical(weight.name.removeprefix("language_model.")) == weight.name
