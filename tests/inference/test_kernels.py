"""Compiled loops give what PyTorch gives, for sizes that fill no vector, and where there is no compiler it is told."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from manyeyes.inference import kernels as module
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.kernels import Kernels, PackedExperts, compiled, packed_groups
from manyeyes.model.moe import route
from manyeyes.model.multimodal import build

from .small_model import finished, mixed, small_config, small_model
from .test_engine import GREEDY, ROOMY


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    found = compiled()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("heads", "width", "values"), [(4, 112, 96), (1, 6, 4), (6, 37, 33), (5, 80, 64)])
def test_attention_reads_blocks_in_place(kernels: Kernels, heads: int, width: int, values: int, threads: int) -> None:
    rng, size = torch.Generator().manual_seed(0), 3
    length = torch.tensor([1, 2, 3, 4, 60, 400])
    latents = torch.randn(900, size * width, generator=rng)
    blocks = torch.randperm(900, generator=rng)[: 6 * 134].view(6, 134)
    query = torch.randn(6, heads, width, generator=rng) * width**-0.5
    before, found = torch.get_num_threads(), torch.empty(6, heads, values)
    torch.set_num_threads(threads)
    kernels.attend(query, latents, blocks, length, found, block_tokens=size)
    torch.set_num_threads(before)
    past = latents[blocks.flatten()].view(6, -1, width)
    scores = torch.einsum("ghc,gsc->ghs", query, past)
    scores.masked_fill_(torch.arange(past.shape[1]) >= length[:, None, None], -torch.inf)
    torch.testing.assert_close(found, scores.softmax(-1) @ past[..., :values], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["attend", "grouped"])
def test_a_row_is_the_same_to_the_last_bit_whatever_is_beside_it_and_however_many_threads_work(
    kernels: Kernels, kind: str
) -> None:
    rng = torch.Generator().manual_seed(0)
    x, matrix = torch.randn(320, 5, 70, generator=rng), torch.randn(5, 90, 70, generator=rng)
    latents, blocks = torch.randn(50, 4 * 70, generator=rng), torch.randint(0, 50, (320, 12), generator=rng)
    length = torch.randint(1, 49, (320,), generator=rng)

    def rows(at: slice) -> torch.Tensor:
        if kind == "grouped":
            return kernels.grouped(x[at], packed_groups(matrix), torch.empty(len(x[at]), 5, 90))
        out = torch.empty(len(x[at]), 5, 60)
        kernels.attend(x[at], latents, blocks[at], length[at], out, block_tokens=4)
        return out

    before, said = torch.get_num_threads(), []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        said.append(rows(slice(0, 320)))
    torch.set_num_threads(before)
    assert 320 * 5 * 70 * min(90, 12 * 4) >= module.ALONE, "so many products that several threads work"
    assert torch.equal(said[0], said[1]) and torch.equal(said[0], said[2])
    for few in (slice(0, 1), slice(7, 9), slice(40, 53)):
        assert torch.equal(rows(few), said[0][few])


def test_large_scores_do_not_overflow_and_no_number_stays_none(kernels: Kernels) -> None:
    latents, blocks = torch.full((1, 32), 100.0), torch.zeros(1, 1, dtype=torch.int64)
    latents[0, 16:] = -100.0
    found = torch.empty(1, 4, 16)
    for value, expected in ((30.0, 100.0), (-30.0, -100.0), (torch.nan, torch.nan)):
        query = torch.full((1, 4, 16), value)
        kernels.attend(query, latents, blocks, torch.tensor([2]), found, block_tokens=2)
        torch.testing.assert_close(found, torch.full_like(found, expected), equal_nan=True)


@pytest.mark.parametrize("shape", [(1, 1, 5, 3), (13, 3, 48, 96), (70, 2, 33, 40)])
def test_grouped_products_write_into_wider_rows(kernels: Kernels, shape: tuple[int, int, int, int]) -> None:
    rows, groups, inner, outputs = shape
    x, matrix = torch.randn(rows, groups, inner + 2)[..., 1:-1], torch.randn(groups, outputs, inner)
    wide = torch.zeros(rows, groups, outputs + 4)
    kernels.grouped(x, packed_groups(matrix), wide[..., :outputs])
    torch.testing.assert_close(wide[..., :outputs], torch.einsum("ngi,goi->ngo", x, matrix), atol=1e-4, rtol=1e-4)
    assert not wide[..., outputs:].any()


@pytest.mark.parametrize("normalise", [False, True])
def test_the_router_chooses_as_the_models(kernels: Kernels, normalise: bool) -> None:
    x, gate, bias = torch.randn(29, 40), torch.randn(37, 40) * 0.2, torch.randn(37) * 0.1
    theirs = route(x, gate, bias, top_k=5, scale=2.5, normalise=normalise)
    expert, weight = kernels.route(x, packed_groups(gate[None]), bias, top_k=5, scale=2.5, normalise=normalise)
    order, other = expert.argsort(-1), theirs.expert_NK.argsort(-1)
    assert torch.equal(expert.gather(1, order), theirs.expert_NK.gather(1, other))
    torch.testing.assert_close(weight.gather(1, order), theirs.weight_NK.gather(1, other))
    broken, _ = kernels.route(x * torch.nan, packed_groups(gate[None]), bias, top_k=5, scale=1.0, normalise=normalise)
    assert broken.min() >= 0 and broken.max() < 37


def test_experts_say_the_same_whatever_is_beside_them_and_however_many_threads_work(kernels: Kernels) -> None:
    gate, up, down = torch.randn(8, 150, 70), torch.randn(8, 150, 70), torch.randn(8, 70, 150)
    packed = PackedExperts.of(kernels, torch.randn(8, 70), gate, up, down)
    x, expert, weight = torch.randn(200, 70), torch.randint(0, 8, (200, 2)), torch.rand(200, 2)
    before, said = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        said.append(packed.add(x, expert, weight, torch.zeros(200, 70)))
    torch.set_num_threads(before)
    assert torch.equal(*said)
    for n in range(5):
        row = slice(n, n + 1)
        assert torch.equal(packed.add(x[row], expert[row], weight[row], torch.zeros(1, 70)), said[0][row])
    inner = F.silu(torch.einsum("nd,nkid->nki", x, gate[expert])) * torch.einsum("nd,nkid->nki", x, up[expert])
    expected = torch.einsum("nki,nkdi,nk->nd", inner, down[expert], weight)
    torch.testing.assert_close(said[0], expected, atol=2e-2, rtol=1e-4)


def test_weights_kept_in_another_format_are_read_as_what_they_are(kernels: Kernels) -> None:
    """The loops are handed addresses: half as many bytes would be read beyond their end."""
    model = build(small_config(), dtype=torch.bfloat16, compute_dtype=torch.float32)
    assert model.head_weight.dtype == torch.bfloat16
    plain = Engine(model, dataclasses.replace(ROOMY, compiled=False))
    for one, other in zip(finished(Engine(model, ROOMY), mixed(GREEDY)), finished(plain, mixed(GREEDY)), strict=True):
        assert one.ids == other.ids
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
    x, gate, bias = torch.randn(5, 40), torch.randn(37, 40), torch.randn(37, dtype=torch.bfloat16)
    expert, _ = kernels.route(x, packed_groups(gate[None]), bias, top_k=3, scale=1.0, normalise=True)
    wide, _ = kernels.route(x, packed_groups(gate[None]), bias.float(), top_k=3, scale=1.0, normalise=True)
    assert torch.equal(expert, wide)


@pytest.mark.parametrize("threads", [1, 3])
def test_no_rows_are_no_work(kernels: Kernels, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    gate, down = torch.randn(3, 5, 7), torch.randn(3, 7, 5)
    packed, nothing = PackedExperts.of(kernels, torch.randn(3, 7), gate, gate, down), torch.empty(0, 7)
    expert, weight = kernels.route(nothing, packed.router, torch.zeros(3), top_k=3, scale=1.0, normalise=True)
    assert expert.shape == weight.shape == (0, 3)
    assert packed.add(nothing, expert, weight, torch.empty(0, 7)).shape == (0, 7)
    assert kernels.grouped(torch.empty(0, 3, 5), packed_groups(down), torch.empty(0, 3, 7)).shape == (0, 3, 7)
    assert kernels.rms_norm(nothing, torch.ones(7), 1e-5).shape == (0, 7)
    torch.set_num_threads(before)


def test_norms_of_slices(kernels: Kernels) -> None:
    x, weight = torch.randn(9, 50)[:, 3:40], torch.rand(37)
    torch.testing.assert_close(kernels.rms_norm(x, weight, 1e-5), F.rms_norm(x, (37,), weight, 1e-5))


def test_without_a_compiler_the_engine_says_so_and_answers_the_same(monkeypatch, caplog) -> None:
    model, requests = small_model(), mixed(GREEDY)
    expected = finished(Engine(model, ROOMY), requests)
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "which", lambda name: None)
        patch.setattr(module, "compiled", module.compiled.__wrapped__)
        engine = Engine(model, ROOMY)
        assert "no C++ compiler" in engine.described and "no C++ compiler" in caplog.text
    for one, other in zip(finished(engine, requests), expected, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
    assert "switched off" in Engine(model, EngineConfig(cache_tokens=64, compiled=False)).described


def test_a_compiler_that_fails_is_told(monkeypatch, tmp_path) -> None:
    broken = tmp_path / "kernels.cpp"
    broken.write_text("this is no C++")
    monkeypatch.setattr(module, "SOURCE", broken)
    why = module.compiled.__wrapped__()
    assert isinstance(why, str) and ("error" in why or "no C++ compiler" in why)
