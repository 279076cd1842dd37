"""What a K2.5 model is made of, as data: official key names, the released numbers, and smaller siblings.

`TextConfig` and `VisionConfig` carry the keys of the released `config.json` (`text_config`, `vision_config`);
`ModelConfig` holds both together with the media rules. Each preset is a function, so nothing is built at import. Facts
that follow from others (special ids, head sizes) are properties, never set twice.

Report: §4.1, §4.2; numbers of `k25` are those of the released checkpoint.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import MediaRules

N_SPECIAL = 256
"""Special ids stand after the BPE ranks; `MEDIA_PAD_SLOT` is the slot of `<|media_pad|>` (163605 - 163584)."""
MEDIA_PAD_SLOT = 21


@dataclass(frozen=True, slots=True)
class YarnConfig:
    """YaRN context extension: `rope_scaling` of the official config.

    Example:
        >>> YarnConfig(factor=64.0, original_max_position_embeddings=4096).beta_fast
        32.0
    """

    factor: float
    original_max_position_embeddings: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float = 1.0
    mscale_all_dim: float = 1.0


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The language backbone: MLA attention and a mixture of experts (DeepSeek-V3 layout).

    `q_lora_rank` None means an uncompressed query projection (`q_proj`, as in Moonlight). `lora_norm_eps` belongs to
    the two norms inside MLA, which the released code runs with 1e-6 whatever `rms_norm_eps` says.
    """

    vocab_size: int = 163840
    hidden_size: int = 7168
    num_hidden_layers: int = 61
    first_k_dense_replace: int = 1
    intermediate_size: int = 18432
    num_attention_heads: int = 64
    q_lora_rank: int | None = 1536
    kv_lora_rank: int = 512
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    n_routed_experts: int = 384
    n_shared_experts: int = 1
    num_experts_per_tok: int = 8
    moe_intermediate_size: int = 2048
    routed_scaling_factor: float = 2.827
    norm_topk_prob: bool = True
    aux_loss_alpha: float = 0.001
    rms_norm_eps: float = 1e-5
    lora_norm_eps: float = 1e-6
    rope_theta: float = 50000.0
    rope_scaling: YarnConfig | None = field(default_factory=lambda: YarnConfig(64.0, 4096))
    max_position_embeddings: int = 262144
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        _require(self.qk_rope_head_dim % 2 == 0, f"qk_rope_head_dim must be even, is {self.qk_rope_head_dim}")
        _require(self.qk_nope_head_dim % 2 == 0, f"qk_nope_head_dim must be even, is {self.qk_nope_head_dim}")
        _require(self.vocab_size > N_SPECIAL, f"vocab_size must exceed {N_SPECIAL} special ids, is {self.vocab_size}")
        _require(
            self.v_head_dim <= self.qk_head_dim,
            f"v_head_dim {self.v_head_dim} must not exceed the query and key width {self.qk_head_dim}",
        )
        _require(
            not self.n_moe_layers or 0 < self.num_experts_per_tok <= self.n_routed_experts,
            f"num_experts_per_tok {self.num_experts_per_tok} must lie in 1..{self.n_routed_experts} (n_routed_experts)",
        )
        _require(
            not self.n_moe_layers or (self.hidden_size % 8 == 0 and self.moe_intermediate_size % 8 == 0),
            f"hidden_size {self.hidden_size} and moe_intermediate_size {self.moe_intermediate_size} must be multiples "
            "of 8 (grouped products of half precision)",
        )
        _require(
            0 <= self.first_k_dense_replace <= self.num_hidden_layers,
            f"first_k_dense_replace must lie in 0..num_hidden_layers={self.num_hidden_layers}, "
            f"is {self.first_k_dense_replace}",
        )

    @property
    def n_moe_layers(self) -> int:
        """Layers with experts; the first `first_k_dense_replace` layers have a dense feed-forward."""
        return self.num_hidden_layers - self.first_k_dense_replace

    @property
    def qk_head_dim(self) -> int:
        """Width of a query or key head."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def shared_intermediate_size(self) -> int:
        """Width of the shared expert."""
        return self.moe_intermediate_size * self.n_shared_experts

    def with_context(self, length: int, *, factor: float = 1.0, original: int | None = None) -> Self:
        """The same model at another stage's context: `factor` 1 is plain RoPE, above it YaRN from `original`."""
        if factor == 1.0:
            return replace(self, max_position_embeddings=length, rope_scaling=None)
        before = (
            self.rope_scaling.original_max_position_embeddings if self.rope_scaling else self.max_position_embeddings
        )
        yarn = self.rope_scaling or YarnConfig(factor, before)
        yarn = replace(yarn, factor=factor, original_max_position_embeddings=original or before)
        return replace(self, max_position_embeddings=length, rope_scaling=yarn)


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """MoonViT-3D and its projector, with the official `vt_*` key names."""

    patch_size: int = 14
    init_pos_emb_height: int = 64
    init_pos_emb_width: int = 64
    init_pos_emb_time: int = 4
    vt_hidden_size: int = 1152
    vt_num_hidden_layers: int = 27
    vt_num_attention_heads: int = 16
    vt_intermediate_size: int = 4304
    merge_kernel_size: tuple[int, int] = (2, 2)
    projector_ln_eps: float = 1e-5

    def __post_init__(self) -> None:
        heads, width = self.vt_num_attention_heads, self.vt_hidden_size
        _require(width % heads == 0, f"vt_hidden_size {width} must be a multiple of vt_num_attention_heads {heads}")
        _require(
            tuple(self.merge_kernel_size) == (2, 2),
            f"merge_kernel_size must be (2, 2): one token joins 2 x 2 patches, got {self.merge_kernel_size}",
        )
        _require(self.head_dim % 4 == 0, f"a vision head must be a multiple of 4 wide (2D RoPE), is {self.head_dim}")

    @property
    def head_dim(self) -> int:
        """Width of a vision head."""
        return self.vt_hidden_size // self.vt_num_attention_heads

    @property
    def patches_per_token(self) -> int:
        """Patches that the projector joins."""
        return self.merge_kernel_size[0] * self.merge_kernel_size[1]

    @property
    def mm_hidden_size(self) -> int:
        """Width of the projector's input a patch."""
        return self.vt_hidden_size


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A whole model: text, vision, and the rules that turn media into patches.

    Example:
        >>> k25().media_placeholder_token_id
        163605
        >>> ModelConfig.from_json(k25().to_json()) == k25()
        True
    """

    text: TextConfig = field(default_factory=TextConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    rules: MediaRules = field(default_factory=MediaRules)

    def __post_init__(self) -> None:
        ours, theirs = self.vision.patch_size, self.rules.patch_size
        _require(ours == theirs, f"vision.patch_size is {ours} but rules.patch_size is {theirs}; set both alike")
        known, chunk = self.vision.init_pos_emb_time, self.rules.frames_per_chunk
        _require(
            chunk <= known,
            f"rules.frames_per_chunk is {chunk} but the vision tower knows positions of {known} frames "
            "(vision.init_pos_emb_time); lower the first or raise the second",
        )

    @property
    def bos_token_id(self) -> int:
        """`[BOS]`, the first special slot."""
        return self.text.vocab_size - N_SPECIAL

    @property
    def eos_token_id(self) -> int:
        """`[EOS]`."""
        return self.bos_token_id + 1

    @property
    def pad_token_id(self) -> int:
        """`[PAD]`, the last special slot."""
        return self.text.vocab_size - 1

    @property
    def media_placeholder_token_id(self) -> int:
        """`<|media_pad|>`."""
        return self.bos_token_id + MEDIA_PAD_SLOT

    def with_context(self, length: int, *, factor: float = 1.0, original: int | None = None) -> Self:
        """The same model at another stage's context; see `TextConfig.with_context`."""
        return replace(self, text=self.text.with_context(length, factor=factor, original=original))

    def to_json(self) -> dict[str, Any]:
        """The layout of the official `config.json` (media rules under the key of `preprocessor_config.json`)."""
        ids = {name: getattr(self, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        return {
            "architectures": ["KimiK25ForConditionalGeneration"],
            "model_type": "kimi_k25",
            **ids,
            "media_placeholder_token_id": self.media_placeholder_token_id,
            "ignore_index": -100,
            "tie_word_embeddings": False,
            "use_unified_vision_chunk": True,
            "video_placeholder": "<|kimi_k25_video_placeholder|>",
            "text_config": _text_json(self.text) | ids,
            "vision_config": _vision_json(self),
            "media_proc_cfg": {theirs: getattr(self.rules, ours) for ours, theirs in _RULE_KEYS.items()},
        }

    @classmethod
    def from_json(cls, layout: dict[str, Any]) -> Self:
        """Reads `to_json`'s layout, the official `config.json`, or a text-only K2/Moonlight one.

        Raises:
            ConfigError: a key is missing, or asks for something this implementation does not do.
        """
        text_json = layout.get("text_config", layout)
        text = _text_from_json(text_json)
        vision_json = dict(layout.get("vision_config", {}))
        _require_fixed(vision_json, _VISION_FIXED)
        if "merge_kernel_size" in vision_json:
            vision_json["merge_kernel_size"] = tuple(vision_json["merge_kernel_size"])
        vision = VisionConfig(**_known(VisionConfig, vision_json))
        theirs = layout.get("media_proc_cfg", {})
        for key, fixed in _MEDIA_FIXED.items():
            found = theirs.get(key, fixed)
            _require(found == fixed, f"media_proc_cfg asks for {key}={found!r}; only {fixed!r} is implemented")
        rules = {ours: theirs[key] for ours, key in _RULE_KEYS.items() if key in theirs}
        config = cls(text, vision, MediaRules(**{"patch_size": vision.patch_size} | rules))
        asked = layout.get("media_placeholder_token_id", config.media_placeholder_token_id)
        _require(
            asked == config.media_placeholder_token_id,
            f"media_placeholder_token_id {asked} does not follow from vocab_size {text.vocab_size}: "
            f"expected {config.media_placeholder_token_id}",
        )
        return config


_RULE_KEYS = {
    "patch_size": "patch_size",
    "merge": "merge_kernel_size",
    "in_patch_limit": "in_patch_limit",
    "in_patch_limit_each_frame": "in_patch_limit_each_frame",
    "patch_limit_on_one_side": "patch_limit_on_one_side",
    "sample_fps": "sample_fps",
    "frames_per_chunk": "temporal_merge_kernel_size",
    "max_num_frames_each_video": "max_num_frames_each_video",
    "max_pixels": "max_pixels",
}
"""Field of `MediaRules` → key of the official `media_proc_cfg`."""

_MEDIA_FIXED: dict[str, Any] = {
    "fixed_output_tokens": None,
    "in_patch_limit_video": None,
    "timestamp_mode": "hh:mm:ss.fff",
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
"""What the released `media_proc_cfg` says beside the `MediaRules`; another value in a file is refused."""

_TEXT_FIXED: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "kimi_k2",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "moe_layer_freq": 1,
    "n_group": 1,
    "num_nextn_predict_layers": 0,
    "scoring_func": "sigmoid",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "noaux_tc",
}
"""What this implementation always does; another value in a file is refused (names of architectures aside)."""

_VISION_FIXED: dict[str, Any] = {
    "merge_type": "sd2_tpool",
    "mm_projector_type": "patchmerger",
    "pos_emb_type": "divided_fixed",
    "projector_hidden_act": "gelu",
    "video_attn_type": "spatial_temporal",
}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _require_fixed(layout: dict[str, Any], fixed: dict[str, Any]) -> None:
    for key, only in fixed.items():
        found = layout.get(key, only)
        _require(found == only, f"config.json asks for {key}={found!r}; only {only!r} is implemented")


def _known(kind: type, layout: dict[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(kind)}
    return {key: value for key, value in layout.items() if key in names}


def _text_json(text: TextConfig) -> dict[str, Any]:
    scaling = None if text.rope_scaling is None else {"type": "yarn"} | asdict(text.rope_scaling)
    return _TEXT_FIXED | asdict(text) | {"num_key_value_heads": text.num_attention_heads, "rope_scaling": scaling}


def _vision_json(config: ModelConfig) -> dict[str, Any]:
    sizes = {"mm_hidden_size": config.vision.mm_hidden_size, "text_hidden_size": config.text.hidden_size}
    merge = {"merge_kernel_size": list(config.vision.merge_kernel_size)}
    return _VISION_FIXED | asdict(config.vision) | sizes | merge


def _text_from_json(layout: dict[str, Any]) -> TextConfig:
    missing = [key for key in ("vocab_size", "hidden_size", "num_hidden_layers") if key not in layout]
    _require(
        not missing,
        f"config.json lacks {', '.join(missing)}: expected the text_config of a K2.5, K2 or Moonlight model",
    )
    _require_fixed(layout, {key: _TEXT_FIXED[key] for key in _TEXT_FIXED if key not in ("architectures", "model_type")})
    scaling = layout.get("rope_scaling") or layout.get("rope_parameters") or {}
    kind = scaling.get("type") or scaling.get("rope_type") or "default"
    _require(kind in ("default", "yarn"), f"config.json asks for RoPE of type {kind!r}; only 'yarn' is implemented")
    yarn = YarnConfig(**_known(YarnConfig, scaling)) if kind == "yarn" else None
    theta = layout.get("rope_theta", scaling.get("rope_theta", 50000.0))
    return TextConfig(**_known(TextConfig, layout) | {"rope_scaling": yarn, "rope_theta": theta})


def k25() -> ModelConfig:
    """The released Kimi K2.5: 1.03T parameters, 32.9B active."""
    return ModelConfig()


def moonlight_16b_a3b() -> ModelConfig:
    """Moonlight-16B-A3B, which MoonViT-3D is aligned with first (§4.3), under MoonViT-3D."""
    text = TextConfig(
        hidden_size=2048,
        num_hidden_layers=27,
        intermediate_size=11264,
        num_attention_heads=16,
        q_lora_rank=None,
        n_routed_experts=64,
        n_shared_experts=2,
        num_experts_per_tok=6,
        moe_intermediate_size=1408,
        routed_scaling_factor=2.446,
        rope_scaling=None,
        max_position_embeddings=8192,
    )
    return ModelConfig(text=text)


def small() -> ModelConfig:
    """About 120M parameters, 22M active: an hour on two CPU cores shows a loss curve, one GPU trains it whole."""
    text = TextConfig(
        vocab_size=8192,
        hidden_size=384,
        num_hidden_layers=10,
        intermediate_size=1152,
        num_attention_heads=6,
        q_lora_rank=256,
        kv_lora_rank=128,
        qk_nope_head_dim=48,
        qk_rope_head_dim=16,
        v_head_dim=48,
        n_routed_experts=48,
        num_experts_per_tok=4,
        moe_intermediate_size=192,
        routed_scaling_factor=1.998,
        rope_scaling=None,
        max_position_embeddings=1024,
    )
    vision = VisionConfig(
        init_pos_emb_height=32,
        init_pos_emb_width=32,
        vt_hidden_size=256,
        vt_num_hidden_layers=8,
        vt_num_attention_heads=4,
        vt_intermediate_size=1024,
    )
    return ModelConfig(text, vision, MediaRules(in_patch_limit=4096, in_patch_limit_each_frame=1024))


def tiny() -> ModelConfig:
    """About 3.3M parameters: learns to see and to read within minutes on a laptop; one token shows 16 x 16 pixels."""
    text = TextConfig(
        vocab_size=2048,
        hidden_size=128,
        num_hidden_layers=4,
        intermediate_size=384,
        num_attention_heads=4,
        q_lora_rank=96,
        kv_lora_rank=64,
        qk_nope_head_dim=32,
        qk_rope_head_dim=16,
        v_head_dim=32,
        n_routed_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=128,
        routed_scaling_factor=1.41,
        rope_scaling=None,
        max_position_embeddings=256,
    )
    return ModelConfig(text, _tiny_vision(), _tiny_rules())


def tiny_lm() -> ModelConfig:
    """Half the width of `tiny`: the small language model that its ViT is aligned with first (§4.3: Moonlight)."""
    text = replace(
        tiny().text,
        hidden_size=64,
        num_hidden_layers=3,
        intermediate_size=192,
        num_attention_heads=2,
        q_lora_rank=48,
        kv_lora_rank=32,
        moe_intermediate_size=64,
    )
    return ModelConfig(text, _tiny_vision(), _tiny_rules())


def bench_22m() -> ModelConfig:
    """The 22.1M text configuration that speed is measured on, beside transformers."""
    text = TextConfig(
        vocab_size=8192,
        hidden_size=256,
        num_hidden_layers=6,
        intermediate_size=768,
        num_attention_heads=4,
        q_lora_rank=128,
        kv_lora_rank=96,
        qk_nope_head_dim=48,
        qk_rope_head_dim=16,
        v_head_dim=48,
        n_routed_experts=32,
        num_experts_per_tok=4,
        moe_intermediate_size=128,
        routed_scaling_factor=1.993,
        rope_scaling=None,
        max_position_embeddings=512,
    )
    return ModelConfig(text, _tiny_vision(), _tiny_rules())


def _tiny_vision() -> VisionConfig:
    return VisionConfig(
        patch_size=8,
        init_pos_emb_height=16,
        init_pos_emb_width=16,
        vt_hidden_size=128,
        vt_num_hidden_layers=4,
        vt_num_attention_heads=4,
        vt_intermediate_size=384,
    )


def _tiny_rules() -> MediaRules:
    return MediaRules(patch_size=8, in_patch_limit=1024, in_patch_limit_each_frame=256, patch_limit_on_one_side=128)
