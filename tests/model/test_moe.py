"""Laws of the mixture of experts: routing, moving rows, grouped products, balance."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from manyeyes.core.trajectory import UNROUTED
from manyeyes.model import experts
from manyeyes.model.backbone import samples_of
from manyeyes.model.config import tiny
from manyeyes.model.dispatch import combine, dispatch, sort_by_expert
from manyeyes.model.experts import expert_outputs
from manyeyes.model.feed_forward import swiglu
from manyeyes.model.initial_weights import initialise
from manyeyes.model.moe import Choice, MoE, Samples, balance_loss, count, route, sorted_weights, update_bias
from manyeyes.model.spans import spans_of

from .nearness import FORMATS, assert_near


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_layer_equals_a_loop_over_tokens() -> None:
    config = tiny().text
    moe = MoE(config)
    initialise(moe, std=0.2, seed=0)
    moe.gate.e_score_correction_bias.copy_(0.3 * draw(config.n_routed_experts, seed=1))
    x_ND = draw(9, config.hidden_size)
    expected = torch.stack([one_token(moe, x_D) for x_D in x_ND])
    torch.testing.assert_close(moe(x_ND).y_ND, expected, atol=1e-5, rtol=1e-5)


def one_token(moe: MoE, x_D: Tensor) -> Tensor:
    scores = torch.sigmoid(moe.gate.weight @ x_D)
    chosen = (scores + moe.gate.e_score_correction_bias).topk(moe.config.num_experts_per_tok).indices.tolist()
    return one_replayed(moe, x_D, chosen)


def layer_and_tokens(seed: int = 0) -> tuple[MoE, Tensor, Tensor]:
    """A layer, tokens, and random experts for each."""
    moe = MoE(tiny().text)
    initialise(moe, std=0.2, seed=seed)
    moe.gate.e_score_correction_bias.copy_(0.3 * draw(moe.config.n_routed_experts, seed=1))
    recorded = draw(9, moe.config.n_routed_experts, seed=2).topk(moe.config.num_experts_per_tok).indices
    return moe, draw(9, moe.config.hidden_size), recorded


def one_replayed(moe: MoE, x_D: Tensor, chosen: list[int]) -> Tensor:
    scores = torch.sigmoid(moe.gate.weight @ x_D)
    total = sum(scores[e] for e in chosen)
    y_D = moe.shared_experts(x_D)
    for e in chosen:
        gate, up, down = (getattr(moe.experts, f"{part}_proj")[e] for part in ("gate", "up", "down"))
        y_D = y_D + scores[e] / total * moe.config.routed_scaling_factor * (down @ (F.silu(gate @ x_D) * (up @ x_D)))
    return y_D


def test_replay_takes_recorded_sets_and_scores_of_now() -> None:
    """Outputs and gradients, those of the gates above all, equal a loop over tokens."""
    moe, x_ND, recorded_NK = layer_and_tokens()
    weight_ND = draw(*x_ND.shape, seed=5)
    ours = moe(x_ND, recorded_NK=recorded_NK).y_ND
    theirs = torch.stack([one_replayed(moe, x, e) for x, e in zip(x_ND, recorded_NK.tolist(), strict=True)])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    mine, other = (torch.autograd.grad((y * weight_ND).sum(), list(moe.parameters())) for y in (ours, theirs))
    for one, two in zip(mine, other, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    gate_ED = dict(zip((n for n, _ in moe.named_parameters()), mine, strict=True))["gate.weight"]
    replayed_E = torch.zeros(len(gate_ED), dtype=torch.bool).index_fill(0, recorded_NK.flatten(), True)
    assert bool((gate_ED.abs().sum(1) > 0).equal(replayed_E))


def test_unknown_rows_route_freely_and_own_sets_change_nothing() -> None:
    moe, x_ND, recorded_NK = layer_and_tokens()
    free = moe(x_ND)
    assert free.expert_NK is not None
    assert moe(x_ND, recorded_NK=torch.full_like(recorded_NK, UNROUTED)).y_ND.equal(free.y_ND)
    torch.testing.assert_close(moe(x_ND, recorded_NK=free.expert_NK.flip(1)).y_ND, free.y_ND, atol=1e-4, rtol=1e-5)
    mixed = torch.where(torch.arange(9)[:, None] % 2 == 0, recorded_NK, UNROUTED)
    found, replayed = moe(x_ND, recorded_NK=mixed).y_ND, moe(x_ND, recorded_NK=recorded_NK).y_ND
    torch.testing.assert_close(found[::2], replayed[::2], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found[1::2], free.y_ND[1::2], atol=1e-4, rtol=1e-5)
    assert not torch.allclose(found[::2], free.y_ND[::2], atol=1e-2)


def test_balance_speaks_of_the_routers_own_choice_under_replay() -> None:
    moe, x_ND, recorded_NK = layer_and_tokens()
    samples = Samples(None, torch.tensor([4, 5]))
    free, replayed = moe(x_ND, samples=samples), moe(x_ND, samples=samples, recorded_NK=recorded_NK)
    assert replayed.counts_E.equal(free.counts_E) and replayed.expert_NK.equal(recorded_NK)
    assert not torch.bincount(recorded_NK.flatten(), minlength=moe.config.n_routed_experts).equal(free.counts_E)
    assert replayed.balance_loss.equal(free.balance_loss)
    mine, other = (torch.autograd.grad(out.balance_loss, moe.gate.weight)[0] for out in (replayed, free))
    assert mine.equal(other) and bool(mine.any())


def test_bias_chooses_but_does_not_weigh() -> None:
    x_ND, gate_ED, bias_E = draw(20, 8), draw(6, 8, seed=1), torch.zeros(6)
    bias_E[5] = 100.0
    choice = route(x_ND, gate_ED, bias_E, top_k=2, scale=1.0)
    assert bool((choice.expert_NK == 5).any(1).all())
    torch.testing.assert_close(choice.weight_NK.sum(1), torch.ones(20))
    share = choice.score_NE.gather(1, choice.expert_NK)
    torch.testing.assert_close(choice.weight_NK, share / share.sum(1, keepdim=True))


@given(n=st.integers(1, 30), k=st.integers(1, 4), seed=st.integers(0, 99))
def test_rows_return_to_their_tokens(n: int, k: int, seed: int) -> None:
    experts = torch.rand(n, 5, generator=torch.Generator().manual_seed(seed)).topk(k).indices
    routing = sort_by_expert(experts, 5)
    x_ND, weight_NK = draw(n, 3, seed=seed), draw(n, k, seed=seed + 1)
    rows_MD = dispatch(x_ND, routing)
    torch.testing.assert_close(combine(rows_MD, routing), k * x_ND)
    expert_M = torch.arange(5).repeat_interleave(routing.counts_E)
    weight_M = sorted_weights(weight_NK, routing.row_NK)
    for row, (token, expert) in enumerate(zip(routing.token_M.tolist(), expert_M.tolist(), strict=True)):
        choice = experts[token].tolist().index(expert)
        assert weight_M[row] == weight_NK[token, choice]


def test_moves_are_each_others_gradient() -> None:
    """<combine(y), x> = <y, dispatch(x)>, and autograd uses just that."""
    routing = sort_by_expert(torch.rand(7, 5).topk(3).indices, 5)
    x_ND, y_MD = draw(7, 4).requires_grad_(), draw(21, 4, seed=1).requires_grad_()
    (left,) = torch.autograd.grad((combine(y_MD, routing) * x_ND).sum(), y_MD)
    torch.testing.assert_close(left, dispatch(x_ND, routing))
    (right,) = torch.autograd.grad((dispatch(x_ND, routing) * y_MD).sum(), x_ND)
    torch.testing.assert_close(right, combine(y_MD, routing))


@pytest.mark.parametrize("dtype", FORMATS)
def test_experts_and_their_gradients_equal_explicit_products(dtype: torch.dtype) -> None:
    """Sorted rows, one expert without any."""
    counts_E = torch.tensor([3, 0, 5, 1])
    expert_M = torch.arange(4).repeat_interleave(counts_E)
    inputs = (draw(9, 8), draw(9, seed=4), draw(4, 16, 8, seed=1), draw(4, 16, 8, seed=2), draw(4, 8, 16, seed=3))
    ours, naive = ([x.to(dtype).to(kind).requires_grad_() for x in inputs] for kind in (dtype, torch.float32))
    x, weight, gate, up, down = ours
    y = expert_outputs(x, weight, gate_EID=gate, up_EID=up, down_EDI=down, counts_E=counts_E)
    x, weight, gate, up, down = naive
    inner = F.silu(torch.einsum("md,mid->mi", x, gate[expert_M])) * torch.einsum("md,mid->mi", x, up[expert_M])
    expected = torch.einsum("mi,mdi->md", inner, down[expert_M]) * weight[:, None]
    dy = draw(9, 8, seed=5).to(dtype)
    y.backward(dy)
    expected.backward(dy.float())
    if dtype == torch.float32:
        torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    assert_near(y, expected, 0.02)
    for mine, other in zip(ours, naive, strict=True):
        assert mine.grad is not None and other.grad is not None
        if dtype == torch.float32:
            torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-5)
        assert_near(mine.grad, other.grad, 0.02)


@pytest.mark.parametrize("frozen", [(0,), (1,), (2, 3, 4), (2,), (3,), (4,), (0, 1)])
def test_experts_give_gradients_to_what_learns_only(frozen: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    counts_E = torch.tensor([3, 0, 5, 1])
    inputs = [draw(9, 8), draw(9, seed=4), draw(4, 16, 8, seed=1), draw(4, 16, 8, seed=2), draw(4, 8, 16, seed=3)]
    products: list[str] = []

    def counted(*args: Tensor) -> Tensor:
        products.append("outer")
        return outer(*args)

    def gradients(learning: tuple[int, ...]) -> list[Tensor | None]:
        x, weight, gate, up, down = ours = [x.clone().requires_grad_(i in learning) for i, x in enumerate(inputs)]
        y = expert_outputs(x, weight, gate_EID=gate, up_EID=up, down_EDI=down, counts_E=counts_E)
        y.backward(draw(9, 8, seed=5))
        return [x.grad for x in ours]

    outer = experts.grouped_outer
    whole = gradients((0, 1, 2, 3, 4))
    monkeypatch.setattr(experts, "grouped_outer", counted)
    for number, (part, full) in enumerate(zip(gradients(tuple({0, 1, 2, 3, 4} - set(frozen))), whole, strict=True)):
        assert full is not None and (part is None) == (number in frozen)
        assert part is None or torch.equal(part, full)
    assert len(products) == len({2, 3, 4} - set(frozen))


def test_swiglu_and_gradients_equal_their_formula() -> None:
    inputs = (draw(5, 6), draw(5, 6, seed=1))
    ours, naive = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    y, expected = swiglu(ours[0], ours[1]), F.silu(naive[0]) * naive[1]
    torch.testing.assert_close(y, expected)
    dy = draw(5, 6, seed=3)
    y.backward(dy)
    expected.backward(dy)
    for mine, other in zip(ours, naive, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_even_load_has_balance_loss_one() -> None:
    scores = torch.full((8, 4), 0.5)
    chosen = torch.tensor([[0, 1], [2, 3]]).repeat(4, 1)
    choice = Choice(chosen, torch.ones(8, 2), scores)
    assert float(balance_loss(choice, Samples(None, torch.tensor([8])))) == pytest.approx(1.0)


def test_balance_loss_equals_the_formula_sample_by_sample() -> None:
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, -1, -1], [2, 2, 2, 2, 3, 3, 3, -1, -1, -1]])
    samples = samples_of(spans_of(segments, rows=2, length=10), segments)
    choice = route(draw(20, 8), draw(6, 8, seed=1), torch.zeros(6), top_k=2, scale=1.0)
    parts = []
    for sample in range(4):
        rows = (segments.flatten() == sample).nonzero().flatten()
        share = choice.score_NE[rows] / choice.score_NE[rows].sum(1, keepdim=True)
        fraction = torch.bincount(choice.expert_NK[rows].flatten(), minlength=6) * 6 / (2 * len(rows))
        parts.append(len(rows) * (fraction * share.mean(0)).sum())
    torch.testing.assert_close(balance_loss(choice, samples), sum(parts) / 15)
    assert int(count(choice, samples).sum()) == 15 * 2


def test_balance_loss_pushes_load_down() -> None:
    gate_ED = draw(6, 8, seed=1).requires_grad_()
    choice = route(draw(50, 8), gate_ED, torch.zeros(6), top_k=2, scale=1.0)
    (gradient,) = torch.autograd.grad(balance_loss(choice, Samples(None, torch.tensor([50]))), gate_ED)
    better = route(draw(50, 8), gate_ED - 2.0 * gradient, torch.zeros(6), top_k=2, scale=1.0)
    lengths = Samples(None, torch.tensor([50]))
    assert balance_loss(better, lengths).item() < balance_loss(choice, lengths).item()


def test_bias_update_evens_the_load() -> None:
    x_ND, gate_ED, bias_E = draw(400, 8) + 0.5, draw(6, 8, seed=1), torch.zeros(6)

    def load() -> Tensor:
        chosen = route(x_ND, gate_ED, bias_E, top_k=2, scale=1.0).expert_NK
        return torch.bincount(chosen.flatten(), minlength=6)

    before = load().float().std()
    for _ in range(300):
        update_bias(bias_E, load(), 1e-2)
    assert load().float().std() < 0.2 * before
    stacked = torch.zeros(2, 3)
    update_bias(stacked, torch.tensor([[1, 2, 3], [5, 5, 5]]), 0.1)
    torch.testing.assert_close(stacked, torch.tensor([[0.1, 0.0, -0.1], [0.0, 0.0, 0.0]]))
