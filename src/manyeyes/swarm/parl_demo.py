"""A trained swarm at work: held-out tables on a real search index and real pages, by one agent alone and by the swarm.

    alone      the orchestrator's weights without sub-agents, with as many steps as it takes, as calm as sub-agents
    worker     its sub-agents' weights, the same way: what PARL began from (left out where they are the same weights)
    swarm      the orchestrator and its frozen sub-agents, within the budget of critical steps

What `demo` is for models that read the prompts and tools of App. E.8, for models that were trained on the short ones:
the same sessions and journals, with the environment that they know. A folder is a seed, a table and who filled it.

Report: §3, §5.2 (Fig. 8: time alone and as a swarm).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

from manyeyes.agent.chat_model import ChatModel, Reply, Usage
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Together, Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event
from manyeyes.core.messages import Message, Tool
from manyeyes.swarm.critical_steps import critical_steps
from manyeyes.swarm.orchestrator import ASSIGN
from manyeyes.swarm.parl_environment import Parl
from manyeyes.swarm.parl_log import log_in
from manyeyes.swarm.parl_plan import Plan, plan_at
from manyeyes.swarm.parl_rows import item_agreement, written_rows
from manyeyes.swarm.parl_shared import shared_rows
from manyeyes.swarm.parl_steps import actions_of
from manyeyes.swarm.session import CONFIG, Mode, Session, SessionConfig

Who = Literal["alone", "worker", "swarm"]
ROWS = (4, 12)
TRAINED = "parl:"
"""In front of the model's name in a session: one that cannot be gone on with as a session about words."""


@dataclass(frozen=True)
class Cast:
    """A chat model of two: who can assign tasks is played by the orchestrator, all others by its frozen sub-agents.

    PARL trains the orchestrator's weights on nothing but orchestration, and they forget the sub-agents' work.
    """

    orchestrator: ChatModel
    worker: ChatModel

    @property
    def name(self) -> str:
        """See `ChatModel.name`."""
        return self.orchestrator.name

    def cost(self, usage: Usage) -> float:
        """See `ChatModel.cost`."""
        return self.orchestrator.cost(usage)

    async def complete(self, messages: Sequence[Message], tools: Sequence[Tool] = (), **settings: Any) -> Reply:
        """See `ChatModel.complete`."""
        leads = any(tool.name == ASSIGN for tool in tools)
        return await (self.orchestrator if leads else self.worker).complete(messages, tools, **settings)

    def playing(self, who: Who) -> ChatModel:
        """Who answers."""
        return {"alone": self.orchestrator, "worker": self.worker, "swarm": self}[who]

    @property
    def parts(self) -> tuple[Who, ...]:
        """All that are worth being looked at."""
        return tuple(who for who in get_args(Who) if who != "worker" or self.worker is not self.orchestrator)


class Filled(NamedTuple):
    """A table, and how it was filled.

    Attributes:
        f1: item-F1 of the rows that were put down; 0 beyond the budget of critical steps.
        critical: steps, as PARL counts them.
        agents: sub-agents that were started.
        stop, reason: how the main agent ended.
    """

    plan: Plan
    who: Who
    f1: float
    critical: int
    agents: int
    seconds: float
    stop: str
    reason: str = ""


class ParlSession(Session):
    """A session about a table, in the environment that the models know. `begun` makes one or goes on with it."""

    plan: Plan
    world: Parl

    @classmethod
    def begun(cls, folder: Path, plan: Plan, world: Parl, *, mode: Mode, model: str) -> Self:
        """The session of a folder.

        Raises:
            ConfigError: the folder holds another table's, or another model's.
        """
        config = SessionConfig(plan.prompt, mode=mode, model=model)
        if (folder / CONFIG).exists():
            session = cls.open(folder)
            _require_same(session, config)
        else:
            session = cls.create(folder, config)
        assert isinstance(session, cls), "a class method makes its own kind"
        session.plan, session.world = plan, world
        return session

    def environment(self, make_tools: Callable[[Ctx], Toolset], *, ended: int = 0) -> Environment:
        """See `Session.environment`; tools and prompts are those of `Parl`."""
        alone = self.config.mode == "single"
        world = calm(self.world) if alone else replace(self.world, mode="swarm")
        return world.bound(Task(self.folder.name, self.plan.prompt, self.plan))

    def filled(self, who: Who, *, stop: str, reason: str) -> Filled:
        """How it went so far."""
        log, budget = log_in(self.events), self.world.budget if who == "swarm" else 0
        critical, figures = critical_steps(actions_of(log)), self.figures()
        over = budget and critical > budget
        f1 = 0.0 if over else item_agreement(written_rows(shared_rows(log)), self.plan.rows).f1
        return Filled(self.plan, who, f1, critical, figures.agents, figures.seconds, stop, reason)


def calm(world: Parl) -> Parl:
    """The world for one agent alone, who samples as sub-agents do: who reads and copies is as calm in both."""
    return replace(world, mode="alone", sampling=replace(world.sampling, temperature=world.sub_temperature))


async def run_parl_demo(
    folder: Path,
    cast: Cast,
    *,
    tasks: int,
    world: Parl | None = None,
    seed: int = 0,
    listen: Callable[[Event], None] | None = None,
    begin: Callable[[Session], None] = lambda session: None,
    started: Callable[[AgentRun], None] | None = None,
    finished: Callable[[Filled], None] = lambda one: None,
) -> list[Filled]:
    """Held-out tables, each filled by everybody, one after the other; what is over already is not run again.

    Args:
        folder: gets a session's folder for each.
        tasks: how many, from few rows to many.
        world: as the models know it; rows are put where all agents share them.
        seed: of the worlds.
        listen, begin, started, finished: see `demo.run_demo`.

    Raises:
        ConfigError: a session's folder holds another table's; or rows are to stand in the answer.
    """
    world = world or Parl()
    if world.deliver != "table":
        raise ConfigError(f"the demo looks at the table that agents share, this model was trained to {world.deliver}")
    found: list[Filled] = []
    for number in range(tasks):
        plan = plan_at(number, seed=seed, split="test", rows=(size := _rows(number, tasks), size))
        for who in cast.parts:
            model, mode = cast.playing(who), "swarm" if who == "swarm" else "single"
            place = folder / f"table-{seed}-{number}-{size}-{who}"
            session = ParlSession.begun(place, plan, world, mode=mode, model=f"{TRAINED}{model.name}")
            begin(session)
            outcome = await session.run(model, lambda ctx: Together(), listen=listen, started=started)
            found.append(session.filled(who, stop=outcome.stop, reason=outcome.reason))
            finished(found[-1])
    return found


def _rows(number: int, tasks: int) -> int:
    least, most = ROWS
    return most if tasks == 1 else least + round(number * (most - least) / (tasks - 1))


def _require_same(session: Session, wanted: SessionConfig) -> None:
    for what in ("task", "mode", "model"):
        had, now = getattr(session.config, what), getattr(wanted, what)
        if had != now:
            raise ConfigError(
                f"{session.folder} was begun with the {what} {had!r}, and this is {now!r}; name another --folder"
            )
