"""The mixture of experts for a step's tokens: no loop over all experts, however few rows each of them has.

    compiled       `kernels`: an expert reads its matrices once, for the rows that it has
    a few tokens   each chosen expert is multiplied by itself
    CPU            rows lie as [place, expert, D], so that all experts are one grouped product; the few experts that
                   have more rows than there are places do the rest by themselves
    elsewhere      rows sorted by expert, `grouped_mm`

Report: §4.1.

Shapes: N tokens, K experts a token, M = N * K routed rows, P places, E experts, D width, I expert width, J = 2I.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from manyeyes.inference.kernels import PackedExperts
from manyeyes.inference.weights import ExpertWeights, GroupedExperts
from manyeyes.model.config import TextConfig
from manyeyes.model.dispatch import Routing, combine, sort_by_expert
from manyeyes.model.experts import grouped
from manyeyes.model.moe import Choice, route, sorted_weights

OVERFULL = 8
"""One in so many experts may have more rows than there are places."""


def mixture(weights: ExpertWeights, config: TextConfig, x_ND: Tensor, chosen: list[Tensor] | None = None) -> Tensor:
    """Routed and shared experts of some tokens: [N, D]. Which they were [N, K] is appended to `chosen`."""
    c = config
    if isinstance(weights.routed, PackedExperts):
        routed = weights.routed
        expert_NK, weight_NK = routed.kernels.route(
            x_ND, routed.router, weights.bias_E,
            top_k=c.num_experts_per_tok, scale=c.routed_scaling_factor, normalise=c.norm_topk_prob,
        )  # fmt: skip
        if chosen is not None:
            chosen.append(expert_NK)
        return routed.add(x_ND, expert_NK, weight_NK, weights.shared(x_ND))
    choice = route(
        x_ND,
        weights.gate_ED,
        weights.bias_E,
        top_k=c.num_experts_per_tok,
        scale=c.routed_scaling_factor,
        normalise=c.norm_topk_prob,
    )
    if chosen is not None:
        chosen.append(choice.expert_NK)
    rows, on_cpu = choice.expert_NK.numel(), x_ND.device.type == "cpu"
    if on_cpu and 2 * rows <= c.n_routed_experts:
        return _few(weights.routed, x_ND, choice, weights.shared(x_ND))
    routing = sort_by_expert(choice.expert_NK, c.n_routed_experts)
    ways = _sorted if weights.routed.gate_up.packed is None else _placed
    return ways(weights.routed, x_ND, choice, routing).add_(weights.shared(x_ND))


def places_of(counts: list[int]) -> int:
    """Places an expert: enough for all but one in `OVERFULL` experts, in numbers that the kernel works well with.

    Measured: 16 places take less time than 12, 32 hardly more than 24.

    Example:
        >>> places_of([1, 2, 3, 4, 5, 6, 7, 100]), places_of([20] * 8)
        (8, 32)
    """
    enough = max(1, sorted(counts, reverse=True)[len(counts) // OVERFULL])
    return next((few for few in (1, 2, 4, 8) if enough <= few), -(-enough // 16) * 16)


def _few(weights: GroupedExperts, x_ND: Tensor, choice: Choice, y_ND: Tensor) -> Tensor:
    weight_NK = choice.weight_NK.to(x_ND.dtype)
    for row, experts in enumerate(choice.expert_NK.tolist()):
        x_1D, y_1D = x_ND[row : row + 1], y_ND[row : row + 1]
        both_KJ = torch.cat([F.linear(x_1D, weights.gate_up.weight_GOI[expert]) for expert in experts])
        inner_KI = _activated(both_KJ).mul_(weight_NK[row, :, None])
        for expert, inner_1I in zip(experts, inner_KI.split(1), strict=True):
            y_1D.addmm_(inner_1I, weights.down.weight_GOI[expert].T)
    return y_ND


def _placed(weights: GroupedExperts, x_ND: Tensor, choice: Choice, routing: Routing) -> Tensor:
    counts = routing.counts_E.tolist()
    n_experts, places = len(counts), places_of(counts)
    first_E = routing.counts_E.cumsum(0) - routing.counts_E
    place_NK = (routing.row_NK - first_E[choice.expert_NK]) * n_experts + choice.expert_NK
    token_P = x_ND.new_zeros(max(places, *counts) * n_experts, dtype=torch.int64)
    token_P[place_NK] = torch.arange(len(x_ND))[:, None]
    x_PED = x_ND.index_select(0, token_P[: places * n_experts]).view(places, n_experts, -1)
    parts = [weights.down(_activated(weights.gate_up(x_PED))).flatten(0, 1)]
    done = places * n_experts
    for expert, count in enumerate(counts):
        if count > places:
            at = torch.arange(places, count) * n_experts + expert
            parts.append(_alone(weights, x_ND.index_select(0, token_P[at]), expert))
            over_NK = (choice.expert_NK == expert) & (place_NK >= places * n_experts)
            place_NK = torch.where(over_NK, done + place_NK // n_experts - places, place_NK)
            done += count - places
    y_PD = torch.cat(parts) if len(parts) > 1 else parts[0]
    weight_NK = choice.weight_NK.to(x_ND.dtype)
    if x_ND.dtype == torch.float32:
        return F.embedding_bag(place_NK, y_PD, mode="sum", per_sample_weights=weight_NK)
    return (y_PD[place_NK] * weight_NK[..., None]).sum(1)


def _alone(weights: GroupedExperts, x_MD: Tensor, expert: int) -> Tensor:
    inner_MI = _activated(F.linear(x_MD, weights.gate_up.weight_GOI[expert]))
    return F.linear(inner_MI, weights.down.weight_GOI[expert])


def _sorted(weights: GroupedExperts, x_ND: Tensor, choice: Choice, routing: Routing) -> Tensor:
    ends_E = routing.counts_E.cumsum(0).to(torch.int32)
    weight_M = sorted_weights(choice.weight_NK, routing.row_NK).to(x_ND.dtype)
    x_MD = x_ND.index_select(0, routing.token_M)
    inner_MI = _activated(grouped(x_MD, weights.gate_up.weight_GOI.transpose(1, 2), ends_E)).mul_(weight_M[:, None])
    return combine(grouped(inner_MI, weights.down.weight_GOI.transpose(1, 2), ends_E), routing)


def _activated(both: Tensor) -> Tensor:
    """silu(gate) * up."""
    gate, up = both.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)
