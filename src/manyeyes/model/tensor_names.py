"""Every tensor of a model by its official name, shape and stored type, and where it lives inside our network.

Our parameters carry the official names, with one exception: a layer's routed experts are stacked in one 3-D parameter
`mlp.experts.up_proj` [E, I, h], which the official layout stores as E matrices `mlp.experts.<e>.up_proj.weight`. In
INT4 an expert matrix becomes three tensors: `weight_packed`, `weight_scale`, `weight_shape`.

Report: §4.1; names and shapes are those of the released checkpoint (208,550 tensors for `k25` in INT4). Needs no torch.
"""

import math
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from manyeyes.core.errors import CheckpointError
from manyeyes.model.config import ModelConfig, TextConfig, VisionConfig

Quantization: TypeAlias = Literal["none", "int4"]
Shape: TypeAlias = tuple[int, ...]

GROUP = 32
"""Columns that share one INT4 scale, and the codes in one int32 word (both: `quantization_config` of the release)."""
CODES_PER_WORD = 8

ITEM_BYTES = {
    "F64": 8,
    "I64": 8,
    "F32": 4,
    "I32": 4,
    "BF16": 2,
    "F16": 2,
    "I16": 2,
    "F8_E4M3": 1,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
"""Bytes of one element by safetensors' code of its type."""

TEXT, PROJECTOR, VISION = "language_model.", "mm_projector.", "vision_tower."
_EXPERTS = re.compile(r"(?P<layer>.*\.mlp\.experts)\.(?P<matrix>gate_proj|up_proj|down_proj)")


class TensorSpec(NamedTuple):
    """One tensor of a safetensors file; `dtype` is safetensors' code.

    Example:
        >>> TensorSpec("language_model.model.norm.weight", (7168,), "BF16").n_bytes
        14336
    """

    name: str
    shape: Shape
    dtype: str

    @property
    def n_elements(self) -> int:
        """Stored elements (an int32 word of eight codes is one)."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Size in the file."""
        return self.n_elements * ITEM_BYTES[self.dtype]


class Weight(NamedTuple):
    """One weight under its official name, and the parameter of our network (or the slice of it) that holds it.

    Attributes:
        name: official name as in an unquantised checkpoint.
        shape: of this weight alone.
        parameter: name in our network.
        expert: index along the first axis of a stacked parameter, else None.
    """

    name: str
    shape: Shape
    parameter: str
    expert: int | None = None

    @property
    def is_quantisable(self) -> bool:
        """Only routed experts are stored in INT4; everything else keeps its precision."""
        return self.expert is not None

    @property
    def is_router_bias(self) -> bool:
        """The bias that picks experts is compared across 384 of them: it stays fp32 in every layout."""
        return self.name.endswith("e_score_correction_bias")


def parameters(config: ModelConfig) -> dict[str, Shape]:
    """Names and shapes inside our network (its state dict), text first.

    Example:
        >>> from manyeyes.model.config import k25
        >>> parameters(k25())["language_model.model.layers.1.mlp.experts.down_proj"]
        (384, 7168, 2048)
    """
    text, vision = config.text, config.vision
    shapes: dict[str, Shape] = {f"{TEXT}model.embed_tokens.weight": (text.vocab_size, text.hidden_size)}
    for layer in range(text.num_hidden_layers):
        shapes |= _within(f"{TEXT}model.layers.{layer}.", _layer(text, dense=layer < text.first_k_dense_replace))
    shapes[f"{TEXT}model.norm.weight"] = (text.hidden_size,)
    shapes[f"{TEXT}lm_head.weight"] = (text.vocab_size, text.hidden_size)
    return shapes | _within(PROJECTOR, _projector(vision, text.hidden_size)) | _within(VISION, _vision(vision))


def official_weights(parameter: str, shape: Shape) -> Iterator[Weight]:
    """The official weights that one parameter of our network holds: itself, or one matrix an expert.

    Example:
        >>> [w.name for w in official_weights("model.layers.1.mlp.experts.up_proj", (2, 4, 8))]
        ['model.layers.1.mlp.experts.0.up_proj.weight', 'model.layers.1.mlp.experts.1.up_proj.weight']
    """
    stacked = _EXPERTS.fullmatch(parameter)
    if stacked is None:
        yield Weight(parameter, tuple(shape), parameter)
        return
    for expert in range(shape[0]):
        name = f"{stacked['layer']}.{expert}.{stacked['matrix']}.weight"
        yield Weight(name, tuple(shape[1:]), parameter, expert)


def all_weights(config: ModelConfig) -> Iterator[Weight]:
    """Every official weight of a model, in the order of `parameters`."""
    for parameter, shape in parameters(config).items():
        yield from official_weights(parameter, shape)


def stored_tensors(weight: Weight, *, dtype: str, quantization: Quantization) -> tuple[TensorSpec, ...]:
    """What a checkpoint stores for one weight.

    Args:
        weight: an official weight.
        dtype: "BF16" or "F32", for all that is not quantised (the router bias is always "F32").
        quantization: "int4" packs the routed experts.

    Raises:
        CheckpointError: INT4 is asked for a matrix whose columns do not come in groups of 32.
    """
    if quantization == "none" or not weight.is_quantisable:
        return (TensorSpec(weight.name, weight.shape, "F32" if weight.is_router_bias else dtype),)
    rows, columns = weight.shape
    if columns % GROUP:
        raise CheckpointError(
            f"{weight.name} has {columns} columns, INT4 needs a multiple of {GROUP}; choose hidden_size and "
            f"moe_intermediate_size in multiples of {GROUP}, or write without INT4"
        )
    return (
        TensorSpec(f"{weight.name}_packed", (rows, columns // CODES_PER_WORD), "I32"),
        TensorSpec(f"{weight.name}_scale", (rows, columns // GROUP), "BF16"),
        TensorSpec(f"{weight.name}_shape", (2,), "I32"),
    )


def official_tensors(
    config: ModelConfig, *, dtype: str = "BF16", quantization: Quantization = "none"
) -> Iterator[TensorSpec]:
    """Every tensor that a checkpoint of `config` stores.

    Example:
        >>> from manyeyes.model.config import k25
        >>> sum(1 for _ in official_tensors(k25(), quantization="int4"))
        208550
    """
    for weight in all_weights(config):
        yield from stored_tensors(weight, dtype=dtype, quantization=quantization)


def canonical(name: str) -> str:
    """The K2.5 name of a tensor of a K2.5 or text-only (K2, Moonlight) checkpoint.

    Example:
        >>> canonical("model.layers.0.mlp.up_proj.weight")
        'language_model.model.layers.0.mlp.up_proj.weight'
    """
    return TEXT + name if name.startswith(("model.", "lm_head.")) else name


def _within(prefix: str, shapes: dict[str, Shape]) -> dict[str, Shape]:
    return {prefix + name: shape for name, shape in shapes.items()}


def _layer(text: TextConfig, *, dense: bool) -> dict[str, Shape]:
    hidden = text.hidden_size
    feed_forward = _gated("", hidden, text.intermediate_size) if dense else _experts(text)
    return {
        "input_layernorm.weight": (hidden,),
        **_within("self_attn.", _attention(text)),
        "post_attention_layernorm.weight": (hidden,),
        **_within("mlp.", feed_forward),
    }


def _attention(text: TextConfig) -> dict[str, Shape]:
    hidden, heads, rank = text.hidden_size, text.num_attention_heads, text.q_lora_rank
    query = (
        {"q_proj.weight": (heads * text.qk_head_dim, hidden)}
        if rank is None
        else {
            "q_a_proj.weight": (rank, hidden),
            "q_a_layernorm.weight": (rank,),
            "q_b_proj.weight": (heads * text.qk_head_dim, rank),
        }
    )
    return query | {
        "kv_a_proj_with_mqa.weight": (text.kv_lora_rank + text.qk_rope_head_dim, hidden),
        "kv_a_layernorm.weight": (text.kv_lora_rank,),
        "kv_b_proj.weight": (heads * (text.qk_nope_head_dim + text.v_head_dim), text.kv_lora_rank),
        "o_proj.weight": (hidden, heads * text.v_head_dim),
    }


def _experts(text: TextConfig) -> dict[str, Shape]:
    experts, hidden, inner = text.n_routed_experts, text.hidden_size, text.moe_intermediate_size
    return {
        "gate.weight": (experts, hidden),
        "gate.e_score_correction_bias": (experts,),
        "experts.gate_proj": (experts, inner, hidden),
        "experts.up_proj": (experts, inner, hidden),
        "experts.down_proj": (experts, hidden, inner),
        **_gated("shared_experts.", hidden, text.shared_intermediate_size),
    }


def _gated(prefix: str, hidden: int, inner: int) -> dict[str, Shape]:
    return {
        f"{prefix}gate_proj.weight": (inner, hidden),
        f"{prefix}up_proj.weight": (inner, hidden),
        f"{prefix}down_proj.weight": (hidden, inner),
    }


def _projector(vision: VisionConfig, text_hidden: int) -> dict[str, Shape]:
    merged = vision.vt_hidden_size * vision.patches_per_token
    return {
        **_affine("pre_norm", (vision.vt_hidden_size,)),
        **_affine("proj.0", (merged, merged)),
        **_affine("proj.2", (text_hidden, merged)),
    }


def _vision(vision: VisionConfig) -> dict[str, Shape]:
    width, patch = vision.vt_hidden_size, vision.patch_size
    shapes = {
        **_affine("patch_embed.proj", (width, 3, patch, patch)),
        "patch_embed.pos_emb.weight": (vision.init_pos_emb_height, vision.init_pos_emb_width, width),
    }
    block = {
        **_affine("norm0", (width,)),
        **_affine("norm1", (width,)),
        **_affine("wqkv", (3 * width, width)),
        **_affine("wo", (width, width)),
        **_affine("mlp.fc0", (vision.vt_intermediate_size, width)),
        **_affine("mlp.fc1", (width, vision.vt_intermediate_size)),
    }
    for number in range(vision.vt_num_hidden_layers):
        shapes |= _within(f"encoder.blocks.{number}.", block)
    return shapes | _affine("encoder.final_layernorm", (width,))


def _affine(name: str, shape: Shape) -> dict[str, Shape]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
