"""The mixture of experts: sigmoid router with a balancing bias, routed experts, one shared expert.

    s = sigmoid(x @ gate.T) in fp32;  chosen = top-k of s + bias;  w = s[chosen] / sum * routed_scaling_factor
    y = sum_e w_e Expert_e(x) + Shared(x)

The bias only chooses. It is no parameter: after a step `update_bias` moves it by a fixed rate towards even load (no
loss involved). Beside it stands a small sequence-level balance loss, here a mean over samples weighted by their length,
so that packing does not change it. Counts are returned, never kept in the module.

Routing replay: tokens go to experts that were recorded elsewhere, weighed by the scores of now, so gradients reach the
gates of those experts. Counts and balance loss go on to speak of what the router itself would have chosen.

Report: §4.1 (K2 backbone: 384 experts, 8 active); DeepSeek-V3 §2.1.2; loss-free balancing: Wang et al., 2024; routing
replay: Ma et al., 2025.

Shapes: N tokens, D width, E experts, K experts a token, I expert width, S samples, P pieces of them.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from manyeyes.core.trajectory import UNROUTED
from manyeyes.model.config import TextConfig
from manyeyes.model.dispatch import combine, dispatch, sort_by_expert
from manyeyes.model.experts import expert_outputs
from manyeyes.model.feed_forward import FeedForward
from manyeyes.model.precision import linear


class Choice(NamedTuple):
    """The router's decision: chosen experts, their weights, and all scores (fp32)."""

    expert_NK: Tensor
    weight_NK: Tensor
    score_NE: Tensor


class MoEOutput(NamedTuple):
    """The layer's output; with `collect`, tokens per expert and the balance loss (0-dim, without its weight).

    Attributes:
        expert_NK: where each token was sent; None where there is no router.
    """

    y_ND: Tensor
    counts_E: Tensor | None
    balance_loss: Tensor | None
    expert_NK: Tensor | None = None


class Samples(NamedTuple):
    """Which tokens make up which sample, for the balance loss.

    A sample is a piece, or, where several begin with one that was computed once, that one and a piece of its own.

    Attributes:
        token_N: tokens piece by piece, padding left out; None where every token counts, in order.
        lengths_P: tokens of each piece.
        pieces_SP: fp32, 1 where a piece is part of a sample; None where each piece is a sample.
    """

    token_N: Tensor | None
    lengths_P: Tensor
    pieces_SP: Tensor | None = None

    @property
    def lengths_S(self) -> Tensor:
        """Tokens of each sample."""
        return self.whole(self.lengths_P[:, None].float())[:, 0].long()

    @property
    def times_P(self) -> Tensor:
        """Samples that each piece is part of."""
        return torch.ones_like(self.lengths_P) if self.pieces_SP is None else self.pieces_SP.sum(0).long()

    def whole(self, x_PE: Tensor) -> Tensor:
        """Of each sample, the sum over its pieces: [S, E]."""
        return x_PE if self.pieces_SP is None else self.pieces_SP @ x_PE


class Gate(nn.Module):
    """The router's weight and its balancing bias."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        self.register_buffer("e_score_correction_bias", torch.zeros(config.n_routed_experts, dtype=torch.float32))
        self.e_score_correction_bias: Tensor


class Experts(nn.Module):
    """All routed experts, stacked: [E, I, D], [E, I, D], [E, D, I]."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        n, inner, width = config.n_routed_experts, config.moe_intermediate_size, config.hidden_size
        self.gate_proj = nn.Parameter(torch.empty(n, inner, width))
        self.up_proj = nn.Parameter(torch.empty(n, inner, width))
        self.down_proj = nn.Parameter(torch.empty(n, width, inner))

    def forward(self, x_MD: Tensor, weight_M: Tensor, counts_E: Tensor) -> Tensor:
        """Rows sorted by expert in, weighted outputs in the same order out."""
        matrices = {"gate_EID": self.gate_proj, "up_EID": self.up_proj, "down_EDI": self.down_proj}
        return expert_outputs(x_MD, weight_M, **matrices, counts_E=counts_E)


class MoE(nn.Module):
    """Router, routed experts and shared expert of one layer."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.gate = Gate(config)
        self.experts = Experts(config)
        self.shared_experts = FeedForward(config.hidden_size, config.shared_intermediate_size)

    def forward(self, x_ND: Tensor, *, samples: Samples | None = None, recorded_NK: Tensor | None = None) -> MoEOutput:
        """All tokens through their experts.

        Args:
            samples: asks for counts and balance loss over these samples (padding is counted nowhere).
            recorded_NK: experts to replay; `UNROUTED` throughout a row lets the router choose.
        """
        c = self.config
        own = route(
            x_ND,
            self.gate.weight,
            self.gate.e_score_correction_bias,
            top_k=c.num_experts_per_tok,
            scale=c.routed_scaling_factor,
            normalise=c.norm_topk_prob,
        )
        choice = own
        if recorded_NK is not None:
            choice = replayed(own, recorded_NK, scale=c.routed_scaling_factor, normalise=c.norm_topk_prob)
        routing = sort_by_expert(choice.expert_NK, c.n_routed_experts)
        weight_M = sorted_weights(choice.weight_NK, routing.row_NK).to(x_ND.dtype)
        routed_ND = combine(self.experts(dispatch(x_ND, routing), weight_M, routing.counts_E), routing)
        y_ND = routed_ND + self.shared_experts(x_ND)
        if samples is None:
            return MoEOutput(y_ND, None, None, choice.expert_NK)
        return MoEOutput(y_ND, count(own, samples), balance_loss(own, samples), choice.expert_NK)


def route(x_ND: Tensor, gate_ED: Tensor, bias_E: Tensor, *, top_k: int, scale: float, normalise: bool = True) -> Choice:
    """Chooses `top_k` experts a token by score + bias, weighs them by score alone; all in fp32."""
    score_NE = torch.sigmoid(linear(x_ND.float(), gate_ED))
    expert_NK = (score_NE.detach() + bias_E).topk(top_k, dim=-1, sorted=False).indices
    return Choice(expert_NK, _weights(score_NE, expert_NK, scale=scale, normalise=normalise), score_NE)


def replayed(own: Choice, recorded_NK: Tensor, *, scale: float, normalise: bool = True) -> Choice:
    """The recorded experts, weighed by the scores of now; rows that are `UNROUTED` keep the router's own."""
    known_N1 = recorded_NK[:, :1] != UNROUTED
    expert_NK = torch.where(known_N1, recorded_NK.to(own.expert_NK.dtype), own.expert_NK)
    return Choice(expert_NK, _weights(own.score_NE, expert_NK, scale=scale, normalise=normalise), own.score_NE)


def _weights(score_NE: Tensor, expert_NK: Tensor, *, scale: float, normalise: bool) -> Tensor:
    weight_NK = score_NE.gather(1, expert_NK)
    if normalise:
        weight_NK = weight_NK / (weight_NK.sum(-1, keepdim=True) + 1e-20)
    return weight_NK * scale


def sorted_weights(weight_NK: Tensor, row_NK: Tensor) -> Tensor:
    """Routing weights in the order of the sorted rows [M] (a permutation, so its gradient is a gather too)."""
    inverse_M = torch.empty_like(row_NK.view(-1))
    inverse_M[row_NK.view(-1)] = torch.arange(row_NK.numel(), device=row_NK.device)
    return weight_NK.flatten()[inverse_M]


def count(choice: Choice, samples: Samples) -> Tensor:
    """Tokens that chose each expert, int64 [E]; those of a piece once for each sample that it is part of."""
    expert_NK = choice.expert_NK if samples.token_N is None else choice.expert_NK[samples.token_N]
    if samples.pieces_SP is not None:
        expert_NK = expert_NK.repeat_interleave(samples.times_P.repeat_interleave(samples.lengths_P), dim=0)
    return torch.bincount(expert_NK.flatten(), minlength=choice.score_NE.shape[1])


def balance_loss(choice: Choice, samples: Samples) -> Tensor:
    """Sequence-level balance: for a sample of T tokens, sum_e f_e P_e, averaged over samples by their length.

    f_e = E / (K T) * |tokens that chose e|, P_e = mean over tokens of s_e / sum(s). It is 1 where load is even,
    and 0 where there is no sample.
    """
    if not len(samples.lengths_P):
        return choice.score_NE.new_zeros(())
    n_experts, top_k = choice.score_NE.shape[1], choice.expert_NK.shape[1]
    share_NE = choice.score_NE / choice.score_NE.sum(-1, keepdim=True)
    chosen_NE = torch.zeros_like(share_NE).scatter_(1, choice.expert_NK, 1.0)
    if samples.token_N is not None:
        share_NE, chosen_NE = share_NE[samples.token_N], chosen_NE[samples.token_N]
    chosen_SE = samples.whole(torch.segment_reduce(chosen_NE, "sum", lengths=samples.lengths_P, axis=0))
    share_SE = samples.whole(torch.segment_reduce(share_NE, "sum", lengths=samples.lengths_P, axis=0))
    length_S1 = samples.lengths_S[:, None].to(share_SE.dtype)
    return (chosen_SE * share_SE / length_S1).sum() * (n_experts / (top_k * length_S1.sum()))


@torch.no_grad()
def update_bias(bias_E: Tensor, counts_E: Tensor, rate: float) -> None:
    """Loss-free balancing: b_e += rate * sign(mean load - load_e), in place. Works on [L, E] too."""
    load = counts_E.to(bias_E.dtype)
    bias_E.add_(torch.sign(load.mean(-1, keepdim=True) - load), alpha=rate)
