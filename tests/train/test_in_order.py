"""Pieces side by side give what one after the other gives, in order, with gradients, and leave torch as it was."""

import threading
from contextlib import closing

import pytest
import torch

from manyeyes.train.in_order import add_gradients, in_order, workers_for


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_whoever_is_first(workers: int) -> None:
    turn = threading.Barrier(workers)

    def work(piece: int) -> int:
        turn.wait(10)  # as many at once as there are workers
        return piece * piece

    assert list(in_order(work, range(6), workers=workers)) == [0, 1, 4, 9, 16, 25]


def test_each_piece_has_one_thread_and_others_keep_theirs() -> None:
    torch.set_num_threads(2)
    assert list(in_order(lambda piece: torch.get_num_threads(), range(4), workers=2)) == [1] * 4
    assert torch.get_num_threads() == 2
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


@pytest.mark.parametrize("graded", [True, False])
def test_gradients_are_on_where_they_were(graded: bool) -> None:
    weight = torch.ones(3, requires_grad=True)
    with torch.set_grad_enabled(graded):
        found = list(in_order(lambda piece: (weight * piece).sum(), [1.0, 2.0], workers=2))
    assert [one.requires_grad for one in found] == [graded] * 2


def test_an_error_comes_in_its_turn_and_no_piece_behind_it_is_begun() -> None:
    begun: list[int] = []

    def work(piece: int) -> int:
        begun.append(piece)
        if piece == 1:
            raise ValueError("the second")
        return piece

    found = in_order(work, range(100), workers=2)
    assert next(found) == 0
    with pytest.raises(ValueError, match="the second"):
        next(found)
    assert max(begun) <= 3


def test_whoever_leaves_early_closes_it_and_torch_has_its_threads_again() -> None:
    torch.set_num_threads(2)
    before = threading.active_count()
    with pytest.raises(KeyError), closing(in_order(lambda piece: piece, range(100), workers=2)) as found:
        for _ in found:
            raise KeyError("of whoever takes the results")
    assert threading.active_count() == before and torch.get_num_threads() == 2


def test_a_cpu_has_as_many_workers_as_torch_has_threads() -> None:
    torch.set_num_threads(3)
    cpu, other = torch.device("cpu"), torch.device("cuda")
    assert [workers_for(cpu), workers_for(cpu, most=2), workers_for(cpu, most=8), workers_for(other)] == [3, 2, 3, 1]


def test_gradients_that_are_one_tensor_are_added_to_one_by_one() -> None:
    one, other = torch.zeros(2), torch.zeros(2)
    both = torch.ones(2)
    add_gradients([one, other], [both, both])
    add_gradients([one, other], [torch.ones(2), None])
    assert one.grad is not None and other.grad is not None
    assert one.grad.tolist() == [2.0, 2.0] and other.grad.tolist() == [1.0, 1.0]
