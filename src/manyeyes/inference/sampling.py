"""From scores to a token: temperature, cuts, and one uniform number per token from a named stream.

    p = softmax(logits / temperature), cut to the top_k likeliest, to those of at least min_p of the likeliest, and to
    the smallest set whose mass reaches top_p; renormalised
    token = first index whose cumulative p exceeds u,  u = stream(seed, "inference/sample", request)[position]

A request draws from its own stream, so what it says does not depend on what else is in the batch. Log-probabilities are
those of the distribution that was really sampled from; greedy decoding (temperature 0) reports the plain softmax. Ids
that the caller left out have a score of -inf, and no part in either. Rows are computed together; what then depends in
its last bits on the other rows (how many ids are looked at to cut a tail, what a vector of logarithms leaves over) is
computed `apart` where not even that may be.

Report: App. D (log-probabilities of every sampled token).
Shapes: B rows, V vocabulary, K likeliest.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.core.sampler import GREEDY, SamplingParams

__all__ = ["GREEDY", "Choice", "SamplingParams", "choose", "choose_each", "cut", "nucleus", "top_alternatives"]

_LIKELIEST = 256
"""Enough for most nuclei: finding them costs a seventh of sorting 8,192 scores (measured)."""

_BLOCK = 128


class Choice(NamedTuple):
    """The chosen token of each row and its log-probability."""

    token_B: Tensor
    logprob_B: Tensor


def choose(logits_BV: Tensor, params: SamplingParams, uniform_B: Tensor) -> Choice:
    """One token for each row of scores, all by the same parameters.

    Args:
        uniform_B: one number in [0, 1) a row; not read when greedy.
    """
    return choose_each(logits_BV, [params] * len(logits_BV), uniform_B)


def choose_each(
    logits_BV: Tensor, params: Sequence[SamplingParams], uniform_B: Tensor, *, apart: bool = False
) -> Choice:
    """One token for each row of scores, each by its own parameters.

    Args:
        apart: what is said of a row is to the last bit the same whatever rows are beside it.
    """
    drawn = [row for row, one in enumerate(params) if not one.greedy]
    if not drawn:
        return _likeliest(logits_BV.float())
    if len(drawn) == len(params):
        return _drawn(logits_BV.float(), params, uniform_B, apart=apart)
    found = _likeliest(logits_BV.float())
    rows = torch.tensor(drawn, device=logits_BV.device)
    some = _drawn(logits_BV[rows].float(), [params[row] for row in drawn], uniform_B[rows], apart=apart)
    return Choice(found.token_B.index_copy(0, rows, some.token_B), found.logprob_B.index_copy(0, rows, some.logprob_B))


def _likeliest(logits_BV: Tensor) -> Choice:
    """Of the scores, not of their log-softmax, which may lose their last bits."""
    token_B = first_largest(logits_BV)
    return Choice(token_B, logits_BV.log_softmax(-1).gather(1, token_B[:, None])[:, 0])


def first_largest(x_BV: Tensor) -> Tensor:
    """`argmax(-1)`, of blocks first: a row's largest number is found twelve times as fast as its place (measured)."""
    rows, width = x_BV.shape
    if x_BV.device.type != "cpu" or width % _BLOCK:
        return x_BV.argmax(-1)
    blocks_BKb = x_BV.view(rows, -1, _BLOCK)
    block_B1 = blocks_BKb.amax(-1).argmax(-1, keepdim=True)
    inside_B = blocks_BKb[torch.arange(rows), block_B1[:, 0]].argmax(-1)
    return block_B1[:, 0] * _BLOCK + inside_B


def _drawn(logits_BV: Tensor, params: Sequence[SamplingParams], uniform_B: Tensor, *, apart: bool) -> Choice:
    p_BV = distribution(logits_BV, params, apart=apart)
    reached_BV = p_BV.double().cumsum(-1)
    aim_B1 = uniform_B[:, None].double() * reached_BV[:, -1:]
    token_B = torch.searchsorted(reached_BV, aim_B1, right=True)[:, 0].clamp_max(p_BV.shape[1] - 1)
    p_B = p_BV.gather(1, token_B[:, None])[:, 0]
    return Choice(token_B, _each_log(p_B) if apart else p_B.log())


def _each_log(p_B: Tensor) -> Tensor:
    logs = [math.log(p) if p != 0.0 else -math.inf for p in p_B.tolist()]
    return torch.tensor(logs, dtype=p_B.dtype, device=p_B.device)


def distribution(logits_BV: Tensor, params: Sequence[SamplingParams], *, apart: bool = False) -> Tensor:
    """What rows that are not greedy are sampled from: [B, V]."""
    temperature_B = torch.tensor([one.temperature for one in params], dtype=torch.float64, device=logits_BV.device)
    below_BV = logits_BV - logits_BV.amax(-1, keepdim=True)  # a tiny temperature must not overflow
    fp32 = torch.finfo(torch.float32)  # and -inf / inf is no number
    p_BV = (below_BV / temperature_B[:, None].clamp(fp32.tiny, fp32.max).float()).softmax(-1)
    cutting = [row for row, one in enumerate(params) if one.top_p < 1.0 or one.top_k or one.min_p]
    if apart:
        for row in cutting:
            p_BV[row] = cut(p_BV[row : row + 1], params[row : row + 1])[0]
        return p_BV
    if len(cutting) == len(params):
        return cut(p_BV, params)
    if cutting:
        rows = torch.tensor(cutting, device=logits_BV.device)
        p_BV[rows] = cut(p_BV[rows], [params[row] for row in cutting])
    return p_BV


def cut(p_BV: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Probabilities after top_k, then min_p, then top_p, renormalised; the likeliest token always stays."""
    n_vocab = p_BV.shape[1]
    most = max(_LIKELIEST, *(one.top_k for one in params))
    if most < n_vocab:
        value_BK, index_BK = p_BV.topk(most, dim=-1)
        if _suffices(value_BK, params):
            return _kept(p_BV, value_BK, index_BK, params)
    return _kept(p_BV, *p_BV.sort(dim=-1, descending=True, stable=True), params)


def _suffices(value_BK: Tensor, params: Sequence[SamplingParams]) -> bool:
    """Whether no row keeps more than the likeliest ones at hand."""
    mass = value_BK.sum(-1).tolist()
    last, first = value_BK[:, -1].tolist(), value_BK[:, 0].tolist()
    return all(
        bool(one.top_k) or (low < one.min_p * high if one.min_p else m > one.top_p + 1e-6)
        for one, m, low, high in zip(params, mass, last, first, strict=True)
    )


def _kept(p_BV: Tensor, value_BK: Tensor, index_BK: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    device, n = p_BV.device, value_BK.shape[1]
    top_k_B = torch.tensor([min(one.top_k, n) or n for one in params], device=device)
    min_p_B = torch.tensor([one.min_p for one in params], device=device)
    top_p_B = torch.tensor([one.top_p for one in params], dtype=torch.float64, device=device)
    stays_BK = torch.arange(n, device=device) < top_k_B[:, None]
    stays_BK &= value_BK >= min_p_B[:, None] * value_BK[:, :1]
    some_BK = value_BK.where(stays_BK, 0.0)
    some_of_all_B = torch.tensor([0 < one.top_k < p_BV.shape[1] for one in params], device=device)
    narrow = some_of_all_B | (min_p_B > 0)  # the nucleus is one of what the other cuts leave
    mass_B1 = some_BK.double().sum(-1, keepdim=True).where(narrow[:, None], torch.ones((), dtype=torch.float64))
    before_BK = some_BK.double().cumsum(-1) - some_BK
    stays_BK &= (before_BK < top_p_B[:, None] * mass_B1) | (top_p_B[:, None] >= 1.0)
    stays_BK[:, 0] = True  # also where a tiny top_p times the mass is 0
    kept_BV = torch.zeros_like(p_BV).scatter(1, index_BK, value_BK.where(stays_BK, 0.0))
    return kept_BV / kept_BV.sum(-1, keepdim=True)


def nucleus(p_BV: Tensor, top_p: float) -> Tensor:
    """The smallest set of tokens whose mass reaches `top_p`, renormalised; the likeliest token always stays."""
    if top_p >= 1.0:
        return p_BV
    return cut(p_BV, [SamplingParams(top_p=top_p)] * len(p_BV))


def top_alternatives(logits_V: Tensor, params: SamplingParams) -> list[tuple[int, float]]:
    """The likeliest `params.top_logprobs` ids that could have been sampled, with their log-probabilities."""
    logits_1V = logits_V[None].float()
    log_p_V = logits_1V.log_softmax(-1)[0] if params.greedy else distribution(logits_1V, [params]).log()[0]
    value, index = log_p_V.topk(min(params.top_logprobs, len(log_p_V)))
    pairs = zip(index.tolist(), value.tolist(), strict=True)
    return [(token, logprob) for token, logprob in pairs if logprob > -torch.inf]
