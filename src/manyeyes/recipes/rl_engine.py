"""Engines of an RL run: its own, or `manyeyes serve` in another process, whose tokens are learned from over HTTP.

    manyeyes serve MODEL --weights-root WEIGHTS        MODEL is what the run starts from; prints an address and a token
    manyeyes run tiny.vision_rl start_model=MODEL engine=ADDRESS engine_weights=WEIGHTS

New weights are written below that folder, and the server is told to load them; the last two versions stay. Versions
only rise there, so a run that goes on needs a server that was started anew: it gets the weights of then before anything
is asked of it. What it samples is no function of weights and request alone, so such a run is not repeated bit for bit.

Report: App. D (token in, token out; inference engines beside the trainer).
"""

import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch

from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.agent.remote_wire import Server
from manyeyes.core.errors import ConfigError
from manyeyes.model import checkpoint as weights
from manyeyes.model.config import ModelConfig
from manyeyes.recipes.rl_run import RlRun


@asynccontextmanager
async def external_engine(
    run: RlRun, config: ModelConfig, *, token: str, folder_name: str
) -> AsyncIterator[ManyeyesSampler]:
    """What samples from the engine that a run names, for as long as a block lasts.

    Args:
        config: of the model that is trained.
        token: that the server printed.
        folder_name: of the run, for its weights.

    Raises:
        ConfigError: there is no token, or the folder of weights is not there.
    """
    root = Path(run.engine_weights)
    if not token:
        raise ConfigError(
            f"the engine at {run.engine} asks for the token that `manyeyes serve` printed; none was given"
        )
    if not root.is_dir():
        raise ConfigError(f"engine_weights={root}: there is no such folder; it is the --weights-root of the server")
    server = Server(run.engine.removesuffix("/").removesuffix("/v1"), key=token)
    async with ManyeyesSampler(server, write=_writer(root, folder_name, config)) as sampler:
        yield sampler


async def require_fresh(sampler: ManyeyesSampler, *, step: int, started_with: str) -> None:
    """That a server has no weights yet that a run at this step has not reached.

    Raises:
        ConfigError: it has. SamplerError: it cannot be reached.
    """
    state = await sampler.wire.ask("/resume", {})
    version = int(state["version"])
    if version > 0 and version >= step:
        raise ConfigError(
            f"the engine at {sampler.wire.server.url} has weights of version {version}, this run is at step {step}; "
            f"start it anew: manyeyes serve {started_with} --weights-root ..."
        )


def _writer(root: Path, name: str, config: ModelConfig) -> Callable[[int, Mapping[str, Any]], str]:
    def write(version: int, tensors: Mapping[str, Any]) -> str:
        path = root / f"{name}-{version}"
        weights.save(tensors, path, config, dtype=torch.float32, replace=True)
        shutil.rmtree(root / f"{name}-{version - 2}", ignore_errors=True)
        return path.name

    return write
