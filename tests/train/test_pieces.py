"""A step of one micro-batch is cut for threads: whole samples, each once, and the same gradient but for rounding."""

import numpy as np
import pytest
import torch

from manyeyes.data.packing import Batch, pack, stack
from manyeyes.train.objectives import Learned, learn_language
from manyeyes.train.pieces import pieces_of, shared_out

from .small_system import CPU, batch, sample, system


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def row_of(lengths: list[int], *, row_length: int = 64) -> Batch:
    rng = np.random.default_rng(0)
    made = [sample(rng, length, pictures=n % 2, name=f"{n}") for n, length in enumerate(lengths)]
    return stack([pack(made, row_length, pad_id=0)])


def learned(whole: Batch, threads: int, **more) -> tuple[Learned, dict[str, torch.Tensor]]:
    torch.set_num_threads(threads)
    model = system(aux_loss_alpha=0.5).main
    found = learn_language(model, whole, micro_rows=len(whole.ids_BT), clip_threshold=-1e9, device=CPU, **more)
    return found, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("whole", [row_of([12, 9, 5, 3]), row_of([20]), batch(0, rows=5)], ids=["row", "one", "rows"])
@pytest.mark.parametrize("threads", [2, 3])
def test_a_cut_step_is_the_step(whole: Batch, threads: int) -> None:
    expected, gradients = learned(whole, 1)
    found, ours = learned(whole, threads)
    assert found.parts == pytest.approx(expected.parts, rel=1e-5)
    assert found.expert_counts_LE is not None and expected.expert_counts_LE is not None
    assert found.expert_counts_LE.equal(expected.expert_counts_LE)
    torch.testing.assert_close(found.max_logit_LH, expected.max_logit_LH, atol=0, rtol=1e-5)
    assert ours.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-3, msg=name)
    again = learned(whole, threads)
    assert again[0].parts == found.parts and all(torch.equal(again[1][name], one) for name, one in ours.items())


def test_pieces_are_as_many_as_threads_where_samples_allow() -> None:
    torch.set_num_threads(2)
    row, rows = row_of([12, 9, 5, 3]), batch(0, rows=5)
    assert [part.tokens for part in pieces_of(row, 1, device=CPU)] == [18, 19] and row.tokens == 37
    assert len(pieces_of(row, 1, device=CPU, side_by_side=1)) == len(pieces_of(row_of([20]), 1, device=CPU)) == 1
    assert [len(part.ids_BT) for part in pieces_of(rows, 5, device=CPU)] == [3, 2]
    assert [len(part.ids_BT) for part in pieces_of(rows, 2, device=CPU)] == [2, 2, 1]
    assert sum(part.tokens for part in pieces_of(rows, 5, device=CPU)) == rows.tokens
    assert pieces_of(stack([pack([], 9, pad_id=0)]), 1, device=CPU) == []


def test_what_is_shared_out_is_whole() -> None:
    rng = np.random.default_rng(1)
    made = [sample(rng, int(length), name=f"{n}") for n, length in enumerate(rng.integers(4, 40, 20))]
    shares = shared_out(made, 3)
    assert sorted(one.name for share in shares for one in share) == sorted(one.name for one in made)
    lengths = [sum(one.length for one in share) for share in shares]
    assert max(lengths) - min(lengths) <= max(one.length for one in made)
