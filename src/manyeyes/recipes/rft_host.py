"""`RftHost`: what the attempts of an RFT run are made with: an engine, places, sandboxes; and its measurements.

Report: App. D.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.registry import Registry
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import Sampler
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Policy
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.model.multimodal import K25
from manyeyes.recipes.policy import chat_of, engine_of
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_execute import MOST_ROOMS, rooms
from manyeyes.recipes.rl_measure import MEASURED, RlMeasure
from manyeyes.recipes.rl_places import Places


class RftHost(NamedTuple):
    """See the module.

    Attributes:
        places: where tasks come from.
        models: by policy.
        pool: of sandboxes.
        measure: on held-out tasks.
        engine: what computes, for people.
    """

    places: Places
    models: Mapping[Policy, ChatModel | Sampler]
    pool: EnvironmentPool
    measure: RlMeasure
    engine: str


@asynccontextmanager
async def rft_host(
    run: RftRun,
    folder: RunFolder,
    model: K25,
    tokenizer: Tokenizer,
    *,
    registry: Registry | None,
    announce: Callable[[str], None],
) -> AsyncIterator[RftHost]:
    """A host for as long as a block lasts; the model is its engine's from now on.

    Raises:
        ConfigError: what its environments need does not work here.
    """
    plain = run.as_rl()
    places = Places(plain, registry)
    try:
        async with (
            engine_of(
                model, tokenizer, cache_tokens=run.cache_tokens, invariant=run.invariant, running=run.running
            ) as engine,
            rooms(min(run.running, MOST_ROOMS)) as pool,
        ):
            await places.ready()
            chat = chat_of(
                engine, tokenizer, model, context=run.row_length, seed=run.seed, name=run.name,
                limiter=Limiter(run.running),
            )  # fmt: skip
            models: dict[Policy, ChatModel | Sampler] = {"live": chat, "frozen": chat}
            with TrajectoryStore(folder.path / MEASURED, mode="append") as store:
                measure = RlMeasure(plain, places, models, folder, store=store, pool=pool, announce=announce)
                yield RftHost(places, models, pool, measure, engine.described)
    finally:
        await places.close()
