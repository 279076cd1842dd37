"""Choosing a token, against a plain restatement in numpy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from manyeyes.core.errors import ConfigError
from manyeyes.inference.sampling import SamplingParams, choose, choose_each, cut, first_largest, nucleus

LOGITS = arrays.arrays(np.float32, st.integers(2, 12), elements=st.floats(-20, 20, width=32))
TOP_P = st.floats(0.01, 1.0)


def plain_nucleus(p_V: np.ndarray, top_p: float) -> np.ndarray:
    """Tokens by falling probability (the lower id first among equals) until their mass reaches top_p."""
    out, mass = np.zeros(len(p_V)), 0.0
    for token in sorted(range(len(p_V)), key=lambda i: (-p_V[i], i)):
        if mass >= top_p:
            break
        out[token] = p_V[token]
        mass += p_V[token]
    return out / out.sum()


def plain_choice(logits_V: np.ndarray, temperature: float, top_p: float, u: float) -> tuple[int, np.ndarray]:
    scaled = logits_V.astype(np.float64) / temperature
    p_V = np.exp(scaled - scaled.max())
    p_V = plain_nucleus(p_V / p_V.sum(), top_p)
    return next(i for i, reached in enumerate(np.cumsum(p_V)) if reached > u * p_V.sum() or i == len(p_V) - 1), p_V


def softmax(logits_V: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(logits_V).softmax(-1)[None]


@given(LOGITS, TOP_P)
def test_the_nucleus_is_the_smallest_set_that_reaches_its_mass(logits_V: np.ndarray, top_p: float) -> None:
    p_V = softmax(logits_V)[0].double().numpy()
    falling = np.cumsum(np.sort(p_V)[::-1])
    kept_V = nucleus(softmax(logits_V), top_p)[0].numpy()
    if np.abs(falling - top_p).min() > 1e-5:  # rounding may move the edge
        np.testing.assert_allclose(kept_V, plain_nucleus(p_V, top_p), atol=1e-5)
    assert kept_V.sum() == pytest.approx(1.0, abs=1e-5)
    assert kept_V[p_V.argmax()] > 0
    assert p_V[kept_V > 0].min() >= p_V[kept_V == 0].max(initial=0.0) - 1e-9


@given(LOGITS, st.floats(0.2, 3.0), TOP_P, st.floats(0.0, 1.0, exclude_max=True))
def test_the_choice_is_where_the_uniform_number_falls(logits_V, temperature: float, top_p: float, u: float) -> None:
    params = SamplingParams(temperature=temperature, top_p=top_p)
    token, logprob = choose(torch.from_numpy(logits_V)[None], params, torch.tensor([u], dtype=torch.float64))
    expected, p_V = plain_choice(logits_V, temperature, top_p, u)
    edges = np.cumsum(p_V)
    full = np.cumsum(np.sort(np.exp(logits_V / temperature - (logits_V / temperature).max()))[::-1])
    if np.abs(edges - u).min() > 1e-4 and np.abs(full / full[-1] - top_p).min() > 1e-4:
        assert int(token) == expected
        assert float(logprob) == pytest.approx(math.log(p_V[expected]), abs=1e-3)
    assert math.isfinite(float(logprob))


@given(LOGITS)
def test_greedy_takes_the_likeliest_and_reports_the_plain_softmax(logits_V: np.ndarray) -> None:
    token, logprob = choose(torch.from_numpy(logits_V)[None], SamplingParams(), torch.tensor([0.99]))
    assert int(token) == int(logits_V.argmax())
    assert float(logprob) == pytest.approx(float(softmax(logits_V)[0].log()[int(token)]), abs=1e-5)


def test_frequencies_follow_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).expand(20_000, -1)
    uniform = torch.from_numpy(np.random.default_rng(0).random(20_000))
    token, _ = choose(logits, SamplingParams(temperature=1.5, top_p=0.9), uniform)
    p_V = plain_nucleus(softmax(np.array([0.0, 1.0, 2.0, -1.0]) / 1.5)[0].numpy(), 0.9)
    found = np.bincount(token.numpy(), minlength=4) / 20_000
    np.testing.assert_allclose(found, p_V, atol=0.015)
    assert found[3] == 0.0


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-44])
def test_a_temperature_near_zero_is_greedy(temperature: float) -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    token, logprob = choose(logits, SamplingParams(temperature=temperature), torch.tensor([0.999999]))
    assert int(token) == 1 and float(logprob) == pytest.approx(0.0, abs=1e-6)


def test_zero_and_almost_one_never_choose_the_impossible() -> None:
    logits = torch.tensor([[-200.0, 1.0, 0.5, -200.0]]).expand(2, -1)
    uniform = torch.tensor([0.0, 1.0 - 2.0**-53], dtype=torch.float64)
    token, logprob = choose(logits, SamplingParams(temperature=1.0), uniform)
    assert token.tolist() == [1, 2] and bool(logprob.isfinite().all())


@pytest.mark.parametrize(
    "settings",
    [{"max_new_tokens": 0}, {"temperature": -0.1}, {"temperature": math.inf}, {"temperature": math.nan}, {"top_p": 0.0},
     {"top_p": 1.1}, {"top_p": math.nan}],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(settings: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SamplingParams(**settings)


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.sampled_from([1, 100, 128, 512])),
        elements=st.sampled_from([0.0, 1.0, 2.0, -math.inf]),
    )
)
def test_the_first_largest_is_argmax(x_BV: np.ndarray) -> None:
    assert first_largest(torch.from_numpy(x_BV)).tolist() == x_BV.argmax(-1).tolist()


@given(LOGITS, st.integers(1, 12), st.floats(0.0, 1.0), TOP_P)
def test_cuts_follow_each_other(logits_V: np.ndarray, top_k: int, min_p: float, top_p: float) -> None:
    """top_k, then min_p, then the nucleus of what they leave."""
    p_V = softmax(logits_V)[0].double().numpy()
    order = sorted(range(len(p_V)), key=lambda i: (-p_V[i], i))
    left = np.zeros(len(p_V))
    for token in order[:top_k]:
        left[token] = p_V[token] if p_V[token] >= min_p * p_V.max() else 0.0
    left /= left.sum()
    edges = [np.abs(p_V / p_V.max() - min_p).min(), np.abs(np.cumsum(np.sort(left)[::-1]) - top_p).min()]
    ties = np.diff(np.sort(p_V)).min(initial=1.0) < 1e-7
    if min(edges) > 1e-4 and not ties:
        found = cut(softmax(logits_V), [SamplingParams(top_k=top_k, min_p=min_p, top_p=top_p)])[0]
        np.testing.assert_allclose(found, plain_nucleus(left, top_p) if top_p < 1 else left, atol=1e-5)


@pytest.mark.parametrize("settings", [{"top_p": 0.9}, {"top_k": 7}, {"min_p": 0.3}, {"top_p": 0.3, "min_p": 0.001}])
@pytest.mark.parametrize("sharpness", [0.01, 1.0, 8.0])
def test_cuts_of_many_ids_are_those_of_a_full_sort(settings: dict, sharpness: float) -> None:
    """Flat distributions need the sort, sharp ones only their likeliest ids."""
    p_BV = (sharpness * torch.randn(6, 3000, generator=torch.Generator().manual_seed(0))).softmax(-1)
    params = SamplingParams(**settings)
    for row in cut(p_BV, [params] * 6) - torch.cat([cut(p_BV[n : n + 1], [params]) for n in range(6)]):
        assert float(row.abs().max()) < 1e-7
    for p_V, kept_V in zip(p_BV.double().numpy(), cut(p_BV, [params] * 6).numpy(), strict=True):
        left = np.where(p_V >= params.min_p * p_V.max(), p_V, 0.0)
        if params.top_k:
            left[np.argsort(-p_V)[params.top_k :]] = 0.0
        left /= left.sum()
        np.testing.assert_allclose(kept_V, plain_nucleus(left, params.top_p) if params.top_p < 1 else left, atol=2e-4)


def test_rows_with_their_own_parameters_are_chosen_as_alone() -> None:
    logits = torch.randn(5, 300, generator=torch.Generator().manual_seed(1)) * 3
    uniform = torch.rand(5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    params = [
        SamplingParams(), SamplingParams(temperature=1.0), SamplingParams(temperature=0.7, top_k=5), SamplingParams(),
        SamplingParams(temperature=2.0, top_p=0.5, min_p=0.01),
    ]  # fmt: skip
    together = choose_each(logits, params, uniform)
    for row, one in enumerate(params):
        alone = choose(logits[row : row + 1], one, uniform[row : row + 1])
        assert int(together.token_B[row]) == int(alone.token_B)
        assert float(together.logprob_B[row]) == pytest.approx(float(alone.logprob_B), abs=1e-6)


@pytest.mark.parametrize("top_k", [256, 300])
def test_the_nucleus_of_many_likeliest_ids_is_one_of_their_mass(top_k: int) -> None:
    """Also beside a row that needs more ids, which must change nothing."""
    p_BV = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0)).softmax(-1)
    params = SamplingParams(top_k=top_k, top_p=0.5)
    p_V = p_BV[0].double().numpy()
    left = np.where(p_V >= np.sort(p_V)[-top_k], p_V, 0.0)
    expected = plain_nucleus(left / left.sum(), 0.5)
    np.testing.assert_allclose(cut(p_BV[:1], [params])[0], expected, atol=1e-6)
    np.testing.assert_allclose(cut(p_BV, [params, SamplingParams(top_k=900)])[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"temperature": 1e300}, {"temperature": 1e39, "top_p": 0.5}, {"top_p": 5e-324, "top_k": 1}]
)
def test_extreme_settings_still_choose_one_of_those_left(settings: dict) -> None:
    """One row of no numbers would end the requests of all."""
    logits = torch.tensor([[1.0, 0.9, 0.8, 0.7, -math.inf]])
    params = SamplingParams(**{"temperature": 1.0} | settings)
    token, logprob = choose(logits, params, torch.tensor([0.3], dtype=torch.float64))
    assert int(token) < 4 and math.isfinite(float(logprob))
