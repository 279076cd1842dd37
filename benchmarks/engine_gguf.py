"""Writes the 22M text model as a GGUF file of llama.cpp's architecture `deepseek2`, in fp32, same weights.

    python benchmarks/engine_gguf.py OUT.gguf            (needs the package `gguf`)

MLA goes in as llama.cpp keeps it: kv_b split in k_b (transposed, absorbed into queries) and v_b. The vocabulary is
8,192 names that mean nothing: prompts and answers are ids. llama.cpp has one epsilon for all norms, so the inner ones
differ in their last digits (1e-5 there, 1e-6 here).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manyeyes.model.config import bench_22m
from manyeyes.model.multimodal import K25, build


def bench_model() -> K25:
    """The random 22M model whose likeliest token is clear."""
    model = build(bench_22m(), seed=0)
    with torch.no_grad():
        model.head_weight.mul_(8)
    return model


def write(model: K25, path: Path) -> None:
    """Metadata, a nameless vocabulary, tensors."""
    import gguf

    writer = gguf.GGUFWriter(path, "deepseek2")
    c = model.config.text
    writer.add_name("bench_22m")
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_rope_dimension_count(c.qk_rope_head_dim)
    writer.add_leading_dense_block_count(c.first_k_dense_replace)
    writer.add_vocab_size(c.vocab_size)
    writer.add_q_lora_rank(c.q_lora_rank)
    writer.add_kv_lora_rank(c.kv_lora_rank)
    writer.add_key_length(c.kv_lora_rank + c.qk_rope_head_dim)
    writer.add_value_length(c.kv_lora_rank)
    writer.add_key_length_mla(c.qk_head_dim)
    writer.add_value_length_mla(c.v_head_dim)
    writer.add_expert_count(c.n_routed_experts)
    writer.add_expert_used_count(c.num_experts_per_tok)
    writer.add_expert_shared_count(c.n_shared_experts)
    writer.add_expert_feed_forward_length(c.moe_intermediate_size)
    writer.add_expert_weights_scale(c.routed_scaling_factor)
    writer.add_expert_weights_norm(c.norm_topk_prob)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"w{number}" for number in range(c.vocab_size)])
    writer.add_token_types([gguf.TokenType.NORMAL] * c.vocab_size)
    writer.add_token_merges(["w 0"])
    writer.add_bos_token_id(c.vocab_size - 1)
    writer.add_eos_token_id(c.vocab_size - 2)
    for name, tensor in tensors_of(model).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors_of(model: K25) -> dict[str, np.ndarray]:
    """The language model's tensors by llama.cpp's names."""
    language, c = model.language_model, model.config.text
    found: dict[str, Any] = {
        "token_embd.weight": language.model.embed_tokens.weight,
        "output_norm.weight": language.model.norm.weight,
        "output.weight": language.lm_head.weight,
    }
    for number, layer in enumerate(language.model.layers):
        a, mlp = layer.self_attn, layer.mlp
        kv_b = a.kv_b_proj.weight.unflatten(0, (c.num_attention_heads, -1))
        part = {
            "attn_norm": layer.input_layernorm.weight,
            "attn_q_a": a.q_a_proj.weight,
            "attn_q_a_norm": a.q_a_layernorm.weight,
            "attn_q_b": a.q_b_proj.weight,
            "attn_kv_a_mqa": a.kv_a_proj_with_mqa.weight,
            "attn_kv_a_norm": a.kv_a_layernorm.weight,
            "attn_k_b": kv_b[:, : c.qk_nope_head_dim].transpose(1, 2),
            "attn_v_b": kv_b[:, c.qk_nope_head_dim :],
            "attn_output": a.o_proj.weight,
            "ffn_norm": layer.post_attention_layernorm.weight,
        }
        part |= _dense(mlp) if number < c.first_k_dense_replace else _mixture(mlp)
        found |= {f"blk.{number}.{name}.weight": tensor for name, tensor in part.items()}
        if number >= c.first_k_dense_replace:
            found[f"blk.{number}.exp_probs_b.bias"] = mlp.gate.e_score_correction_bias
    return {name: tensor.detach().float().contiguous().numpy() for name, tensor in found.items()}


def _dense(mlp: Any) -> dict[str, Any]:
    return {
        "ffn_gate": mlp.gate_proj.weight,
        "ffn_up": mlp.up_proj.weight,
        "ffn_down": mlp.down_proj.weight,
    }


def _mixture(mlp: Any) -> dict[str, Any]:
    return {
        "ffn_gate_inp": mlp.gate.weight,
        "ffn_gate_exps": mlp.experts.gate_proj,
        "ffn_up_exps": mlp.experts.up_proj,
        "ffn_down_exps": mlp.experts.down_proj,
        "ffn_gate_shexp": mlp.shared_experts.gate_proj.weight,
        "ffn_up_shexp": mlp.shared_experts.up_proj.weight,
        "ffn_down_shexp": mlp.shared_experts.down_proj.weight,
    }


if __name__ == "__main__":
    write(bench_model(), Path(sys.argv[1]))
