"""Newton-Schulz beside torch's own iteration, beside exact singular values, and its Gram form beside its plain form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim._muon import _zeropower_via_newtonschulz

from manyeyes.optim.newton_schulz import COEFFICIENTS, Symmetric, gram_newton_schulz, newton_schulz, orthogonalise

from . import batched_products

SHAPES = [(24, 40), (40, 24), (32, 32), (112, 128), (128, 112)]


def gaussian(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def of_spectrum(singular_values, n, seed=0):
    m = len(singular_values)
    left = torch.linalg.qr(gaussian(m, m, seed=seed, dtype=torch.float64))[0]
    right = torch.linalg.qr(gaussian(n, m, seed=seed + 1, dtype=torch.float64))[0]
    return (left * singular_values) @ right.T


@pytest.mark.parametrize("shape", SHAPES)
def test_in_bf16_every_matrix_of_a_batch_equals_torch_bit_for_bit(shape):
    x = gaussian(3, *shape)
    ours = orthogonalise(x, dtype=torch.bfloat16)
    theirs = torch.stack([_zeropower_via_newtonschulz(matrix, COEFFICIENTS, 5, 1e-7) for matrix in x])
    assert ours.dtype == torch.bfloat16
    if batched_products.as_single(shape):
        assert torch.equal(ours, theirs)
    else:
        assert (ours.float() - theirs.float()).norm() < 0.02 * theirs.float().norm()


@given(m=st.integers(1, 150), extra=st.integers(0, 200), steps=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_gram_form_is_the_same_polynomial(m, extra, steps, seed):
    x = gaussian(2, m, m + extra, seed=seed, dtype=torch.float64)
    x = x / torch.linalg.matrix_norm(x)[:, None, None]
    torch.testing.assert_close(gram_newton_schulz(x, steps), newton_schulz(x, steps), rtol=1e-7, atol=1e-9)


SPECTRA = {
    "flat": torch.ones(96, dtype=torch.float64),
    "six decades": torch.logspace(0, -6, 96, dtype=torch.float64),
    "rank one": torch.tensor([1.0] + [0.0] * 95, dtype=torch.float64),
    "five of 96": torch.tensor([1.0] * 5 + [1e-7] * 91, dtype=torch.float64),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("steps, bound", [(5, 0.02), (10, 0.05)])
def test_in_fp32_the_gram_form_is_nearer_to_exact_than_bf16(name, steps, bound):
    x = of_spectrum(SPECTRA[name], 192)[None]
    x = x / torch.linalg.matrix_norm(x)
    exact = newton_schulz(x.float().double(), steps)
    error = torch.linalg.matrix_norm(gram_newton_schulz(x.float(), steps).double() - exact, 2)
    bf16_error = torch.linalg.matrix_norm(newton_schulz(x.bfloat16(), steps).double() - exact, 2)
    assert error < bound
    assert error < bf16_error


@pytest.mark.parametrize("shape", [*SHAPES, (64, 300), (300, 64)])
def test_singular_values_come_close_to_one_and_vectors_stay(shape):
    x = gaussian(2, *shape, seed=3)
    u, s, vh = torch.linalg.svd(orthogonalise(x, dtype=torch.float32).double(), full_matrices=False)
    u0, s0, vh0 = torch.linalg.svd(x.double(), full_matrices=False)
    well_sized = s0 > 0.05 * s0[:, :1]
    assert s.max() < 1.25
    # U diag(f(s)) V': what f does to each singular value is read off in the basis of x
    values = torch.einsum("brk,brc,bkc->bk", u0, (u * s[:, None]) @ vh, vh0)
    assert ((values > 0.6) & (values < 1.25))[well_sized].all()


def test_zero_stays_zero_and_tiny_gradients_stay_finite():
    x = torch.stack([torch.zeros(16, 40), gaussian(16, 40) * 1e-30, gaussian(16, 40) * 1e12])
    out = orthogonalise(x, dtype=torch.float32)
    assert not out[0].any()
    assert out.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(70, 140), (140, 70), (40, 40)])
def test_a_result_depends_on_its_own_matrix_only_and_the_input_is_kept(shape, dtype):
    x = gaussian(5, *shape).to(dtype)
    before = x.clone()
    together = orthogonalise(x, dtype=dtype)
    assert torch.equal(x, before)
    assert all(torch.equal(together[i : i + 1], orthogonalise(x[i : i + 1], dtype=dtype)) for i in range(5))


@given(m=st.integers(4, 40), blocks=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_block_products_are_the_dense_products(m, blocks):
    gram = Symmetric.gram(gaussian(2, m, m + 3, dtype=torch.float64), blocks=blocks)
    dense = gram.dense()
    torch.testing.assert_close(dense, dense.mT)
    torch.testing.assert_close(gram.times(gram, alpha=2.0, plus=gram, beta=3.0).dense(), 3 * dense + 2 * dense @ dense)
    torch.testing.assert_close(
        gram.times(gram).add_to_diagonal_(7.0).dense(), dense @ dense + 7 * torch.eye(m, dtype=torch.float64)
    )
