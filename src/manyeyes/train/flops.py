"""How much arithmetic a step costs, and what this machine could do at best: the two halves of MFU.

Counted are multiply-adds as two operations, backward as twice forward, recomputation not at all (the convention of
PaLM, app. B). A matrix of n parameters costs 6n a token; causal attention adds 6 * heads * (d_qk + d_v) * T a token,
halved, since half of the square is masked.

Report: none (the report gives no MFU); the peak is measured, never looked up.
"""

import time

import torch

from manyeyes.model.config import TextConfig, VisionConfig


def text_flops_per_token(config: TextConfig, *, context: int, head: bool = True) -> float:
    """Forward and backward operations of the backbone for one token that attends to `context` tokens on average."""
    c = config
    qk = c.qk_nope_head_dim + c.qk_rope_head_dim
    attention = c.hidden_size * (c.kv_lora_rank + c.qk_rope_head_dim)
    attention += c.num_attention_heads * qk * (c.q_lora_rank or c.hidden_size)
    attention += c.hidden_size * (c.q_lora_rank or 0)
    attention += c.kv_lora_rank * c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim)
    attention += c.num_attention_heads * c.v_head_dim * c.hidden_size
    dense = 3 * c.hidden_size * c.intermediate_size
    experts = 3 * c.hidden_size * c.moe_intermediate_size * (c.num_experts_per_tok + c.n_shared_experts)
    router = c.hidden_size * c.n_routed_experts
    moe_layers = c.num_hidden_layers - c.first_k_dense_replace
    weights = c.num_hidden_layers * attention + c.first_k_dense_replace * dense + moe_layers * (experts + router)
    weights += c.hidden_size * c.vocab_size if head else 0
    scores = c.num_hidden_layers * c.num_attention_heads * (qk + c.v_head_dim) * context
    return 6.0 * weights + 6.0 * scores


def vision_flops_per_patch(config: VisionConfig, *, text_hidden_size: int, segment: int) -> float:
    """Forward and backward operations of MoonViT-3D and projector for one patch in a segment of `segment` patches."""
    d, merged = config.vt_hidden_size, config.vt_hidden_size * 4
    block = 4 * d * d + 2 * d * config.vt_intermediate_size
    weights = 3 * config.patch_size**2 * d + config.vt_num_hidden_layers * block
    projector = (merged * merged + merged * text_hidden_size) / 4
    scores = config.vt_num_hidden_layers * 2 * d * segment
    return 6.0 * (weights + projector + scores)


def measured_peak(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.3) -> float:
    """Best matmul rate of this machine in operations a second, from square products timed for about `seconds`."""
    size = 512 if device.type == "cpu" else 4096
    a = torch.ones(size, size, device=device, dtype=dtype)
    best, deadline = 0.0, time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        for _ in range(4):
            _ = a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        best = max(best, 8.0 * size**3 / (now - start))
        if now > deadline:
            return best
