"""Pieces side by side give what one after the other gives, in order, with gradients, and leave torch as it was."""

import threading

import pytest
import torch

from manyeyes.train.in_order import in_order, workers_for


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


def test_a_cpu_has_as_many_workers_as_torch_has_threads() -> None:
    torch.set_num_threads(2)
    assert workers_for(torch.device("cpu")) == 2 and workers_for(torch.device("cuda")) == 1
