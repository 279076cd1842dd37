"""A model of few tokens at work: held-out PARL tables, alone and as a swarm, on a real search index and real pages.

What `demo` is for models that read the prompts and tools of App. E.8, for models that were trained on the short ones:
the same sessions, journals and figures, with the environment that they know.

Report: §3, §5.2 (Fig. 8: time alone and as a swarm).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from manyeyes.agent.chat_model import ChatModel, Reply, Sampling, Usage
from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Together, Toolset
from manyeyes.core.journal import Event
from manyeyes.core.messages import Message, Tool
from manyeyes.reward.table_score import TableScore
from manyeyes.swarm.demo import MODES, Ran
from manyeyes.swarm.orchestrator import ASSIGN
from manyeyes.swarm.parl_environment import BUDGET, Parl
from manyeyes.swarm.parl_plan import Plan, plan_at
from manyeyes.swarm.parl_rows import item_agreement, written_rows
from manyeyes.swarm.session import CONFIG, Mode, Session, SessionConfig
from manyeyes.swarm.world import WideTask

ROWS = (4, 12)
LONGEST_ANSWER = 900
"""Tokens; an orchestrator's answer assigns a row of a table in about 45."""


class ParlSession(Session):
    """A session about a plan, in the environment of `parl`.

    Attributes:
        plan: the task and its world; set by whoever opens the session.
        temperature: of all agents.
    """

    plan: Plan
    temperature: float = 0.5

    @property
    def told(self) -> str:
        """The rows that the agents put into their table, in order."""
        results = (event.data["result"] for event in self.events if event.kind == "tool.finished")
        return written_rows({k: (v,) for result in results for k, v in result["data"].get("put", {}).items()})

    def environment(self, make_tools: Callable[[Ctx], Toolset], *, ended: int = 0) -> Environment:
        """See `Session.environment`; tools and prompts are those of `Parl`."""
        sampling = Sampling(self.temperature, 1.0, LONGEST_ANSWER)
        alone = self.config.mode == "single"
        world = Parl(
            mode="alone" if alone else "swarm", budget=BUDGET, sampling=sampling, sub_temperature=self.temperature
        )
        return world.bound(Task(self.folder.name, self.plan.prompt, self.plan))


class Cast:
    """A chat model of two: who can assign tasks is played by the orchestrator, all others by its frozen sub-agents.

    PARL trains the orchestrator's weights on nothing but orchestration, and they forget the sub-agents' work.
    """

    def __init__(self, orchestrator: ChatModel, worker: ChatModel) -> None:
        self.orchestrator, self.worker = orchestrator, worker

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


async def run_parl_demo(
    folder: Path,
    model: ChatModel,
    *,
    tasks: int,
    seed: int = 0,
    listen: Callable[[Event], None] | None = None,
    begin: Callable[[Session], None] = lambda session: None,
    started: Callable[[AgentRun], None] | None = None,
    finished: Callable[[Ran], None] = lambda ran: None,
) -> list[Ran]:
    """Held-out tables in both modes, one after the other; see `demo.run_demo`.

    Args:
        model: in instant mode, as it was trained for these tasks; a `Cast` where sub-agents have other weights.
        tasks: how many, from few rows to many.
        seed: of the worlds.
    """
    found: list[Ran] = []
    for number in range(tasks):
        plan = plan_at(number, seed=seed, split="test", rows=(size := _rows(number, tasks), size))
        for mode in MODES:
            session = _session(folder / f"table-{number}-{mode}", plan, mode, model=model.name)
            begin(session)
            outcome = await session.run(model, lambda ctx: Together(), listen=listen, started=started)
            score = TableScore(item=item_agreement(session.told, plan.rows))
            found.append(Ran(_wide(plan, number), mode, score, session.figures(), outcome.stop, reason=outcome.reason))
            finished(found[-1])
    return found


def _rows(number: int, tasks: int) -> int:
    least, most = ROWS
    return most if tasks == 1 else least + round(number * (most - least) / (tasks - 1))


def _session(folder: Path, plan: Plan, mode: Mode, *, model: str) -> ParlSession:
    """Begun or gone on with."""
    if (folder / CONFIG).exists():
        session = ParlSession.open(folder)
    else:
        session = ParlSession.create(folder, SessionConfig(plan.prompt, mode=mode, model=model))
    assert isinstance(session, ParlSession), "a class method makes its own kind"
    session.plan = plan
    return session


def _wide(plan: Plan, number: int) -> WideTask:
    """As the demo's table shows tasks."""
    gold = tuple((key, *values) for key, values in plan.rows.items())
    return WideTask(f"table-{number}", plan.prompt, ("Name", *plan.columns), gold, plan.reads)
