"""Work side by side: every piece once, failures surface, and torch's settings are as before."""

import threading

import pytest
import torch

from manyeyes.optim.side_by_side import side_by_side


@pytest.fixture(params=[1, 2, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_piece_is_worked_on_once_without_gradients_on_one_thread(threads):
    seen, lock = [], threading.Lock()

    def work(piece):
        with lock:
            seen.append((piece, torch.is_grad_enabled(), torch.get_num_threads()))

    side_by_side(work, range(20))
    assert sorted(piece for piece, _, _ in seen) == list(range(20))
    assert {(grad, count) for _, grad, count in seen} == {(False, 1)}
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_a_failure_surfaces_and_settings_are_put_back(threads):
    def work(piece):
        if piece == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side(work, range(5))
    assert torch.get_num_threads() == threads


def test_nothing_to_do_is_done(threads):
    side_by_side(pytest.fail, [])
    assert torch.get_num_threads() == threads


def test_threads_that_begin_later_find_the_old_default(threads):
    side_by_side(lambda piece: None, range(4))
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [threads]
