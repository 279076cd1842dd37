"""The language backbone: pre-norm blocks of latent attention and a (dense or mixture-of-experts) feed-forward.

    x += Attention(rms(x, input_layernorm));  x += FFN(rms(x, post_attention_layernorm));  hidden = rms(x, norm)

Everything that is learned about a step beside its loss (tokens per expert, balance loss, attention logits) comes back
in `BackboneOutput`; the module remembers nothing.

Report: §4.1 (K2: 61 layers, 384 experts with 8 active, 64 heads).

Shapes: B rows, T positions, D width, L layers, E experts, H heads.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from manyeyes.model.attention import Attention, MlaCache, Rows
from manyeyes.model.config import TextConfig
from manyeyes.model.feed_forward import FeedForward
from manyeyes.model.moe import MoE, MoEOutput, Samples, update_bias
from manyeyes.model.packed_attention import plan_of
from manyeyes.model.precision import Linear
from manyeyes.model.rms_norm import RMSNorm
from manyeyes.model.rope import Rope
from manyeyes.model.spans import Span, spans_of, whole_samples


class BackboneOutput(NamedTuple):
    """What a forward pass yields.

    Attributes:
        hidden_BTD: after the final norm; padding positions hold values that mean nothing.
        expert_counts_LE: int64, tokens per expert of the L mixture layers (`collect` only).
        aux_loss: balance loss summed over layers, already weighted by `aux_loss_alpha`, a mean over tokens (0 without
            `collect`).
        max_logit_LH: fp32, for each layer and head the largest attention logit, exact where it could reach
            `clip_threshold`; below, see `packed_attention.Attended` (`collect` only). -inf where all is padding.
        routing_BTLK: the experts that the L mixture layers sent each token to (`keep_routing` only).
    """

    hidden_BTD: Tensor
    expert_counts_LE: Tensor | None
    aux_loss: Tensor
    max_logit_LH: Tensor | None
    routing_BTLK: Tensor | None = None


class LayerOutput(NamedTuple):
    """One block's output and what it observed."""

    x_BTD: Tensor
    counts_E: Tensor | None
    balance_loss: Tensor | None
    max_logit_H: Tensor | None
    expert_NK: Tensor | None


class Layer(nn.Module):
    """One pre-norm block."""

    def __init__(self, config: TextConfig, *, dense: bool) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config.hidden_size, config.intermediate_size) if dense else MoE(config)

    def forward(
        self,
        x_BTD: Tensor,
        rows: Rows,
        *,
        samples: Samples | None,
        cache: MlaCache | None = None,
        number: int = 0,
        recorded_NK: Tensor | None = None,
    ) -> LayerOutput:
        """One block; `number` is this layer's place in the cache, `recorded_NK` experts to replay (see `MoE`)."""
        attended = self.self_attn(self.input_layernorm(x_BTD), rows, cache=cache, layer=number)
        x_BTD = x_BTD + attended.y_BTD
        normed = self.post_attention_layernorm(x_BTD)
        if isinstance(self.mlp, FeedForward):
            fed = MoEOutput(self.mlp(normed), None, None)
        else:
            fed = self.mlp(normed.flatten(0, 1), samples=samples, recorded_NK=recorded_NK)
        x_BTD = x_BTD + fed.y_ND.view_as(x_BTD)
        return LayerOutput(x_BTD, fed.counts_E, fed.balance_loss, attended.max_logit_H, fed.expert_NK)


class Backbone(nn.Module):
    """Embedding table, layers and final norm (`language_model.model` of the checkpoint)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.rope = Rope.of(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, dense=i < config.first_k_dense_replace) for i in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x_BTD: Tensor,
        *,
        positions_BT: Tensor,
        segments_BT: Tensor | None = None,
        continues_BT: Tensor | None = None,
        collect: bool = False,
        clip_threshold: float = math.inf,
        cache: MlaCache | None = None,
        replay_BTLK: Tensor | None = None,
        keep_routing: bool = False,
    ) -> BackboneOutput:
        """Runs all layers over embedded rows.

        Args:
            positions_BT: position of each token in its own sample.
            segments_BT: equal ids in a run = one sample, -1 = padding; None = every row is one sample.
            continues_BT: the id of the earlier segment of the row that a position's own continues, and so sees whole;
                -1 for none. Positions go on from there.
            collect: also return expert counts, balance loss and largest logits.
            clip_threshold: QK-Clip's threshold; a bound that could reach it is replaced by the exact maximum.
            cache: keys and values of the past, extended in place. Rows are then one left-aligned sequence each;
                padding may only follow its end.
            replay_BTLK: experts of the L mixture layers to replay instead of routing; `UNROUTED` throughout the K of a
                token and layer lets the router choose.
            keep_routing: also return where each token was sent.

        Raises:
            ValueError: `replay_BTLK` has another shape; `cache` is full.
        """
        rows, length = positions_BT.shape
        if cache is not None:
            cache.require_room(length)
        recorded = self._recorded(replay_BTLK, rows, length)
        spans = spans_of(segments_BT, rows=rows, length=length, continues_BT=continues_BT)
        plan = plan_of(spans, rows=rows, length=length, dtype=x_BTD.dtype)
        threshold = clip_threshold if collect else None
        layout = Rows(self.rope.turns(positions_BT), plan, self.rope.softmax_scale, threshold)
        samples = samples_of(spans, segments_BT) if collect else None
        seen: list[LayerOutput] = []
        for number, layer in enumerate(self.layers):
            out: LayerOutput = layer(
                x_BTD, layout, samples=samples, cache=cache, number=number, recorded_NK=recorded[number]
            )
            x_BTD = out.x_BTD
            seen.append(out._replace(x_BTD=x_BTD.new_empty(0), expert_NK=out.expert_NK if keep_routing else None))
        if cache is not None:
            n_new = length if segments_BT is None else (segments_BT >= 0).sum(1)
            cache.lengths_B += n_new
        return self._collected(self.norm(x_BTD), seen)

    def _recorded(self, replay_BTLK: Tensor | None, rows: int, length: int) -> Sequence[Tensor | None]:
        """For each layer the experts to replay, [B * T, K]."""
        c = self.config
        if replay_BTLK is None:
            return [None] * c.num_hidden_layers
        wanted = (rows, length, c.n_moe_layers, c.num_experts_per_tok)
        if tuple(replay_BTLK.shape) != wanted:
            raise ValueError(
                f"experts to replay must be [rows, tokens, mixture layers, experts a token] = {list(wanted)}, got "
                f"{list(replay_BTLK.shape)}; were they recorded with another model?"
            )
        return [*[None] * c.first_k_dense_replace, *replay_BTLK.flatten(0, 1).unbind(1)]

    def _collected(self, hidden_BTD: Tensor, seen: list[LayerOutput]) -> BackboneOutput:
        counts = [s.counts_E for s in seen if s.counts_E is not None]
        logits = [s.max_logit_H for s in seen if s.max_logit_H is not None]
        losses = [s.balance_loss for s in seen if s.balance_loss is not None]
        chosen = [s.expert_NK for s in seen if s.expert_NK is not None]
        aux = hidden_BTD.new_zeros((), dtype=torch.float32)
        if losses:
            aux = torch.stack(losses).sum() * self.config.aux_loss_alpha
        return BackboneOutput(
            hidden_BTD,
            torch.stack(counts) if counts else None,
            aux,
            torch.stack(logits) if logits else None,
            torch.stack(chosen, 1).unflatten(0, hidden_BTD.shape[:2]) if chosen else None,
        )

    def update_router_bias(self, counts_LE: Tensor, rate: float) -> None:
        """Loss-free balancing of every mixture layer from the counts of a whole step."""
        moe_layers = [layer.mlp for layer in self.layers if isinstance(layer.mlp, MoE)]
        for moe, counts_E in zip(moe_layers, counts_LE, strict=True):
            update_bias(moe.gate.e_score_correction_bias, counts_E, rate)


class LanguageModel(nn.Module):
    """Backbone and output head (`language_model` of the checkpoint)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.model = Backbone(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token, in the format of `hidden`."""
        return self.lm_head(hidden)


def samples_of(spans: tuple[Span, ...], segments_BT: Tensor | None) -> Samples:
    """The spans as lists of tokens for the balance loss; what is continued counts with each that continues it."""
    lengths = [span.length for span in spans for _ in range(span.rows)]
    token_N = None if segments_BT is None else (segments_BT.flatten() >= 0).nonzero().flatten()
    device = "cpu" if segments_BT is None else segments_BT.device
    pieces_SP = whole_samples(spans)
    return Samples(
        token_N,
        torch.tensor(lengths, dtype=torch.int64, device=device),
        None if pieces_SP is None else pieces_SP.to(device),
    )
