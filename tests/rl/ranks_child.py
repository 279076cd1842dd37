"""Four ranks of a gloo group: they learn from their rows in groups of 2 and of 4; the first saves what came of it.

Argument: folder for results. The ranks are forks of one process, before it computes anything: imports are slow.
"""

import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tests.rl.rollout_samples import ROW, SOURCE, gradients, one_a_row, rollout_samples
from tests.train.small_system import CPU, system

from manyeyes.data.packing import pack, stack
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.rl.learn import learn_rl
from manyeyes.rl.objective import Eq1
from manyeyes.rl.ranks import sum_gradients, summed
from manyeyes.rl.step import StepRules, rl_step
from manyeyes.rl.token_count import TokenCount, over_ranks


def main(folder: Path) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    children = [fork(rank, folder) for rank in (1, 2, 3)]
    run(0, folder)
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("a rank failed")


def fork(rank: int, folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        run(rank, folder)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def run(rank: int, folder: Path) -> None:
    wait = timedelta(seconds=240)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=4, timeout=wait)
    pair = dist.new_group([0, 1])
    for world, ranks in ((2, pair), (4, dist.group.WORLD)):
        if rank < world:
            learn(rank, world, ranks, folder)
    dist.barrier()
    dist.destroy_process_group()


def learn(rank: int, world: int, ranks: Any, folder: Path) -> None:
    model = system().main
    mine = rollout_samples(model)[rank::world][: 1 if rank == 0 else None]  # uneven, and the last rank of 4 has none
    mine = [] if rank == 3 else mine
    batch = one_a_row(mine) if mine else stack([pack([], ROW, pad_id=0)])
    for averaged in (False, True):
        count = over_ranks(TokenCount.of(batch), ranks=ranks, averaged=averaged)
        parts = learn_rl(
            model, batch, Eq1(tau=0.05), count=count, source=SOURCE, micro_rows=1, clip_threshold=100.0, device=CPU
        ).parts  # fmt: skip
        assert parts.keys() >= {"entropy"}
        sum_gradients(model, ranks=ranks)
        found = {name: one / (world if averaged else 1) for name, one in gradients(model).items()}
        if rank == 0:
            torch.save({"count": count.tokens, "gradients": found}, folder / f"{world}-{averaged}.pt")
    count = over_ranks(TokenCount.of(batch), ranks=ranks, averaged=False)
    optimizer = MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(), model=model)
    # Whether there are enough groups that tell is decided by all ranks together, or they would wait for each other.
    updated = [
        rl_step(
            model, optimizer, batch, StepRules(Eq1(tau=0.05)), count=count, source=SOURCE, version=1, rate=1e-3,
            device=CPU, reduce=summed(model, ranks=ranks), least_told=least,
        ).updated for least in (count.told + 1, count.told)
    ]  # fmt: skip
    told = {"own": TokenCount.of(batch).told, "all": count.told, "updated": updated}
    torch.save({"weights": model.state_dict(), "told": told}, folder / f"{world}-weights-{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
