"""`Policy host`: an engine with a model's weights behind the chat format, for whatever samples from it in one process.

Report: App. D (token in, token out).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from manyeyes.agent.limiter import Limiter
from manyeyes.agent.rollouts.captured_sampler import CapturedSampler
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.token_chat_reading import out_of_turn
from manyeyes.core.sampler import PolicySampler
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.kernels import kernels_for
from manyeyes.model.multimodal import K25

QUEUE = 1024
"""Requests that an engine lets wait where nobody says how many may come."""


@asynccontextmanager
async def engine_of(
    model: K25, tokenizer: Tokenizer, *, cache_tokens: int, invariant: bool | None = None, running: int = QUEUE
) -> AsyncIterator[AsyncEngine]:
    """An engine for as long as a block lasts; the model is its own from now on.

    It computes with as many threads as torch has here where it is invariant, and with one where it is not: an ordinary
    one of a small model gains nothing by more, and would take them from who learns beside it.

    Args:
        invariant: see `EngineConfig`. None: where its kernels are to be had; it costs nothing there (decision 0022).
        running: attempts at once; so many requests may wait.

    Raises:
        ConfigError: it must be, and cannot.
    """
    if invariant is None:
        invariant = not isinstance(kernels_for(model.head_weight.device, model.compute_dtype), str)
    config = EngineConfig(
        cache_tokens=cache_tokens, invariant=invariant, max_queue=max(QUEUE, running), threads=None if invariant else 1
    )  # fmt: skip
    async with AsyncEngine(model, tokenizer, config) as engine:
        yield engine


def chat_of(
    engine: AsyncEngine | PolicySampler,
    tokenizer: Tokenizer,
    model: K25,
    *,
    context: int,
    seed: int,
    name: str,
    limiter: Limiter | None = None,
) -> TokenChat:
    """The chat format above it, as training wants it: marks that have no place in an answer are never sampled.

    Args:
        engine: one of this process, or what stands for one elsewhere.
        model: whose configuration says how pictures become tokens.
        limiter: of requests under way; a new one when left out.
    """
    most = min(context, engine.context) if isinstance(engine, AsyncEngine) else context
    return TokenChat(
        CapturedSampler(engine), tokenizer, model.config.rules, context_tokens=most, seed=seed,
        never=out_of_turn(tokenizer, thinking=True), name=name, limiter=limiter,
    )  # fmt: skip
