"""Both loops against an engine in another process: tokens over vLLM's wire, weights by broadcast, versions recorded."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from manyeyes.agent.remote_vllm import VllmSampler
from manyeyes.agent.remote_weights import vllm_transfer
from manyeyes.agent.remote_wire import Server
from manyeyes.core.trajectory import UNVERSIONED
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl.async_loop import async_loop
from manyeyes.rl.sync_loop import sync_loop

from .loop_worlds import make_run, one_place, rows
from .rollout_samples import one_thread as one_thread

ROOT = Path(__file__).resolve().parents[2]
STEPS = 4


@pytest.fixture
def engine() -> Iterator[str]:
    """Address of a server in another process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.rl.vllm_stand_in"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def joined(sampler: VllmSampler) -> None:
    """Trainer and server in one process group, the trainer first."""
    port = free_port()
    info = {"master_address": "127.0.0.1", "master_port": port, "rank_offset": 1, "world_size": 2}
    meeting = f"tcp://127.0.0.1:{port}"
    wait = timedelta(seconds=120)
    await asyncio.gather(
        asyncio.to_thread(
            dist.init_process_group, "gloo", init_method=meeting, rank=0, world_size=2, timeout=wait
        ),
        sampler.wire.ask("/init_weight_transfer_engine", {"init_info": info}),
    )  # fmt: skip


def announced(version: int, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {
        "names": list(tensors), "shapes": [list(one.shape) for one in tensors.values()],
        "dtype_names": [str(one.dtype).removeprefix("torch.") for one in tensors.values()],
    }  # fmt: skip


async def broadcast(version: int, tensors: Mapping[str, torch.Tensor]) -> None:
    def send() -> None:
        for tensor in tensors.values():
            dist.broadcast(tensor.contiguous(), src=0)

    await asyncio.to_thread(send)


def seen(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/seen", timeout=60) as answer:
        return json.load(answer)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_run_whose_tokens_come_over_vllms_wire(
    kind: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")

    async def work() -> list[dict[str, Any]]:
        carry = vllm_transfer(announced, broadcast)
        async with VllmSampler(Server(engine), logprob_kind="sampled", carry=carry) as sampler:
            await joined(sampler)
            with TrajectoryStore(tmp_path / "trajectories") as store:
                run = make_run(tmp_path, domains=one_place(tokens=24), steps=STEPS, store=store)
                run.sampler, run.models = sampler, {"live": sampler}
                assert await (sync_loop if kind == "sync" else async_loop)(run)
            return rows(run)

    try:
        found = asyncio.run(asyncio.wait_for(work(), 240))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    assert seen(engine)["versions"] == [str(version) for version in range(1, STEPS + 1)]
    assert found[-1]["updates"] == STEPS
    fresh = [row["mismatch/mean_absolute"] for row in found if row["staleness/most"] == 0]
    assert fresh and max(fresh) < 1e-4
    with TrajectoryStore(tmp_path / "trajectories", mode="read") as store:
        told = [node.versions for name in store.names() for node in store.get(name, pictures=False).nodes]
    said = [versions[versions != UNVERSIONED] for versions in told]
    assert all(len(versions) == 24 and (np.diff(versions) >= 0).all() for versions in said)
    known = {int(version) for versions in said for version in versions}
    assert known == set(range(STEPS)) if kind == "sync" else {0, 1} <= known <= set(range(STEPS))
