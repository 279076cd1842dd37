"""Dialogues of orchestrators, of sub-agents and of agents alone, for supervised fine-tuning before PARL.

    ParlOrchestrators     has sub-agents and a budget of steps; works alone in most dialogues, in parallel in some
    ParlWorkers           a sub-agent's task of one row, and some that nobody can do
    ParlAlone             the whole task without sub-agents, and with all the steps that it takes, to its end

They are scripts played through the real environment (`parl_scripts`): what tools say is what tools said.
PARL begins from a policy that mostly works serially, and has to find out by itself when it pays not to.

Report: §3; §4.4.1 (supervised fine-tuning).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.seeds import stream
from manyeyes.data.collection import Split
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.synthesis.generator import pick
from manyeyes.swarm.parl_environment import BUDGET, Parl
from manyeyes.swarm.parl_plan import KEYS, Family, Plan, plan_at, question
from manyeyes.swarm.parl_scripts import SYSTEM, VAGUE, Played, Script, Shares, drawn_script, played, serial, worker

MIXED: Mapping[Family, float] = {"wide": 0.6, "deep": 0.1, "document": 0.1, "download": 0.1, "report": 0.1}
WORKED: Mapping[Family, float] = {"wide": 0.4, "deep": 0.15, "document": 0.15, "download": 0.15, "report": 0.15}
ALONE: Mapping[Family, float] = {"wide": 0.6, "deep": 0.1, "document": 0.1, "download": 0.1, "report": 0.1}
MOST_ALONE: Mapping[Family, int] = {"deep": 9, "document": 7, "report": 7}
"""Rows of one agent's dialogues that stay below 3,000 tokens of `tiny`; of the other families all twelve do."""


@dataclass(frozen=True, kw_only=True)
class ParlDialogues:
    """The frame of the three collections.

    Attributes:
        size: number of dialogues.
        seed: another seed gives other dialogues of the same split.
        split: of tasks; no task occurs in both.
        rows: fewest and most.
        families: kinds of tasks by weight.
        name: unique among sources.
    """

    size: int
    seed: int = 0
    split: Split = "train"
    rows: tuple[int, int] = (2, 12)
    families: Mapping[Family, float] = field(default_factory=lambda: MIXED)
    name: str = ""
    salt: ClassVar[int] = 0
    """Gives each collection tasks of its own."""

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ConfigError(f"{self.name}: size must be at least 0, got {self.size}")

    def __len__(self) -> int:
        return self.size

    def dialogue(self, index: int) -> Dialogue:
        """See `Dialogues`. Runs a small event loop of its own, so it is not called from within one."""
        if not 0 <= index < self.size:
            raise IndexError(f"{self.name}: dialogue {index} of {self.size}")
        name = f"{self.name}/{self.split}/{index:06d}"
        draw = stream(self.seed, f"swarm/parl_dialogues/{self.name}/{self.split}", index)
        told = asyncio.run(self._played(self._plan(index), draw))
        return Dialogue(name, told.messages, told.tools)

    def _plan(self, index: int) -> Plan:
        return plan_at(index, seed=16 * self.seed + self.salt, split=self.split, rows=self.rows, families=self.families)

    async def _played(self, plan: Plan, draw: np.random.Generator) -> Played:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ParlOrchestrators(ParlDialogues):
    """See the module.

    Attributes:
        parallel, idle, timid: see `Shares`.
    """

    name: str = "synthetic/parl/orchestrators"
    salt: ClassVar[int] = 1
    parallel: float = 0.32
    idle: float = 0.1
    timid: float = 0.0
    budget: int = BUDGET

    async def _played(self, plan: Plan, draw: np.random.Generator) -> Played:
        while True:
            script = drawn_script(plan.prompt, draw, Shares(self.parallel, self.idle, self.timid))
            told = await _in(Parl(budget=self.budget), plan, script)
            if told.messages[-1].role == "assistant":
                return told  # others ran out of steps before their answer: nothing to be learned


@dataclass(frozen=True, kw_only=True)
class ParlAlone(ParlDialogues):
    """See the module. What would not fit into 3,000 tokens of `tiny` is asked with fewer rows (`MOST_ALONE`)."""

    families: Mapping[Family, float] = field(default_factory=lambda: ALONE)
    name: str = "synthetic/parl/alone"
    salt: ClassVar[int] = 2

    def _plan(self, index: int) -> Plan:
        plan = super()._plan(index)
        fewest, most = self.rows[0], MOST_ALONE.get(plan.family, self.rows[1])
        if len(plan.rows) <= most:
            return plan
        only: Mapping[Family, float] = {plan.family: 1.0}
        rows = min(fewest, most), most
        return plan_at(index, seed=16 * self.seed + self.salt, split=self.split, rows=rows, families=only)

    async def _played(self, plan: Plan, draw: np.random.Generator) -> Played:
        return await _in(Parl(mode="alone"), plan, serial(plan.prompt))


@dataclass(frozen=True, kw_only=True)
class ParlWorkers(ParlDialogues):
    """See the module.

    Attributes:
        hopeless: share of tasks that nobody can do: a letter that no page knows, or no task at all.
    """

    families: Mapping[Family, float] = field(default_factory=lambda: WORKED)
    name: str = "synthetic/parl/workers"
    salt: ClassVar[int] = 3
    rows: tuple[int, int] = (1, 1)
    hopeless: float = 0.15

    async def _played(self, plan: Plan, draw: np.random.Generator) -> Played:
        prompt = _hopeless(plan, draw) if draw.random() < self.hopeless else plan.prompt
        return await _in(Parl(mode="alone", system=SYSTEM), plan, worker(prompt), prompt=prompt)


def _hopeless(plan: Plan, draw: np.random.Generator) -> str:
    if draw.random() < 0.5:
        return pick(draw, VAGUE)
    return question(plan.columns, pick(draw, [key for key in KEYS if key not in plan.rows]))


async def _in(environment: Parl, plan: Plan, script: Script, *, prompt: str = "") -> Played:
    task = Task("dialogue", prompt or plan.prompt, plan)
    here, shown, _ = environment.drawn(task, seed=0, name=task.id)
    return await played(here, shown, script)
