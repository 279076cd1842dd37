"""1, 2 and 4 ranks have the same gradient and make the same update, whoever holds which rows, or none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.rl.learn import learn_rl
from manyeyes.rl.objective import Eq1
from manyeyes.rl.step import StepRules, rl_step
from manyeyes.rl.token_count import TokenCount

from ..train.small_system import CPU, system
from .rollout_samples import SOURCE, gradients, one_a_row, rollout_samples
from .rollout_samples import one_thread as one_thread

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of four ranks."""
    path = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.rl.ranks_child", str(path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path


def held(world: int) -> list:
    """The samples that some rank of the child program holds."""
    samples = rollout_samples(system().main)
    return [one for rank in range(min(world, 3)) for one in samples[rank::world][: 1 if rank == 0 else None]]


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_have_the_gradient_of_one_process(folder: Path, world: int, averaged: bool) -> None:
    model, batch = system().main, one_a_row(held(world))
    count = TokenCount.of(batch)
    learn_rl(model, batch, Eq1(tau=0.05), count=count, source=SOURCE, micro_rows=2, clip_threshold=100.0, device=CPU)
    expected = gradients(model)
    saved = torch.load(folder / f"{world}-{averaged}.pt")
    assert saved["count"] == count.tokens
    for name, gradient in expected.items():
        torch.testing.assert_close(saved["gradients"][name], gradient, atol=1e-6, rtol=1e-4, msg=name)
    assert all(not bool(saved["gradients"][name].any()) for name in saved["gradients"].keys() - expected.keys())


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_make_the_same_update(folder: Path, world: int) -> None:
    model, batch = system().main, one_a_row(held(world))
    optimizer = MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(), model=model)
    rl_step(
        model, optimizer, batch, StepRules(Eq1(tau=0.05)), count=TokenCount.of(batch), source=SOURCE, version=1,
        rate=1e-3, device=CPU,
    )  # fmt: skip
    saved = [torch.load(folder / f"{world}-weights-{rank}.pt") for rank in range(world)]
    each, told = [one["weights"] for one in saved], [one["told"] for one in saved]
    assert all(one["updated"] == [False, True] and one["all"] == sum(o["own"] for o in told) for one in told)
    assert min(one["own"] for one in told) < max(one["own"] for one in told) or world == 2
    for name, tensor in model.state_dict().items():
        assert all(other[name].equal(each[0][name]) for other in each), name
        torch.testing.assert_close(each[0][name], tensor, atol=1e-4, rtol=1e-3, msg=name)
