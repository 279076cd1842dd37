"""`Policy host`: an engine with a model's weights behind the chat format, for whatever samples from it in one process.

Report: App. D (token in, token out).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from manyeyes.agent.rollouts.captured_sampler import CapturedSampler
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.token_chat_reading import out_of_turn
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.kernels import kernels_for
from manyeyes.model.multimodal import K25


@asynccontextmanager
async def engine_of(
    model: K25, tokenizer: Tokenizer, *, cache_tokens: int, invariant: bool | None = None
) -> AsyncIterator[AsyncEngine]:
    """An engine for as long as a block lasts; the model is its own from now on.

    Args:
        invariant: see `EngineConfig`. None: where its kernels are to be had; it costs nothing there (decision 0022).

    Raises:
        ConfigError: it must be, and cannot.
    """
    if invariant is None:
        invariant = not isinstance(kernels_for(model.head_weight.device, model.compute_dtype), str)
    config = EngineConfig(cache_tokens=cache_tokens, invariant=invariant)
    async with AsyncEngine(model, tokenizer, config) as engine:
        yield engine


def chat_of(engine: AsyncEngine, tokenizer: Tokenizer, model: K25, *, context: int, seed: int, name: str) -> TokenChat:
    """The chat format above it, as training wants it: marks that have no place in an answer are never sampled."""
    return TokenChat(
        CapturedSampler(engine), tokenizer, model.config.rules, context_tokens=min(context, engine.context), seed=seed,
        never=out_of_turn(tokenizer, thinking=True), name=name,
    )  # fmt: skip
