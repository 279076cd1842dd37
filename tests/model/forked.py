"""Work in a forked process, which may be limited or killed without harm to the tests."""

import os
import signal
import time
from collections.abc import Callable

import pytest
import torch

PATIENCE = 120.0
"""Seconds that a child may take."""


def in_child(work: Callable[[], object]) -> int:
    """Runs `work` in a forked process; returns its exit status (-signal).

    A fork takes no threads along, so a child that waits for torch's would wait for ever: it computes on one thread,
    which forks nothing, and is ended when it takes too long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        child = os.fork()
        if child == 0:
            _run(work)
    finally:
        torch.set_num_threads(threads)
    return _status(child)


def _run(work: Callable[[], object]) -> None:
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _status(child: int) -> int:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"the forked process did not end within {PATIENCE:.0f} s")
