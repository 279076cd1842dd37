"""A trained model of one's own as the model of a swarm: the engine in this process, token in, token out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.token_chat_reading import out_of_turn
from manyeyes.cli.locations import model_folder

CACHE_TOKENS = 131_072
"""Of all agents together; at the width of recipe `tiny`, 170 MB in fp32."""


@asynccontextmanager
async def embedded(name: str, *, limiter: Limiter | None = None) -> AsyncIterator[ChatModel]:
    """The model of a run or checkpoint folder.

    Args:
        name: of a run, or a path.
        limiter: shared by all agents.

    Raises:
        ManyeyesError: there is no such model, or it cannot be read.
    """
    folder = model_folder(name)
    from manyeyes.cli.device import chosen_device
    from manyeyes.inference.async_engine import AsyncEngine
    from manyeyes.inference.conversation import Assistant
    from manyeyes.inference.engine_config import EngineConfig

    loaded = Assistant.load(folder, device=chosen_device("auto"))
    async with AsyncEngine(loaded.model, loaded.tokenizer, EngineConfig(cache_tokens=CACHE_TOKENS)) as engine:
        yield TokenChat(
            engine,
            loaded.tokenizer,
            loaded.model.config.rules,
            context_tokens=engine.context,
            never=out_of_turn(loaded.tokenizer, thinking=True),
            name=name,
            limiter=limiter,
        )
