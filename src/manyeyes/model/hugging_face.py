"""`HuggingFaceModel`: a causal language model of Hugging Face as a text policy, on packed rows, beside `K25`.

    segments, continues → who sees whom, as a mask → the model's own layers → `BackboneOutput`, without experts

It has what `rl` asks of a model (`rl.policy_model`). Matrices learn by Muon and embeddings by AdamW, as in K2.5. There
is no QK-Clip: it needs the largest logit of each head, which these attentions do not tell, and rescales latent
projections, which they do not have.

Report: none (a policy of another architecture for the same loop). Shapes: B rows, T positions, D width, V vocabulary.
"""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.model.backbone import BackboneOutput
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import default_positions

KINDS = ("llama", "qwen2", "qwen3")
"""Architectures whose every layer sees everything before a token, and of which the tests show it."""
OF_LENGTH = ("dynamic", "longrope")
"""Kinds of rotary positions whose angles depend on how long a row is: what a cache holds, and what is packed beside a
sample, would change what it means."""


@dataclass(frozen=True, slots=True)
class DenseText:
    """What a language model without experts says of itself (`rl.policy_model.Routed`).

    Attributes:
        vocab_size: rows of the output layer.
        n_moe_layers, num_experts_per_tok, n_routed_experts: none.
    """

    vocab_size: int
    n_moe_layers: int = 0
    num_experts_per_tok: int = 0
    n_routed_experts: int = 0


@dataclass(frozen=True, slots=True)
class DenseConfig:
    """Its configuration, as far as the loop reads it."""

    text: DenseText


class HuggingFaceBackbone(nn.Module):
    """Embedding table, layers and final norm.

    Args:
        stack: the causal language model without its output layer.
    """

    def __init__(self, stack: nn.Module) -> None:
        super().__init__()
        self.stack = stack

    def forward(
        self,
        x_BTD: Tensor,
        *,
        positions_BT: Tensor,
        segments_BT: Tensor | None = None,
        continues_BT: Tensor | None = None,
        collect: bool = False,
        clip_threshold: float = math.inf,
        replay_BTLK: Tensor | None = None,
        keep_routing: bool = False,
    ) -> BackboneOutput:
        """As `Backbone.forward`; nothing is observed on the way, and there is no routing to replay or to keep."""
        mask_B1TT = visible(positions_BT, segments_BT, continues_BT, dtype=x_BTD.dtype)
        return BackboneOutput(self.read(x_BTD, positions_BT, mask_B1TT), None, x_BTD.new_zeros(()), None)

    def read(self, x_BTD: Tensor, positions_BT: Tensor, mask_B1TS: Tensor, cache: Any = None) -> Tensor:
        """Hidden states of embedded tokens.

        Args:
            mask_B1TS: added to the scores of S keys.
            cache: with `update(keys, values, layer)`, which gives the keys and values to attend to.
        """
        out = self.stack(
            inputs_embeds=x_BTD, position_ids=positions_BT.long(), attention_mask=mask_B1TS, past_key_values=cache,
            use_cache=cache is not None,
        )  # fmt: skip
        return out.last_hidden_state

    def update_router_bias(self, counts_LE: Tensor, rate: float) -> None:
        """Nothing: there are no experts to balance."""


class HuggingFaceLanguage(nn.Module):
    """Backbone, and an output layer of its own where it is not tied to the embedding."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.model = HuggingFaceBackbone(whole.model)
        self.lm_head = None if whole.config.tie_word_embeddings else whole.lm_head

    @property
    def table_VD(self) -> Tensor:
        """Of embeddings."""
        return self.model.stack.get_input_embeddings().weight  # pyright: ignore[reportCallIssue]

    @property
    def head_VD(self) -> Tensor:
        """Of the output layer."""
        return self.table_VD if self.lm_head is None else self.lm_head.weight


class HuggingFaceModel(nn.Module):
    """See the module.

    Args:
        whole: a causal language model of transformers; its tensors are shared, not copied.

    Raises:
        ConfigError: of an architecture that is not one of `KINDS`, with layers that see only what is near, or with
            positions that depend on the length of a row.
    """

    def __init__(self, whole: Any) -> None:
        super().__init__()
        _require_known(whole.config)
        self.config = DenseConfig(DenseText(whole.config.vocab_size))
        self.language_model = HuggingFaceLanguage(whole)
        self._whole = (whole,)  # in a tuple, so that its parameters are not listed twice
        self.eval()

    def forward(
        self,
        ids_BT: Tensor,
        *,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        continues_BT: Tensor | None = None,
        media: MediaBatch | None = None,
        collect: bool = False,
        clip_threshold: float = math.inf,
    ) -> BackboneOutput:
        """Hidden states of rows of ids; see `K25.forward`."""
        features_MD = None if media is None else self.encode(media)
        if positions_BT is None:
            positions_BT = default_positions(ids_BT, segments_BT, continues_BT=continues_BT)
        return self.language_model.model(
            self.embed(ids_BT, features_MD), positions_BT=positions_BT, segments_BT=segments_BT,
            continues_BT=continues_BT,
        )  # fmt: skip

    def embed(self, ids_BT: Tensor, features_MD: Tensor | None = None) -> Tensor:
        """Token embeddings: [B, T, D]."""
        return nn.functional.embedding(ids_BT.long(), self.language_model.table_VD)

    def encode(self, media: MediaBatch) -> Tensor:
        """Raises ConfigError: a text policy sees nothing."""
        raise ConfigError("this policy reads text alone and was given pictures; leave out places that show them")

    @property
    def compute_dtype(self) -> torch.dtype:
        """Of activations: that of its weights."""
        return self.head_weight.dtype

    @property
    def head_weight(self) -> Tensor:
        """[V, D]."""
        return self.language_model.head_VD

    @property
    def longest(self) -> int:
        """Positions that it was made for."""
        return self.whole.config.max_position_embeddings

    @property
    def whole(self) -> Any:
        """As transformers knows it, with the weights of now: to save it, or to generate with it."""
        return self._whole[0]


def visible(
    positions_BT: Tensor, segments_BT: Tensor | None, continues_BT: Tensor | None, *, dtype: torch.dtype
) -> Tensor:
    """What is added to scores, [B, 1, T, T]: 0 where the row's token sees the column's, the least number elsewhere.

    Args:
        segments_BT, continues_BT: see `Backbone.forward`. Padding sees padding, and nobody else does.

    Example:
        >>> two = torch.tensor([[0, 0, 1]])
        >>> (visible(two, two, None, dtype=torch.float32)[0, 0] == 0).int().tolist()
        [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    """
    rows, length = positions_BT.shape
    segments_BT = torch.zeros_like(positions_BT) if segments_BT is None else segments_BT
    past_TT = torch.ones(length, length, dtype=torch.bool, device=positions_BT.device).tril()
    sees_BTT = (segments_BT[:, :, None] == segments_BT[:, None, :]) & past_TT
    if continues_BT is not None:
        earlier_BTT = continues_BT[:, :, None] == segments_BT[:, None, :]
        sees_BTT |= earlier_BTT & (continues_BT >= 0)[:, :, None]
    mask_BTT = torch.zeros(rows, length, length, dtype=dtype, device=positions_BT.device)
    return mask_BTT.masked_fill_(~sees_BTT, torch.finfo(dtype).min)[:, None]


def load(path: Path, *, dtype: torch.dtype = torch.float32) -> HuggingFaceModel:
    """A model from a folder in the layout of Hugging Face, or from a GGUF file, whose weights are unpacked to `dtype`.

    Raises:
        ConfigError: transformers is not installed (or gguf, for such a file), or the architecture is not known.
        CheckpointError: it cannot be read.
    """
    library = transformers(*(("gguf", "accelerate") if path.suffix == ".gguf" else ()))
    folder, named = source_of(path)
    try:
        whole = library.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, **named)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: transformers cannot read a causal language model there ({error})") from error
    if path.suffix == ".gguf":  # its weights are plain ones by now, and may be trained and saved
        whole.hf_quantizer.remove_quantization_config(whole)
    return HuggingFaceModel(whole)


def source_of(path: Path) -> tuple[Path, dict[str, str]]:
    """The folder that transformers reads, and the file in it where it is a GGUF file."""
    return (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (path, {})


def transformers(*more: str) -> ModuleType:
    """The package transformers.

    Args:
        more: packages that it needs for what is done with it.

    Raises:
        ConfigError: one of them is not installed.
    """
    if missing := [name for name in ("transformers", *more) if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"this needs {_listed(missing)}; run: pip install 'manyeyes[hugging-face]'")
    return importlib.import_module("transformers")


def _listed(names: Sequence[str]) -> str:
    return ("the package " if len(names) == 1 else "the packages ") + ", ".join(names)


def _require_known(config: Any) -> None:
    if config.model_type not in KINDS:
        raise ConfigError(f"expected a model of {', '.join(KINDS)}, got {config.model_type}; others are not checked")
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    if kinds != {"full_attention"} or getattr(config, "use_sliding_window", False):
        raise ConfigError(f"expected layers that see everything before a token, got {', '.join(sorted(kinds))}")
    positions = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if positions in OF_LENGTH:
        raise ConfigError(
            f"this model's rotary positions are {positions}: their angles depend on the length of a row, so packed "
            "rows and cached keys would not be what the model alone computes; use one whose angles are fixed"
        )
