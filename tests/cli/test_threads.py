"""How many threads a run takes, and that waiting ones sleep."""

import os
import subprocess
import sys

import pytest
import torch

from manyeyes.cli.threads import usable_cores, use_threads


@pytest.fixture(autouse=True)
def unchanged():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("asked", "said", "count"), [(3, "2", 3), (0, "2", 2), (0, "", 0), (0, "many", 0)])
def test_the_option_goes_before_the_variable_and_that_before_the_cores(
    asked: int, said: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert use_threads(asked) == torch.get_num_threads() == (count or usable_cores())


def test_cores_that_this_process_may_not_use_are_not_counted() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from manyeyes.cli.threads import usable_cores; print(usable_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_waiting_threads_sleep() -> None:
    """Before torch is loaded, or it would be too late."""
    code = (
        "import sys, os, manyeyes.cli.main as cli\n"
        "assert 'torch' not in sys.modules\n"
        "cli.main(['recipes', 'tiny', '--json'])\n"
        "assert 'torch' not in sys.modules and os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
