"""How many parameters a configuration has, by arithmetic (no tensors) and by part.

`active_text` counts what one token passes through: the chosen experts, the shared expert, and both embedding matrices.

Report: §4.1 (1.04T total, 32B active; the released numbers give 1.026T and 32.9B, see docs/decisions).
"""

from typing import NamedTuple

from manyeyes.model.config import ModelConfig, TextConfig, VisionConfig


class ParameterCount(NamedTuple):
    """Parameters by part; `text` includes embeddings and head."""

    text: int
    vision: int
    projector: int
    active_text: int

    @property
    def total(self) -> int:
        """All parameters."""
        return self.text + self.vision + self.projector


def parameter_count(config: ModelConfig) -> ParameterCount:
    """Counts of a whole model.

    Example:
        >>> from manyeyes.model.config import k25
        >>> parameter_count(k25()).text
        1026408232448
    """
    routed, used = config.text.n_routed_experts, config.text.num_experts_per_tok
    return ParameterCount(
        text=text_parameters(config.text, experts=routed),
        vision=vision_parameters(config.vision),
        projector=projector_parameters(config),
        active_text=text_parameters(config.text, experts=used),
    )


def attention_parameters(c: TextConfig) -> int:
    """One MLA block with its two inner norms."""
    heads, queries = c.num_attention_heads, c.num_attention_heads * c.qk_head_dim
    q = c.hidden_size * queries
    if c.q_lora_rank is not None:
        q = c.hidden_size * c.q_lora_rank + c.q_lora_rank + c.q_lora_rank * queries
    kv = c.hidden_size * (c.kv_lora_rank + c.qk_rope_head_dim) + c.kv_lora_rank
    kv += c.kv_lora_rank * heads * (c.qk_nope_head_dim + c.v_head_dim)
    return q + kv + heads * c.v_head_dim * c.hidden_size


def moe_parameters(c: TextConfig, *, experts: int) -> int:
    """One mixture layer with `experts` routed experts counted, its router and balancing bias."""
    expert = 3 * c.hidden_size * c.moe_intermediate_size
    return (experts + c.n_shared_experts) * expert + c.n_routed_experts * (c.hidden_size + 1)


def text_parameters(c: TextConfig, *, experts: int) -> int:
    """The language model with `experts` routed experts a layer."""
    layers = c.num_hidden_layers * (attention_parameters(c) + 2 * c.hidden_size)
    layers += c.first_k_dense_replace * 3 * c.hidden_size * c.intermediate_size
    layers += c.n_moe_layers * moe_parameters(c, experts=experts)
    return layers + c.hidden_size + 2 * c.vocab_size * c.hidden_size


def vision_parameters(c: VisionConfig) -> int:
    """MoonViT-3D."""
    d, inner = c.vt_hidden_size, c.vt_intermediate_size
    block = 4 * d + (3 * d * d + 3 * d) + (d * d + d) + (2 * d * inner + inner + d)
    table = c.init_pos_emb_height * c.init_pos_emb_width * d
    return 3 * c.patch_size**2 * d + d + table + c.vt_num_hidden_layers * block + 2 * d


def projector_parameters(config: ModelConfig) -> int:
    """The patch merger."""
    d, merged = config.vision.mm_hidden_size, config.vision.mm_hidden_size * config.vision.patches_per_token
    return 2 * d + merged * merged + merged + merged * config.text.hidden_size + config.text.hidden_size
