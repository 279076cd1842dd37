"""Muon beside torch.optim.Muon, matrix by matrix, and the laws of its update."""

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.optim.muon import CPU_BATCH, Muon, Stack, _batches
from manyeyes.optim.newton_schulz import newton_schulz

from . import batched_products

SETTINGS = dict(lr=0.02, weight_decay=0.1, momentum=0.95)


def draws(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(*shapes):
    return [torch.nn.Parameter(draws(*shape, seed=i)) for i, shape in enumerate(shapes)]


def copies(params):
    return [torch.nn.Parameter(param.detach().clone()) for param in params]


def train(optimizer, params, *, steps=4, seed=100):
    for step in range(steps):
        for i, param in enumerate(params):
            param.grad = draws(*param.shape, seed=seed + 10 * step + i)
        optimizer.step()


def torch_muon(params, **kwargs):
    return torch.optim.Muon(params, adjust_lr_fn="match_rms_adamw", **{**SETTINGS, **kwargs})


@pytest.mark.parametrize("nesterov", [True, False])
def test_with_bf16_newton_schulz_it_is_torch_muon_bit_for_bit(nesterov):
    shapes = ((24, 40), (40, 24), (32, 32), (24, 40), (112, 64), (24, 40))
    ours = parameters(*shapes)
    starts, theirs = copies(ours), copies(ours)
    train(Muon(ours, **SETTINGS, nesterov=nesterov, ns_dtype=torch.bfloat16), ours)
    train(torch_muon(theirs, nesterov=nesterov), theirs)
    for a, b, start, shape in zip(ours, theirs, starts, shapes, strict=True):
        if batched_products.as_single(shape):
            assert torch.equal(a, b)
        else:
            assert (a - b).norm() < 0.02 * (a - start).norm()


def test_with_fp32_newton_schulz_it_is_torch_muon_up_to_bf16_rounding():
    ours = parameters((128, 192), (192, 128), (128, 128))
    theirs = copies(ours)
    train(Muon(ours, **SETTINGS, ns_dtype=torch.float32), ours)
    train(torch_muon(theirs), theirs)
    for a, b, start in zip(ours, theirs, parameters((128, 192), (192, 128), (128, 128)), strict=True):
        assert (a - b).norm() < 0.02 * (a - start).norm()


def rule_of_the_report(weight, gradients, *, lr, weight_decay, momentum, nesterov):
    """Algorithm 1 in double precision: M = mu M + G, no EMA."""
    weight, m = weight.detach().double().clone(), 0.0
    for gradient in gradients:
        m = momentum * m + gradient.double()
        u = gradient.double() + momentum * m if nesterov else m
        tall = u.shape[0] > u.shape[1]
        x = (u.T if tall else u)[None]
        o = newton_schulz(x / x.norm(), 5)[0]
        weight -= lr * (0.2 * max(u.shape) ** 0.5 * (o.T if tall else o) + weight_decay * weight)
    return weight


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", [(40, 96), (96, 40), (48, 48)])
def test_the_ema_form_is_the_rule_of_the_report(shape, nesterov):
    (param,) = parameters(shape)
    expected = rule_of_the_report(
        param, [draws(*shape, seed=100 + 10 * i) for i in range(4)], nesterov=nesterov, **SETTINGS
    )
    train(Muon([param], **SETTINGS, nesterov=nesterov, ns_dtype=torch.float32), [param])
    torch.testing.assert_close(param.detach().double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stack_is_its_matrices_and_a_fused_matrix_its_parts(dtype):
    stack, fused = parameters((5, 24, 40), (3 * 24, 24))
    apart = copies([*stack.detach(), *fused.detach().chunk(3)])
    groups = [{"params": [stack]}, {"params": [fused], "split": 3}]
    optimizer, single = Muon(groups, **SETTINGS, ns_dtype=dtype), Muon(apart, **SETTINGS, ns_dtype=dtype)
    for step in range(3):
        stack.grad, fused.grad = draws(5, 24, 40, seed=step), draws(72, 24, seed=50 + step)
        for param, gradient in zip(apart, [*stack.grad, *fused.grad.chunk(3)], strict=True):
            param.grad = gradient.clone()
        optimizer.step()
        single.step()
    assert torch.equal(stack, torch.stack([*apart[:5]]))
    assert torch.equal(fused, torch.cat([*apart[5:]]))


def test_a_split_stack_is_split_matrix_by_matrix():
    stack = parameters((2, 48, 30))[0]
    apart = copies([*stack.detach().reshape(4, 24, 30)])
    stack.grad = draws(2, 48, 30, seed=7)
    for param, gradient in zip(apart, stack.grad.reshape(4, 24, 30), strict=True):
        param.grad = gradient.clone()
    Muon([stack], **SETTINGS, split=2).step()
    Muon(apart, **SETTINGS).step()
    assert torch.equal(stack.reshape(4, 24, 30), torch.stack([*apart]))


@pytest.mark.parametrize("shape", [(112, 112), (112, 256), (256, 128), (128, 512), (384, 112), (192, 256), (256, 256)])
def test_update_rms_is_that_of_adamw(shape):
    param = torch.nn.Parameter(torch.zeros(4, *shape))
    param.grad = draws(4, *shape, seed=1)
    Muon([param], lr=1.0, weight_decay=0.0).step()
    rms = param.detach().square().mean(dim=(1, 2)).sqrt()
    assert ((rms >= 0.16) & (rms <= 0.24)).all(), rms


def test_parameters_without_gradient_keep_weight_and_state():
    used, idle = parameters((16, 24), (16, 24))
    before = idle.detach().clone()
    optimizer = Muon([used, idle], **SETTINGS)
    used.grad = draws(16, 24, seed=1)
    optimizer.step()
    assert torch.equal(idle, before)
    assert idle not in optimizer.state
    assert not torch.equal(used, parameters((16, 24))[0])


def test_an_expert_that_never_saw_a_token_only_decays():
    stack = parameters((2, 16, 24))[0]
    before = stack.detach().clone()
    stack.grad = torch.stack([torch.zeros(16, 24), draws(16, 24, seed=1)])
    Muon([stack], **SETTINGS).step()
    assert torch.equal(stack[0], before[0] * (1 - 0.02 * 0.1))


def test_gradients_are_read_only_and_may_lie_transposed():
    wide, same = parameters((20, 30), (20, 30))
    with torch.no_grad():
        same.copy_(wide)
    gradient = draws(30, 20, seed=3)
    wide.grad, same.grad = gradient.T, gradient.T.contiguous()
    kept = gradient.clone()
    Muon([wide], **SETTINGS).step()
    Muon([same], **SETTINGS).step()
    assert torch.equal(gradient, kept)
    assert torch.equal(wide, same)


def test_a_closure_is_called_with_gradients_on():
    (param,) = parameters((8, 12))

    def closure():
        loss = param.square().sum()
        loss.backward()
        return loss

    assert Muon([param], **SETTINGS).step(closure).item() == pytest.approx(parameters((8, 12))[0].square().sum().item())


def test_the_number_of_threads_changes_no_bit():
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            params = parameters((24, 128, 64), (128, 192), (64, 128), (20, 20))
            train(Muon(params, **SETTINGS), params, steps=2)
            assert torch.get_num_threads() == count
            results.append(params)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def test_a_matrix_beyond_one_core_is_worked_on_by_all_threads():
    (big,) = ours = parameters((520, 640))
    theirs = copies(ours)
    assert big.numel() > CPU_BATCH
    train(Muon(ours, **SETTINGS, ns_dtype=torch.float32), ours, steps=1)
    expected = rule_of_the_report(theirs[0], [draws(520, 640, seed=100)], nesterov=True, **SETTINGS)
    torch.testing.assert_close(big.detach().double(), expected, rtol=1e-3, atol=1e-5)


def test_batches_hold_every_matrix_once_in_order_within_the_limit():
    shapes = [(5, 64, 512), (1, 64, 512), (30, 64, 512), (2, 512, 64), (1, 64, 512)]
    stacks = [Stack(*(torch.full(shape, float(i)) for _ in range(3))) for i, shape in enumerate(shapes)]
    batches = list(_batches(stacks))
    limit = CPU_BATCH // (64 * 512)
    sizes = [sum(len(stack.weight) for stack in batch) for batch in batches]
    assert max(sizes) <= limit
    assert sum(sizes) == 39
    seen = [int(matrix[0, 0]) for batch in batches for stack in batch for matrix in stack.weight]
    assert seen == [0] * 5 + [1] + [2] * 30 + [4] + [3] * 2
    assert all(len({stack.weight.shape[1:] for stack in batch}) == 1 for batch in batches)


@pytest.mark.parametrize("param, split", [(torch.zeros(7), 1), (torch.zeros(2, 2, 2, 2), 1), (torch.zeros(7, 4), 3)])
def test_what_is_no_matrix_is_refused(param, split):
    with pytest.raises(ConfigError, match="give this parameter to AdamW"):
        Muon([torch.nn.Parameter(param)], split=split)
