"""`Policies`: who answers in an RL run: the live policy, and where sub-agents may be started the frozen one beside it.

    trainer ─ publish ▶ engine ◀ TokenChat "live"     ◀┐ places for calls, together always as many,
                 frozen engine ◀ TokenChat "frozen"   ◀┘ shared as they are asked for (`swarm.parl_balance`)

The live engine is one of this process, with a copy of the weights, or a server elsewhere (`rl_engine`).

Report: §3 (frozen sub-agents; capacity shared between orchestrator and sub-agents), App. D.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TypeAlias

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.agent.token_chat import TokenChat
from manyeyes.core.sampler import Sampler
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Policy
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.model.multimodal import K25
from manyeyes.recipes.policy import chat_of, engine_of
from manyeyes.recipes.rl_engine import external_engine, require_fresh
from manyeyes.recipes.rl_frozen import FrozenPolicy
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.weights_digest import weights_digest
from manyeyes.swarm.parl_balance import Balance, balancing

Engine: TypeAlias = AsyncEngine | ManyeyesSampler


class Policies:
    """See the module; `opened` makes them.

    Args:
        load: a model from its checkpoint folder.

    Attributes:
        engine: that the live policy samples from, and new weights are published to.
        models: by policy, as rollouts have them.
        frozen: None where no sub-agents may be started.
        balance: of places for calls; None where there is but one policy.
    """

    engine: Engine
    models: Mapping[Policy, ChatModel | Sampler]

    def __init__(self, run: RlRun, trainer: K25, tokenizer: Tokenizer, load: Callable[[Path], K25]) -> None:
        self.run, self.trainer, self.tokenizer, self._load = run, trainer, tokenizer, load
        self.frozen: FrozenPolicy | None = None
        self.balance: Balance | None = None
        self._limiters: dict[Policy, Limiter] = {"live": Limiter(run.running), "frozen": Limiter(run.running)}

    async def open(self, stack: AsyncExitStack, *, token: str, folder_name: str, fresh: bool) -> None:
        """Start engines, for as long as the stack lasts; sub-agents are those of the first step.

        Args:
            token: of an engine elsewhere.
            folder_name: of the run, for weights that are written for that engine.
            fresh: the run begins, so that such an engine must have the weights that it was started with.

        Raises:
            ConfigError: an engine cannot be had. CheckpointError: a model cannot be read.
        """
        self.engine = await stack.enter_async_context(self._live(token, folder_name))
        if fresh and isinstance(self.engine, ManyeyesSampler):
            await require_fresh(self.engine, step=0, started_with=self.run.start_model)
        models: dict[Policy, ChatModel | Sampler] = {"live": self._chat(self.engine, "live")}
        self.models = models
        if self.run.has_frozen:
            self.frozen = await stack.enter_async_context(self._frozen())
            await self.frozen.at(0)
            models["frozen"] = self.frozen.chat
            self.balance = await stack.enter_async_context(
                balancing(Balance.even(max(2, self.run.running)), self._limiters)
            )

    @property
    def described(self) -> str:
        """What computes what is sampled, for people."""
        return self.engine.described if isinstance(self.engine, AsyncEngine) else f"manyeyes serve at {self.run.engine}"

    @property
    def digest(self) -> str:
        """Which weights answer now: those of the trainer, which are published, and the frozen ones."""
        return f"{weights_digest(self.trainer)} {'' if self.frozen is None else self.frozen.digest}"

    async def begin(self, step: int) -> None:
        """Before rollouts of a run at this step: its sub-agents; and an engine elsewhere can still be given weights.

        Raises:
            ConfigError: it has newer ones already.
        """
        if isinstance(self.engine, ManyeyesSampler):
            await require_fresh(self.engine, step=step, started_with=self.run.start_model)
        await self.after(step)

    async def after(self, step: int) -> None:
        """A step is done: from some steps on other sub-agents answer. Raises as `FrozenPolicy.at`."""
        if self.frozen is not None:
            await self.frozen.at(step)

    def _live(self, token: str, folder_name: str) -> AbstractAsyncContextManager[Engine]:
        if self.run.engine:
            return external_engine(self.run, self.trainer.config, token=token, folder_name=folder_name)
        return self._engine(self._load(Path(self.run.start_model)))

    def _frozen(self) -> FrozenPolicy:
        return FrozenPolicy(
            self.run, self.trainer, load=self._load, engine=self._engine, chat=lambda one: self._chat(one, "frozen")
        )

    def _engine(self, model: K25) -> AbstractAsyncContextManager[AsyncEngine]:
        run = self.run
        return engine_of(
            model, self.tokenizer, cache_tokens=run.cache_tokens, invariant=run.invariant, running=run.running
        )

    def _chat(self, engine: Engine, policy: Policy) -> TokenChat:
        run = self.run
        return chat_of(
            engine, self.tokenizer, self.trainer, context=run.longest, seed=run.seed, name=run.name,
            limiter=self._limiters[policy],
        )  # fmt: skip
