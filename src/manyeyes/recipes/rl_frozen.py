"""`FrozenPolicy`: the sub-agents that are not trained: one checkpoint, or a small one first and larger ones later.

Which one answers is a function of the finished steps, so a run that goes on has the one that it had. They change places
between two steps: what is sampled just then is sampled to its end by the one before, which is let go afterwards.

Report: §3 (frozen sub-agents, "small first, then larger").
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Self

from manyeyes.agent.token_chat import TokenChat
from manyeyes.core.errors import ConfigError
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.model.multimodal import K25
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.weights_digest import weights_digest

LOOK_EVERY = 0.02
"""Seconds between two looks whether an engine has answered everything."""


class FrozenPolicy:
    """See the module; an async context manager.

    Args:
        like: the trained model; pictures and words are the same for all.
        load: a model from its checkpoint folder.
        engine: an engine of a model, for as long as a block lasts.
        chat: the chat format above an engine.

    Attributes:
        digest: of the weights that answer now.
    """

    def __init__(
        self,
        run: RlRun,
        like: K25,
        *,
        load: Callable[[Path], K25],
        engine: Callable[[K25], AbstractAsyncContextManager[AsyncEngine]],
        chat: Callable[[AsyncEngine], TokenChat],
    ) -> None:
        self.run, self.like, self._load, self._engine, self._chat_of = run, like, load, engine, chat
        self._model, self.digest = "", ""
        self._chat: TokenChat | None = None
        self._now: tuple[AsyncEngine, AsyncExitStack] | None = None

    @property
    def chat(self) -> TokenChat:
        """What answers; the same object whatever is behind it."""
        assert self._chat is not None, "asked after `at`"
        return self._chat

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._now is not None:
            await self._now[1].aclose()

    async def at(self, step: int) -> bool:
        """Let the checkpoint of so many steps answer; whether it is another one than before.

        Raises:
            ConfigError: it sees or reads in another way. CheckpointError: it cannot be read.
        """
        name = self.run.frozen_at(step)
        if name == self._model:
            return False
        model = await asyncio.to_thread(self._loaded, name)
        stack, before = AsyncExitStack(), self._now
        engine = await stack.enter_async_context(self._engine(model))
        if self._chat is None:
            self._chat = self._chat_of(engine)
        elif engine.context < self._chat.context_tokens:
            await stack.aclose()
            raise ConfigError(f"{name} reads {engine.context} tokens, the one before it {self._chat.context_tokens}")
        else:
            self._chat.sampler.sampler = engine  # pyright: ignore[reportAttributeAccessIssue] a `CapturedSampler`
        self._now, self._model = (engine, stack), name
        if before is not None:
            await _retired(*before)
        return True

    def _loaded(self, name: str) -> K25:
        model, like = self._load(Path(name)), self.like.config
        if model.config.rules != like.rules or model.config.text.vocab_size != like.text.vocab_size:
            raise ConfigError(
                f"frozen sub-agents of {name} have another vocabulary or other rules for pictures than the model that "
                "is trained; they must read the same tokens"
            )
        self.digest = weights_digest(model)
        return model


async def _retired(engine: AsyncEngine, stack: AsyncExitStack) -> None:
    while engine.live:
        await asyncio.sleep(LOOK_EVERY)
    await stack.aclose()
