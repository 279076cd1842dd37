"""Where an RFT run is wired: rollouts with the weights of the start, and a stage of fine-tuning on the right ones.

    measure → attempt (rft_attempts) → keep (rft_examples) → learn (rft_learning) → measure

Attempts lie in the run folder and are not made again; fine-tuning goes on from its checkpoints.

Report: §2.3, §4.4.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import torch

from manyeyes.agent.registry import Registry
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import K25
from manyeyes.recipes.rft_attempts import Attempts, are_made, measure_before
from manyeyes.recipes.rft_checks import check_rft
from manyeyes.recipes.rft_examples import examples_of
from manyeyes.recipes.rft_host import RftHost, rft_host
from manyeyes.recipes.rft_learning import Learning
from manyeyes.recipes.rft_run import RftRun
from manyeyes.train.meter import StepReport


def execute_rft(
    run: RftRun,
    folder: RunFolder,
    *,
    device: torch.device,
    report: Callable[[StepReport], None] = lambda step: None,
    announce: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
    data_folder: Path | None = None,
    registry: Registry | None = None,
) -> bool:
    """Sample, keep, learn, from wherever the run stands; True when it is finished.

    Args:
        report: called after each step of fine-tuning.
        announce: called with a line when something else happens.
        stop: asked between groups of attempts and between steps; True saves and returns.
        data_folder: where fetched data lies.
        registry: of environments; what is installed when left out.

    Raises:
        ConfigError: the folder holds another run, fields contradict, or a name is not known. DataError: nothing was
            right. CheckpointError: weights cannot be read, or nothing can be written.
    """
    if RftRun.from_json(folder.config()).fingerprint != run.fingerprint:
        raise ConfigError(
            f"{folder.path} holds a run of another configuration; use the settings it began with, or another folder"
        )
    check_rft(run, registry, tasks=False)  # they are made in a moment
    wiring = _Wiring(run, folder, device, announce, registry)
    if not folder.has_checkpoint and not are_made(folder) and not asyncio.run(wiring.gather(stop)):
        return False
    examples = examples_of(run, folder)
    announce(examples.line)
    learning = Learning(run, folder, examples, wiring.tokenizer, device=device, data_folder=data_folder)
    if (model := learning.train(report, announce, stop)) is None:
        return False
    asyncio.run(wiring.measure_after(model))
    folder.log("finished", run.steps, seconds=round(learning.seconds, 1))
    return True


class _Wiring:
    """The parts of a run that sample."""

    def __init__(
        self,
        run: RftRun,
        folder: RunFolder,
        device: torch.device,
        announce: Callable[[str], None],
        registry: Registry | None,
    ) -> None:
        self.run, self.folder, self.device, self.announce, self.registry = run, folder, device, announce, registry
        self.tokenizer = Tokenizer.load(Path(run.start_model))

    async def gather(self, stop: Callable[[], bool]) -> bool:
        """The first measurement, and all attempts that are not there yet; False when it was stopped on the way."""
        model = weights.load_model(Path(self.run.start_model), device=self.device, dtype=torch.float32)
        async with self._host(model) as host:
            await measure_before(self.run, self.folder, host, self.announce)
            return await Attempts(self.run, self.folder, self.announce).make(host, stop)

    async def measure_after(self, model: K25) -> None:
        """The last one."""
        async with self._host(model) as host:
            await host.measure(self.run.steps)

    def _host(self, model: K25) -> AbstractAsyncContextManager[RftHost]:
        return rft_host(self.run, self.folder, model, self.tokenizer, registry=self.registry, announce=self.announce)
