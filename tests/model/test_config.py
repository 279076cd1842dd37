"""Configurations: official layout, round trips, refusals, and numbers that follow from rules."""

import json

import numpy as np
import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import MediaRules
from manyeyes.core.seeds import stream
from manyeyes.model.config import (
    ModelConfig,
    TextConfig,
    VisionConfig,
    YarnConfig,
    bench_22m,
    k25,
    moonlight_16b_a3b,
    small,
    tiny,
    tiny_lm,
)

PRESETS = [k25, moonlight_16b_a3b, small, tiny, tiny_lm, bench_22m]


@pytest.mark.parametrize("preset", PRESETS)
def test_json_returns_the_same_config(preset) -> None:
    config = preset()
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_k25_has_the_released_keys_and_numbers() -> None:
    layout = k25().to_json()
    text, vision = layout["text_config"], layout["vision_config"]
    released = {"vocab_size": 163840, "hidden_size": 7168, "num_hidden_layers": 61, "intermediate_size": 18432}
    released |= {"moe_intermediate_size": 2048, "n_routed_experts": 384, "num_experts_per_tok": 8}
    released |= {"num_attention_heads": 64, "num_key_value_heads": 64, "q_lora_rank": 1536, "kv_lora_rank": 512}
    released |= {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "routed_scaling_factor": 2.827}
    released |= {"rms_norm_eps": 1e-5, "rope_theta": 50000.0, "first_k_dense_replace": 1, "n_shared_experts": 1}
    released |= {"max_position_embeddings": 262144, "topk_method": "noaux_tc", "scoring_func": "sigmoid"}
    assert {key: text[key] for key in released} == released
    assert text["rope_scaling"]["factor"] == 64.0 and text["rope_scaling"]["type"] == "yarn"
    assert (vision["vt_hidden_size"], vision["vt_num_hidden_layers"], vision["vt_intermediate_size"]) == (
        1152,
        27,
        4304,
    )
    assert (vision["merge_type"], vision["merge_kernel_size"]) == ("sd2_tpool", [2, 2])
    ids = ("bos_token_id", "eos_token_id", "pad_token_id", "media_placeholder_token_id")
    assert [layout[name] for name in ids] == [163584, 163585, 163839, 163605]


def test_reads_the_rope_layout_of_newer_files() -> None:
    layout = k25().to_json()
    text = layout["text_config"]
    yarn = text.pop("rope_scaling")
    text["rope_parameters"] = yarn | {"rope_theta": text.pop("rope_theta"), "rope_type": "yarn"}
    assert ModelConfig.from_json(layout) == k25()


def test_reads_a_text_only_file() -> None:
    assert ModelConfig.from_json(moonlight_16b_a3b().to_json()["text_config"]).text == moonlight_16b_a3b().text


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("n_group", 8, "n_group"),
        ("scoring_func", "softmax", "scoring_func"),
        ("attention_bias", True, "attention_bias"),
        ("num_experts_per_tok", 1000, "num_experts_per_tok"),
        ("qk_rope_head_dim", 63, "qk_rope_head_dim"),
    ],
)
def test_refuses_what_is_not_implemented(key: str, value: object, word: str) -> None:
    layout = k25().to_json()
    layout["text_config"][key] = value
    with pytest.raises(ConfigError, match=word):
        ModelConfig.from_json(layout)


@pytest.mark.parametrize(
    ("part", "key", "value", "word"),
    [
        ("vision_config", "pos_emb_type", "learnable", "pos_emb_type='learnable'"),
        ("vision_config", "merge_type", "sd2", "merge_type='sd2'"),
        ("vision_config", "video_attn_type", "spatial", "video_attn_type"),
        ("vision_config", "merge_kernel_size", [4, 4], "merge_kernel_size must be"),
        ("vision_config", "merge_kernel_size", [1, 4], "merge_kernel_size must be"),
        ("text_config", "moe_layer_freq", 2, "moe_layer_freq=2"),
        ("text_config", "rope_scaling", {"type": "linear", "factor": 4.0}, "RoPE of type 'linear'"),
        ("text_config", "rope_scaling", {"rope_type": "dynamic", "factor": 4.0}, "RoPE of type 'dynamic'"),
    ],
)
def test_refuses_another_layout(part: str, key: str, value: object, word: str) -> None:
    layout = k25().to_json()
    layout[part][key] = value
    with pytest.raises(ConfigError, match=word):
        ModelConfig.from_json(layout)


@pytest.mark.parametrize("scaling", [None, {"type": "default"}, {"rope_type": "default", "rope_theta": 7.0}])
def test_plain_rope_has_no_scaling(scaling: dict[str, object] | None) -> None:
    layout = k25().to_json()
    layout["text_config"]["rope_scaling"] = scaling
    assert ModelConfig.from_json(layout).text.rope_scaling is None


def test_refuses_a_file_that_is_no_config() -> None:
    with pytest.raises(ConfigError, match="vocab_size"):
        ModelConfig.from_json({"name": "package"})


def test_refuses_contradictions() -> None:
    with pytest.raises(ConfigError, match="patch_size"):
        ModelConfig(vision=VisionConfig(patch_size=8))
    with pytest.raises(ConfigError, match="vt_hidden_size"):
        VisionConfig(vt_hidden_size=100, vt_num_attention_heads=16)
    with pytest.raises(ConfigError, match="frames_per_chunk is 5 but the vision tower knows positions of 4"):
        ModelConfig(rules=MediaRules(frames_per_chunk=5))
    with pytest.raises(ConfigError, match="merge_kernel_size"):
        VisionConfig(merge_kernel_size=(4, 4))
    with pytest.raises(ConfigError, match="v_head_dim"):
        TextConfig(v_head_dim=512)


def test_context_stages_change_rope_only() -> None:
    start = tiny()
    middle = start.with_context(1024, factor=4.0)
    last = middle.with_context(4096, factor=16.0)
    assert middle.text.rope_scaling == YarnConfig(4.0, start.text.max_position_embeddings)
    assert last.text.rope_scaling == YarnConfig(16.0, start.text.max_position_embeddings)
    assert last.with_context(start.text.max_position_embeddings) == start


@pytest.mark.parametrize("preset", PRESETS)
def test_routed_scaling_factor_follows_moonlights_rule(preset) -> None:
    """Gaussian scores through a sigmoid, top-k, normalised: the factor restores their root mean square."""
    text = preset().text
    scores = stream(0, "test/routing").standard_normal((20_000, text.n_routed_experts))
    chosen = np.sort(1 / (1 + np.exp(-scores)), axis=1)[:, -text.num_experts_per_tok :]
    weights = chosen / chosen.sum(1, keepdims=True)
    expected = (1 / np.sqrt((weights**2).sum(1))).mean()
    assert text.routed_scaling_factor == pytest.approx(expected, rel=2e-3)
