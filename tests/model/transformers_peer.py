"""A transformers model of the same shape and weights: the independent implementation that parity tests compare with.

Names are mapped one by one; q and k of the vision tower are permuted, because transformers turns halves, not pairs.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from manyeyes.model.config import ModelConfig
from manyeyes.model.multimodal import K25

_STUBS: list[torch.library.Library] = []


def kimi_module() -> Any:
    """`transformers.models.kimi_k25`, or skips the test where transformers is not installed."""
    pytest.importorskip("transformers")
    if importlib.util.find_spec("torchvision") is not None and not _STUBS:
        library = torch.library.Library("torchvision", "DEF")  # a torchvision for another torch lacks these operators
        _STUBS.append(library)
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return pytest.importorskip("transformers.models.kimi_k25")


def peer_of(model: K25) -> Any:
    """`Kimi_K25ForConditionalGeneration` with the weights of `model`, in evaluation mode."""
    kimi = kimi_module()
    peer = kimi.Kimi_K25ForConditionalGeneration(peer_config(model.config)).eval()
    missing, unexpected = peer.load_state_dict(peer_state(model), strict=False)
    assert not unexpected and all("inv_freq" in name or "temporal" in name for name in missing), (missing, unexpected)
    return peer


def text_peer_of(model: K25) -> Any:
    """`DeepseekV3ForCausalLM` with the weights of `model`'s language model, in training mode."""
    pytest.importorskip("transformers")
    deepseek = pytest.importorskip("transformers.models.deepseek_v3")
    peer = deepseek.DeepseekV3ForCausalLM(peer_config(model.config).text_config)
    state = {name.replace("model.language_model.", "model."): x for name, x in peer_state(model).items()}
    text = {name: x for name, x in state.items() if "vision_tower" not in name and "mm_projector" not in name}
    missing, unexpected = peer.load_state_dict(text, strict=False)
    assert not unexpected and all("inv_freq" in name for name in missing), (missing, unexpected)
    return peer


def peer_config(config: ModelConfig) -> Any:
    """The same architecture in transformers' words."""
    t, v = config.text, config.vision
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": t.rope_theta}
    if t.rope_scaling is not None:
        y = t.rope_scaling
        rope = {"rope_type": "yarn", "rope_theta": t.rope_theta, "factor": y.factor, "beta_fast": y.beta_fast}
        rope |= {"beta_slow": y.beta_slow, "mscale": y.mscale, "mscale_all_dim": y.mscale_all_dim}
        rope |= {"original_max_position_embeddings": y.original_max_position_embeddings}
    same = ("vocab_size", "hidden_size", "intermediate_size", "moe_intermediate_size", "num_hidden_layers")
    same += ("num_attention_heads", "n_shared_experts", "n_routed_experts", "num_experts_per_tok", "norm_topk_prob")
    same += ("routed_scaling_factor", "first_k_dense_replace", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim")
    same += ("qk_rope_head_dim", "v_head_dim", "max_position_embeddings", "rms_norm_eps")
    text = {name: getattr(t, name) for name in same}
    text |= {"model_type": "deepseek_v3", "num_key_value_heads": t.num_attention_heads, "n_group": 1, "topk_group": 1}
    text |= {"num_nextn_predict_layers": 0, "rope_parameters": rope, "tie_word_embeddings": False}
    vision = {
        "patch_size": v.patch_size,
        "pos_emb_height": v.init_pos_emb_height,
        "pos_emb_width": v.init_pos_emb_width,
        "pos_emb_time": v.init_pos_emb_time,
        "num_attention_heads": v.vt_num_attention_heads,
        "num_hidden_layers": v.vt_num_hidden_layers,
        "hidden_size": v.vt_hidden_size,
        "intermediate_size": v.vt_intermediate_size,
        "merge_kernel_size": list(v.merge_kernel_size),
    }
    return kimi_module().Kimi_K25Config(
        text_config=text,
        vision_config=vision,
        projection_hidden_size=v.vt_hidden_size,
        image_token_id=config.media_placeholder_token_id,
        video_token_id=config.media_placeholder_token_id,
        tie_word_embeddings=False,
    )


def peer_state(model: K25) -> dict[str, Tensor]:
    """Our tensors under transformers' names."""
    return peer_names(model.state_dict(), model.config)


def peer_names(tensors: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Weights, or their gradients, under transformers' names."""
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for key, value in renamed(name, tensor.detach().clone(), heads=config.vision.vt_num_attention_heads):
            state[key] = value
    for layer in range(config.text.num_hidden_layers):
        stem = f"model.language_model.layers.{layer}.mlp.experts"
        if f"{stem}.gate_proj" in state:
            state[f"{stem}.gate_up_proj"] = torch.cat([state.pop(f"{stem}.gate_proj"), state.pop(f"{stem}.up_proj")], 1)
    return state


def renamed(name: str, tensor: Tensor, *, heads: int) -> list[tuple[str, Tensor]]:
    """One of our tensors as one or several of theirs."""
    name = name.replace("language_model.lm_head", "lm_head").replace("language_model.model.", "model.language_model.")
    if name.startswith("mm_projector"):
        return [("model." + name.replace("proj.0", "in_proj").replace("proj.2", "out_proj"), tensor)]
    if not name.startswith("vision_tower"):
        return [(name, tensor)]
    name = name.replace("pos_emb.weight", "pos_emb.position_embeddings").replace("encoder.final", "final")
    name = name.replace("encoder.blocks", "layers").replace("norm1", "norm2").replace("norm0", "norm1")
    name = "model." + name.replace("fc1", "fc2").replace("fc0", "fc1").replace(".wo.", ".attn.proj.")
    if "wqkv" not in name:
        return [(name, tensor)]
    q, k, v = tensor.chunk(3)
    parts = {"q_proj": halves(q, heads), "k_proj": halves(k, heads), "v_proj": v}
    return [(name.replace("wqkv", f"attn.{part}"), value) for part, value in parts.items()]


def halves(rows: Tensor, heads: int) -> Tensor:
    """Interleaved rotary pairs of each head to first halves, second halves."""
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)
