"""What a machine could decode at most: a step's arithmetic and memory at the rates that this machine is measured at.

    FLOPs  = rows * (2 * matrix entries that a token passes + 2 * H * (2C + r) * S * layers)
    bytes  = 4 * (matrix entries that some token passes + rows * S * (C + r) * layers)
    bound  = rows / max(FLOPs / product rate, bytes / memory rate)

A token passes every dense matrix, top_k routed experts and the shared one, kv_b once (absorbed, it costs the same), and
the head; the embedding is a look-up. With 64 rows of 4 of 32 experts all experts are passed by some token (but 0.02%).
Two rates of products are measured: the faster library, which the bound uses, and plain `torch.matmul`.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from manyeyes.model.multimodal import K25


def bound_at(model: K25, *, rows: int, tokens_each: int) -> dict[str, Any]:
    """The bound of one decode step, with its arithmetic."""
    c = model.config.text
    attention = c.hidden_size * (c.kv_lora_rank + c.qk_rope_head_dim) + c.num_attention_heads * (
        c.kv_lora_rank * (c.qk_nope_head_dim + c.v_head_dim) + c.v_head_dim * c.hidden_size
    )
    q_in = c.q_lora_rank or c.hidden_size
    attention += q_in * c.num_attention_heads * c.qk_head_dim + (c.hidden_size * q_in if c.q_lora_rank else 0)
    expert = 3 * c.hidden_size * c.moe_intermediate_size
    shared = 3 * c.hidden_size * c.shared_intermediate_size + c.n_routed_experts * c.hidden_size
    mixtures, dense = c.num_hidden_layers - c.first_k_dense_replace, c.first_k_dense_replace
    common = c.num_hidden_layers * attention + mixtures * shared + dense * 3 * c.hidden_size * c.intermediate_size
    common += c.vocab_size * c.hidden_size
    passed = common + mixtures * c.num_experts_per_tok * expert
    touched = (
        common + mixtures * c.n_routed_experts * (1 - (1 - c.num_experts_per_tok / c.n_routed_experts) ** rows) * expert
    )
    width = c.kv_lora_rank + c.qk_rope_head_dim
    past_flops = 2 * c.num_attention_heads * (width + c.kv_lora_rank) * tokens_each * c.num_hidden_layers
    flops = rows * (2 * passed + past_flops)
    size = 4 * (touched + rows * tokens_each * width * c.num_hidden_layers)
    fast, plain, memory = _best_product(), _product(lambda a, b: a @ b), _memory()
    return {
        "flops_per_token": int(2 * passed + past_flops),
        "bytes_per_step": int(size),
        "product_gflops": round(fast / 1e9, 1),
        "torch_matmul_gflops": round(plain / 1e9, 1),
        "memory_gb_per_s": round(memory / 1e9, 1),
        "seconds_arithmetic": round(flops / fast, 6),
        "seconds_memory": round(size / memory, 6),
        "bound_tokens_per_s": round(rows / max(flops / fast, size / memory), 1),
        "torch_matmul_bound_tokens_per_s": round(rows / max(flops / plain, size / memory), 1),
    }


def _best_product() -> float:
    rates = [_product(lambda a, b: a @ b)]
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        rates.append(_product(lambda a, b: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")))
    return max(rates)


def _product(multiply: Callable[[torch.Tensor, torch.Tensor], Any], *, side: int = 1024) -> float:
    """FLOPs a second of a large fp32 product."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    return 2 * side**3 / _fastest(lambda: multiply(a, b))


def _memory(*, megabytes: int = 256) -> float:
    """Bytes a second of reading, from memory that no cache holds."""
    x = torch.ones(megabytes << 18)
    return x.numel() * 4 / _fastest(x.sum)


def _fastest(run: Callable[[], Any], *, times: int = 12) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)
