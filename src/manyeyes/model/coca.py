"""The text half of MoonViT-3D's own training: a CoCa decoder beside the vision tower, trained with two losses.

    L = L_siglip(pooled image, pooled text) + L_caption(next token | text before, image)

The lower layers read text alone, causally; a [cls] vector behind the last token sums it up for the contrastive loss.
The upper layers also look at the image's tokens and predict the caption. The image is summed up by one learned query.

    L_siglip = -1/B sum_ij log sigmoid(z_ij (exp(logit_scale) x_i . y_j + logit_bias)),  z = 1 for pairs, -1 otherwise

Report: §4.3 (ViT training stage); CoCa: Yu et al., 2022; SigLIP: Zhai et al., 2023.

Shapes: B captions, T tokens, D width, E embedding width, M image tokens of all captions, S most image tokens of one
caption, H heads, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manyeyes.core.errors import ConfigError
from manyeyes.model.config import ModelConfig
from manyeyes.model.feed_forward import FeedForward
from manyeyes.model.initial_weights import initialise
from manyeyes.model.precision import LayerNorm, Linear
from manyeyes.model.rms_norm import RMSNorm
from manyeyes.model.rope import inverse_frequencies, rotate


@dataclass(frozen=True, slots=True)
class CocaConfig:
    """Shape of the text decoder.

    Example:
        >>> CocaConfig(vocab_size=2048, vision_hidden_size=128).head_dim
        32
    """

    vocab_size: int
    vision_hidden_size: int
    hidden_size: int = 128
    intermediate_size: int = 384
    num_attention_heads: int = 4
    num_unimodal_layers: int = 2
    num_multimodal_layers: int = 2
    embedding_size: int = 128
    patches_per_token: int = 4
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ConfigError(
                f"hidden_size {self.hidden_size} must be a multiple of 2 * num_attention_heads = "
                f"{2 * self.num_attention_heads}"
            )

    @property
    def head_dim(self) -> int:
        """Width of an attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def beside(cls, config: ModelConfig) -> "CocaConfig":
        """A decoder as wide as the vision tower of `config`, with its vocabulary."""
        v = config.vision
        return cls(
            vocab_size=config.text.vocab_size,
            vision_hidden_size=v.vt_hidden_size,
            hidden_size=v.vt_hidden_size,
            intermediate_size=3 * v.vt_hidden_size,
            num_attention_heads=v.vt_num_attention_heads,
            embedding_size=v.vt_hidden_size,
            patches_per_token=v.patches_per_token,
        )


class CocaOutput(NamedTuple):
    """Unit-length embeddings of images and captions, and the decoder's states from which captions are predicted."""

    image_BE: Tensor
    text_BE: Tensor
    hidden_BTD: Tensor


class SelfAttention(nn.Module):
    """Causal multi-head attention with rotary positions."""

    def __init__(self, config: CocaConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.wqkv = Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.wo = Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor, turns_T1R: Tensor) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        q, k, v = self.wqkv(x_BTD).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q, k = rotate(q, turns_T1R), rotate(k, turns_T1R)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return self.wo(y.transpose(1, 2).flatten(-2))


class CrossAttention(nn.Module):
    """Queries from text (or one learned query), keys and values from image tokens."""

    def __init__(self, config: CocaConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.wq = Linear(config.hidden_size, config.hidden_size, bias=False)
        self.wkv = Linear(config.hidden_size, 2 * config.hidden_size, bias=False)
        self.wo = Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor, image_BSD: Tensor, visible_BS: Tensor | None) -> Tensor:
        """Looks at image tokens where `visible_BS` (None: everywhere)."""
        q = self.wq(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.wkv(image_BSD).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if visible_BS is None else visible_BS[:, None, None].expand(-1, -1, x_BTD.shape[1], -1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.wo(y.transpose(1, 2).flatten(-2))


class DecoderLayer(nn.Module):
    """Causal self-attention, optional look at the image, feed-forward; all pre-norm."""

    def __init__(self, config: CocaConfig, *, multimodal: bool) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.rms_norm_eps
        self.norm0, self.attn = RMSNorm(width, eps), SelfAttention(config)
        self.look = nn.ModuleDict({"norm": RMSNorm(width, eps), "attn": CrossAttention(config)} if multimodal else {})
        self.norm1, self.mlp = RMSNorm(width, eps), FeedForward(width, config.intermediate_size)

    def forward(self, x_BTD: Tensor, turns_T1R: Tensor, image: tuple[Tensor, Tensor | None] | None = None) -> Tensor:
        """`image` is what `padded_images` returns, for multimodal layers."""
        x_BTD = x_BTD + self.attn(self.norm0(x_BTD), turns_T1R)
        if image is not None:
            x_BTD = x_BTD + self.look["attn"](self.look["norm"](x_BTD), *image)
        return x_BTD + self.mlp(self.norm1(x_BTD))


class CocaText(nn.Module):
    """The decoder, the image pooler, SigLIP's temperature and bias (from exp(logit_scale) = 10, logit_bias = -10)."""

    def __init__(self, config: CocaConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, width)
        self.cls = nn.Parameter(torch.empty(1, width))
        self.unimodal = nn.ModuleList(DecoderLayer(config, multimodal=False) for _ in range(config.num_unimodal_layers))
        self.multimodal = nn.ModuleList(
            DecoderLayer(config, multimodal=True) for _ in range(config.num_multimodal_layers)
        )
        self.norm = RMSNorm(width, config.rms_norm_eps)
        self.lm_head = Linear(width, config.vocab_size, bias=False)
        self.image_norm = LayerNorm(config.vision_hidden_size)
        self.image_in = Linear(config.vision_hidden_size * config.patches_per_token, width, bias=False)
        self.image_query = nn.Parameter(torch.empty(1, width))
        self.image_pool = CrossAttention(config)
        self.image_out = Linear(width, config.embedding_size, bias=False)
        self.text_norm = RMSNorm(width, config.rms_norm_eps)
        self.text_out = Linear(width, config.embedding_size, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.logit_bias = nn.Parameter(torch.tensor(-10.0))

    def forward(
        self, ids_BT: Tensor, *, lengths_B: Tensor, merged_M4D: Tensor, image_tokens: tuple[int, ...]
    ) -> CocaOutput:
        """Reads captions beside their images.

        Args:
            ids_BT: right-padded captions, [BOS] first.
            lengths_B: tokens of each caption.
            merged_M4D: `MoonViT3D`'s output for all captions, in order.
            image_tokens: how many of its rows belong to each caption (an image, or all chunks of a video).
        """
        image = padded_images(self._image_states(merged_M4D), image_tokens)
        turns_T1R = self._turns(ids_BT.shape[1] + 1, device=ids_BT.device)
        x_BTD = self._with_cls(ids_BT, lengths_B).to(merged_M4D.dtype)
        for layer in self.unimodal:
            x_BTD = layer(x_BTD, turns_T1R)
        summary_BD = self.text_norm(x_BTD[torch.arange(len(lengths_B), device=x_BTD.device), lengths_B])
        x_BTD, turns_T1R = x_BTD[:, :-1], turns_T1R[:-1]
        for layer in self.multimodal:
            x_BTD = layer(x_BTD, turns_T1R, image)
        query_B1D = self.image_query.to(x_BTD.dtype).expand(len(image_tokens), 1, -1)
        pooled_BD = self.image_pool(query_B1D, *image)[:, 0]
        return CocaOutput(
            image_BE=F.normalize(self.image_out(pooled_BD).float(), dim=-1),
            text_BE=F.normalize(self.text_out(summary_BD).float(), dim=-1),
            hidden_BTD=self.norm(x_BTD),
        )

    @property
    def head_weight(self) -> Tensor:
        """[V, D], for `chunked_cross_entropy`."""
        return self.lm_head.weight

    def _image_states(self, merged_M4D: Tensor) -> Tensor:
        return self.image_in(self.image_norm(merged_M4D).flatten(-2))

    def _with_cls(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        x_BTD = F.pad(F.embedding(ids_BT.long(), self.embed_tokens.weight), (0, 0, 0, 1))
        is_cls_BT = torch.arange(x_BTD.shape[1], device=ids_BT.device) == lengths_B[:, None]
        return torch.where(is_cls_BT[..., None], self.cls, x_BTD)

    def _turns(self, length: int, *, device: torch.device) -> Tensor:
        inv_freq = torch.tensor(inverse_frequencies(self.config.head_dim, self.config.rope_theta), device=device)
        angles = torch.arange(length, dtype=torch.float32, device=device)[:, None, None] * inv_freq
        return torch.polar(torch.ones_like(angles), angles)


def build_coca(config: CocaConfig, *, seed: int = 0, device: torch.device | str = "cpu") -> CocaText:
    """A fresh decoder; its draws are named apart from the model's."""
    coca = CocaText(config)
    initialise(coca, std=config.initializer_range, seed=seed, prefix="coca/")
    return coca.to(device)


def padded_images(image_MD: Tensor, image_tokens: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
    """Image tokens as [B, S, D] with a mask [B, S] of those that exist (None where all images have the same count)."""
    if len(set(image_tokens)) == 1:
        return image_MD.unflatten(0, (len(image_tokens), -1)), None
    padded_BSD = nn.utils.rnn.pad_sequence(list(image_MD.split(list(image_tokens))), batch_first=True)
    lengths_B = torch.tensor(image_tokens, device=image_MD.device)
    return padded_BSD, torch.arange(padded_BSD.shape[1], device=image_MD.device) < lengths_B[:, None]


def siglip_loss(
    image_BE: Tensor,
    text_BE: Tensor,
    *,
    logit_scale: Tensor,
    logit_bias: Tensor,
    positive_BB: Tensor | None = None,
) -> Tensor:
    """The sigmoid loss of every image with every caption, a mean over images.

    Args:
        positive_BB: which pairs match; by default the diagonal. Equal captions of several images should all match.
    """
    logits_BB = logit_scale.exp() * image_BE @ text_BE.T + logit_bias
    if positive_BB is None:
        positive_BB = torch.eye(len(image_BE), dtype=torch.bool, device=image_BE.device)
    sign_BB = positive_BB.to(logits_BB.dtype) * 2 - 1
    return -F.logsigmoid(sign_BB * logits_BB).sum() / len(image_BE)
