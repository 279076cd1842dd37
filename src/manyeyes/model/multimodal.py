"""K2.5 as a whole: MoonViT-3D and projector write media tokens into the stream that the language backbone reads.

Report: §4 (architecture), §4.2.

Shapes: B rows, T positions, D text width, M media tokens, V vocabulary.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manyeyes.core.errors import ConfigError
from manyeyes.model.attention import MlaCache
from manyeyes.model.backbone import BackboneOutput, LanguageModel
from manyeyes.model.config import ModelConfig
from manyeyes.model.initial_weights import initialise
from manyeyes.model.moonvit3d import MediaBatch, MoonViT3D
from manyeyes.model.projector import Projector
from manyeyes.model.rope import Rope

COMPUTE_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Formats of activations for which every kernel exists."""


class K25(nn.Module):
    """The model. Parameter names are those of the released checkpoint, experts stacked.

    `compute_dtype` is the format of activations; weights are cast to it where they are used.
    """

    def __init__(self, config: ModelConfig, *, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if compute_dtype not in COMPUTE_DTYPES:
            names = ", ".join(str(dtype).removeprefix("torch.") for dtype in COMPUTE_DTYPES)
            raise ConfigError(f"compute_dtype must be one of {names}, got {compute_dtype}")
        self.config = config
        self.compute_dtype = compute_dtype
        self.vision_tower = MoonViT3D(config.vision)
        self.mm_projector = Projector(config)
        self.language_model = LanguageModel(config.text)

    def forward(
        self,
        ids_BT: Tensor,
        *,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        continues_BT: Tensor | None = None,
        media: MediaBatch | None = None,
        features_MD: Tensor | None = None,
        collect: bool = False,
        clip_threshold: float = math.inf,
        cache: MlaCache | None = None,
        replay_BTLK: Tensor | None = None,
        keep_routing: bool = False,
    ) -> BackboneOutput:
        """Hidden states of rows of ids; `logits` or a chunked loss comes after.

        Args:
            positions_BT: by default counted within each segment, after what `cache` holds.
            segments_BT, continues_BT: see `Backbone.forward`; who continues another brings positions.
            replay_BTLK, keep_routing: see `Backbone.forward`.
            media: fills the runs of `<|media_pad|>` in order; or give `features_MD` from an earlier `encode`.

        Raises:
            ValueError: the media have another number of tokens than `ids_BT` has `<|media_pad|>`, or more frames in a
                chunk than the vision tower knows; `cache` is full; segments continue others and positions are missing.
        """
        if media is not None and features_MD is None:
            features_MD = self.encode(media)
        if positions_BT is None:
            positions_BT = default_positions(ids_BT, segments_BT, cache, continues_BT=continues_BT)
        return self.language_model.model(
            self.embed(ids_BT, features_MD),
            positions_BT=positions_BT,
            segments_BT=segments_BT,
            continues_BT=continues_BT,
            collect=collect,
            clip_threshold=clip_threshold,
            cache=cache,
            replay_BTLK=replay_BTLK,
            keep_routing=keep_routing,
        )

    def encode(self, media: MediaBatch) -> Tensor:
        """One row for each media token: [M, D]."""
        return self.mm_projector(self.vision_tower(media, dtype=self.compute_dtype))

    def embed(self, ids_BT: Tensor, features_MD: Tensor | None = None) -> Tensor:
        """Token embeddings with media features in place of `<|media_pad|>`: [B, T, D]."""
        ids_N = ids_BT.long().flatten()
        x_ND = F.embedding(ids_N, self.language_model.model.embed_tokens.weight).to(self.compute_dtype)
        at_M = (ids_N == self.config.media_placeholder_token_id).nonzero().flatten()
        given = 0 if features_MD is None else features_MD.shape[0]
        if at_M.numel() != given:
            raise ValueError(
                f"{at_M.numel()} <|media_pad|> tokens but {given} media features; render and media must agree"
            )
        if features_MD is not None:
            x_ND = x_ND.index_put((at_M,), features_MD.to(x_ND.dtype))
        return x_ND.view(*ids_BT.shape, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] → [..., V]."""
        return self.language_model.logits(hidden)

    @property
    def head_weight(self) -> Tensor:
        """[V, D], for `chunked_cross_entropy`."""
        return self.language_model.lm_head.weight

    def set_context(self, config: ModelConfig) -> None:
        """Moves to another stage's context (`ModelConfig.with_context`): rotary frequencies change, weights do not."""
        self.config = config
        self.language_model.model.rope = Rope.of(config.text)


def default_positions(
    ids_BT: Tensor,
    segments_BT: Tensor | None,
    cache: MlaCache | None = None,
    *,
    continues_BT: Tensor | None = None,
) -> Tensor:
    """Positions that start at 0 with every segment (run of equal ids), or go on where the cache ends.

    Raises:
        ValueError: segments continue others: whoever packed them knows where they go on.
    """
    if continues_BT is not None:
        raise ValueError("segments that continue others need positions_BT, which go on from those")
    index_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
    if cache is not None:
        return index_BT + cache.lengths_B[:, None]
    if segments_BT is None:
        return index_BT
    starts_BT = torch.ones_like(segments_BT, dtype=torch.bool)
    starts_BT[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    return index_BT - torch.where(starts_BT, index_BT, 0).cummax(dim=1).values


def build(
    config: ModelConfig,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    compute_dtype: torch.dtype | None = None,
) -> K25:
    """A fresh model whose every tensor comes from its own named stream; device "meta" allocates nothing."""
    with torch.device("meta"):
        model = K25(config, compute_dtype=compute_dtype or dtype)
    model = model.to(dtype)
    for name, bias in router_biases(model):
        model.get_submodule(name).register_buffer("e_score_correction_bias", bias.float())
    if torch.device(device).type == "meta":
        return model
    model = model.to_empty(device=device)
    initialise(model, std=config.text.initializer_range, seed=seed)
    return model


def router_biases(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each router's module name and its balancing bias, which stays fp32 whatever the weights are."""
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            yield name.rpartition(".")[0], buffer
